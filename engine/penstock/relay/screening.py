"""The suppression list once more, in the moment before a message goes.

An address may have come on the list since the message was accepted. Such a recipient is given up
instead of sent: settled, told as an event and in the log, and counted. Its sender gets no report: a
million messages of a campaign that somebody unsubscribes from would otherwise be a million mails to
whoever sent it, on what the list of suppressed addresses says anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import structlog

from penstock.mail.envelope import Envelope
from penstock.relay.lane import Batch
from penstock.relay.spool import Spool, Stored
from penstock.suppression.columns import moment_text
from penstock.suppression.entry import Entry
from penstock.suppression.screen import Mail, Screen

log = structlog.get_logger("penstock.relay")
FRESH_S = 0.5  # so long what intake found out holds; changes are to show within a second


class GivenUp(NamedTuple):
    """What became of one recipient: not sent, since ``entry`` says so."""

    ref: int
    stored: Stored
    entry: Entry


class Screening:
    """One worker's. ``now``: wall time, as that of acceptance. What came in within ``fresh_s`` was
    asked for then, and is not asked for again; but for reports of our own, which did not come in.
    """

    def __init__(
        self, screen: Screen, spool: Spool, now: Callable[[], float], fresh_s: float = FRESH_S
    ) -> None:
        self._screen, self._spool = screen, spool
        self._now, self._fresh_s = now, fresh_s

    def sift(self, batch: Batch) -> Batch:
        """Without those that must not be sent; these are settled."""
        if batch.fresh:
            of = batch.stored[0].envelope
            if of.sender and of.received_at > self._now() - self._fresh_s:
                return batch
        screen, given_up = self._screen, list[GivenUp]()
        for ref, stored in zip(batch.refs, batch.stored, strict=True):
            address, envelope = stored.recipient.address, stored.envelope
            if screen.entries(address, envelope.tenant):
                entry = screen.find(address, _mail(envelope))
                if entry is not None:
                    given_up.append(GivenUp(ref, stored, entry))
        return self._without(batch, given_up) if given_up else batch

    def why(self, stored: Stored) -> dict[str, Any] | None:
        """For an explanation: the entry by which the delivery is given up when its turn comes."""
        entry = self._screen.find(stored.recipient.address, _mail(stored.envelope))
        if entry is None:
            return None
        return {
            "reason": entry.reason,
            "tenant": entry.tenant,
            "scope": entry.scope,
            "since": moment_text(entry.since),
            "until": moment_text(entry.until),
            "cause": entry.cause,
        }

    def _without(self, batch: Batch, given_up: list[GivenUp]) -> Batch:
        for ref, stored, entry in given_up:
            mail, address = _mail(stored.envelope), stored.recipient.address
            # the event first: what it tells of is not committed before it is written
            self._screen.tell("delivery", address, entry, mail)
            log.info("suppressed", id=mail.message, to=address, reason=entry.reason)
            self._spool.settle(ref)
        gone = {one.ref for one in given_up}
        left = [
            (ref, stored)
            for ref, stored in zip(batch.refs, batch.stored, strict=True)
            if ref not in gone
        ]
        return batch._replace(refs=[ref for ref, _ in left], stored=[one for _, one in left])


def _mail(envelope: Envelope) -> Mail:
    return Mail(
        envelope.tenant,
        envelope.class_,
        envelope.tags,
        envelope.campaign,
        envelope.sender,
        envelope.id,
    )
