"""Mail that the daemon itself writes, put into the queue of a worker."""

from __future__ import annotations

import asyncio
from typing import Any

from penstock.control import ControlError
from penstock.intake.ports import Refused, Sink
from penstock.mail.envelope import Envelope, Recipient


async def submit(sink: Sink, params: dict[str, Any], now: float) -> dict[str, Any]:
    """``params``: sender, recipient, content; ``tls``: as the envelope has it. Its id, when it is
    on disk. Nobody is to be told of its fate, for there is nobody who wrote it."""
    content = bytes(params["content"])
    envelope = Envelope(params["sender"], [Recipient(params["recipient"], ("NEVER",))], now)
    envelope.tls = params.get("tls", "")
    envelope.eightbit = not content.isascii()
    try:
        envelope.ref = sink.reserve(1)
        # one future for all that is written together: who gives up waiting must not cancel it
        await asyncio.shield(sink.submit(envelope, [content]))
    except Refused as refused:
        raise ControlError("unavailable", str(refused.reply)) from None
    return {"id": envelope.id}
