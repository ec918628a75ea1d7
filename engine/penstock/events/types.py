"""What happened, as values: one record for each thing that is worth telling to somebody.

:class:`Attempt` is a NamedTuple rather than a dataclass since one is made for every delivery:
as immutable as a frozen dataclass of as many fields, and four times cheaper to make.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from penstock.mail.outcome import Outcome
from penstock.mail.verdict import Verdict


class Attempt(NamedTuple):
    """One attempt to deliver to one recipient. ``at`` is seconds since the epoch, ``attempt``
    counts from 1, ``age_s`` is the time since acceptance; ``sender`` ``""`` is the null path;
    ``source``: by which it left, ``""`` where it came to no connection; ``verdict``: what the
    reply says, of an attempt that delivered nothing."""

    at: float
    id: str
    recipient: str
    sender: str
    tenant: str
    campaign: str
    provider: str
    site: str
    outcome: Outcome
    attempt: int
    age_s: float
    duration_s: float
    source: str = ""
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """One message is on disk and acknowledged. ``client`` is the peer's address."""

    at: float
    id: str
    sender: str
    recipients: int
    size: int
    client: str
    tenant: str
    campaign: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A client was refused. ``phase`` is a value of the metrics' label of that name."""

    at: float
    client: str
    phase: str
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Expired:
    """A recipient was given up at its maximum age; ``last_reply`` is that of its last attempt."""

    at: float
    id: str
    recipient: str
    sender: str
    provider: str
    attempts: int
    age_s: float
    last_reply: str


@dataclass(frozen=True, slots=True)
class Steered:
    """An operator changed the queue: ``action`` is suspend, resume, retry or bounce."""

    at: float
    action: str
    selector: tuple[tuple[str, str], ...]
    messages: int
    who: str
    reason: str
