"""Handing a complete message to the sink, and reading its fate off the future."""

from __future__ import annotations

import asyncio

from penstock.intake import replies
from penstock.intake.accept import Origin, prepare
from penstock.intake.ports import Refused
from penstock.intake.shared import Shared
from penstock.intake.sifting import Sifted, all_suppressed, sift, some_suppressed
from penstock.mail.envelope import Envelope
from penstock.smtp.reply import Reply

TAKEN = b"250 2.0.0 Taken, thank you\r\n"


class Submission:
    """One message between its last byte and its reply."""

    __slots__ = ("_envelope", "_shared", "_size", "future", "id", "sifted")

    def __init__(self, shared: Shared, envelope: Envelope, size: int) -> None:
        self._shared = shared
        self._envelope = envelope
        self._size = size
        self.id = ""
        self.sifted: Sifted | None = None
        self.future: asyncio.Future[None]

    def verdict(self) -> bytes | Reply:
        """The reply to a message whose future is done."""
        shared, envelope = self._shared, self._envelope
        try:
            self.future.result()
        except Refused as refused:
            return refused.reply
        except (Exception, asyncio.CancelledError) as error:
            shared.observer.on_error(error, "message")
            return replies.TROUBLE
        shared.messages += 1
        if shared.reception is not None:
            return TAKEN
        shared.observer.on_accept(envelope, self._size)
        if self.sifted is not None:
            assert shared.screen is not None
            self.sifted.tell(shared.screen)
            more = some_suppressed(self.sifted, len(envelope.recipients))
            return f"250 2.6.0 Message queued as {self.id}{more}\r\n".encode("ascii")
        return b"250 2.6.0 Message queued as %b\r\n" % self.id.encode("ascii")


def submit(
    shared: Shared,
    origin: Origin,
    envelope: Envelope,
    content: bytes,
    dotted: bool,
    screened: bool,
) -> Submission | Reply:
    """Prepare and hand over; a ``Reply`` where that was refused at once. ``dotted``: a line of the
    content may begin with a dot; ``screened``: no recipient is suppressed."""
    config, sink = shared.config, shared.sink
    envelope.received_at = now = shared.clock()
    envelope.eightbit = not content.isascii()
    envelope.dotted = dotted
    submission = Submission(shared, envelope, len(content))
    try:
        if shared.reception is not None:
            submission.future = shared.reception.take(envelope, content)
            return submission
        envelope.ref = sink.reserve(len(envelope.recipients))
        submission.id = envelope.id
        body = prepare(
            envelope,
            content,
            origin,
            hostname=config.hostname,
            now=now,
            received_max=config.received_max,
            id=submission.id,
            rules=shared.control,
        )
        if isinstance(body, Reply):
            return body
        if not screened and shared.screen is not None:
            submission.sifted = sifted = sift(shared.screen, envelope)
            if sifted is not None and not envelope.recipients:
                sifted.tell(shared.screen)
                return all_suppressed(sifted)
        submission.future = sink.submit(envelope, body)
    except Refused as refused:
        return refused.reply
    except Exception as error:
        shared.observer.on_error(error, "message")
        return replies.TROUBLE
    return submission
