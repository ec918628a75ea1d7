"""What became of a message, read from the event logs; blocking, for threads, and bounded.

The log of the worker that took it in knows when that was. From then on the lines of all logs that
name it are its history: a worker that comes later may go on with its deliveries, and the collector
tells what reports said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from penstock.events.reading import LogReader, log_directory
from penstock.events.records import Accepted
from penstock.events.segments import ACCEPTED
from penstock.events.stamps import seconds_of
from penstock.events.tail import Tail, places_of
from penstock.mail.envelope import SEQUENCE_BITS, id_number

READ_BYTES = 64 << 20
LISTED_READ_BYTES = 32 << 20
FOUND_BYTES = 4 << 20
EVENTS_MAX = 5000
Fields = dict[str, Any]
_decode = msgspec.json.Decoder(Fields).decode
_accepted = msgspec.json.Decoder(Accepted).decode
State = Literal["queued", "deferred", "delivered", "bounced", "expired", "suppressed", "cancelled"]
# How a recipient stands after an event.
_STATES: dict[str, State] = {
    "delivered": "delivered",
    "deferred": "deferred",
    "bounced": "bounced",
    "expired": "expired",
    "suppressed": "suppressed",
    "cancelled": "cancelled",
}


@dataclass(slots=True)
class History:
    """``events``: oldest first, without the one that it was accepted by. ``cursor``: where to go on
    where not ``complete``: so much is looked through at a time."""

    accepted: Accepted
    events: list[Fields]
    complete: bool
    cursor: str


def accepted_of(spool: str, id_: str) -> Accepted | None:
    """How the message came in; ``None`` where no log says so (yet, or any more). Raises
    ``ValueError`` for what is no id."""
    ref = id_number(id_)
    reader = LogReader(log_directory(spool, f"{ref >> SEQUENCE_BITS:02d}"))
    try:
        found = reader.accepted(ref)
    finally:
        reader.close()
    return found if found is not None and found.message == id_.lower() else None


def history(spool: str, accepted: Accepted, cursor: str = "") -> History:
    """From where it was accepted, or from ``cursor`` on (raises :class:`BadCursor`)."""
    places = places_of(cursor) if cursor else None
    named = b'"message":"%b"' % accepted.message.encode()
    tail = Tail(spool, places, max(0.0, seconds_of(accepted.at) - 1.0))
    try:
        taken = tail.take(
            lambda line: named in line and not line.startswith(ACCEPTED),
            EVENTS_MAX,
            FOUND_BYTES,
            READ_BYTES,
        )
    finally:
        tail.close()
    events = [_decode(one.line) for one in taken.found]
    return History(accepted, events, taken.end, taken.cursor)


def state_after(state: State, event: Fields) -> State:
    """How a recipient stands after ``event``, who stood at ``state`` before."""
    return _STATES.get(event["type"], state)


@dataclass(frozen=True, slots=True)
class Listing:
    """Which messages; every value that is not empty must be there."""

    recipient: str = ""
    tenant: str = ""
    campaign: str = ""
    since: float = 0.0
    until: float = 0.0


def listed(
    spool: str, wanted: Listing, cursor: str, limit: int
) -> tuple[list[Accepted], str, bool]:
    """The first ``limit`` that fit, the cursor behind them, and whether there is nothing more."""
    recipient = wanted.recipient.lower()
    places = places_of(cursor) if cursor else None
    tail = Tail(spool, places, wanted.since)
    found: list[Accepted] = []
    over = False

    def fits(line: bytes) -> bool:
        nonlocal over
        if over or not line.startswith(ACCEPTED):
            return False
        try:
            event = _accepted(line)
            at = seconds_of(event.at)
        except (msgspec.MsgspecError, ValueError):
            return False
        if wanted.until and at >= wanted.until:
            over = True
            return False
        if (
            at < wanted.since
            or event.tenant != (wanted.tenant or event.tenant)
            or event.campaign != (wanted.campaign or event.campaign)
        ):
            return False
        if recipient and recipient not in map(str.lower, event.recipients):
            return False
        found.append(event)
        return True

    try:
        taken = tail.take(fits, limit, FOUND_BYTES, LISTED_READ_BYTES)
    finally:
        tail.close()
    return found, taken.cursor, taken.end or over
