"""What every child of the supervisor does alike: it leaves signals to that, and it beats."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Any

import structlog

from penstock.control import Channel

log = structlog.get_logger("penstock.process")
BEAT_S = 1.0


def leave_signals_to_supervisor() -> None:
    """The supervisor decides when we end, not the terminal."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


async def beat(channel: Channel) -> None:
    """Tell the supervisor every second that this loop still turns."""
    with contextlib.suppress(ConnectionError):
        while True:
            await channel.call("beat")
            await asyncio.sleep(BEAT_S)


def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What went wrong in the event loop, as a line in the log."""
    error = context.get("exception")
    log.error(str(context.get("message", "error in the event loop")), exc_info=error)
