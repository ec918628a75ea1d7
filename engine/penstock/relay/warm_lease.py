"""What a worker holds of a source's warm-up at a provider, and how it counts what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from penstock.mail.outcome import Kind, Outcome
from penstock.mail.verdict import Category, Fault
from penstock.policy.caps import placed
from penstock.relay.reading import Reading
from penstock.relay.site import Site
from penstock.schedule.warmup_day import Results


class Reader(Protocol):
    """Who has by what replies are read, whatever that is now."""

    reading: Reading


@dataclass(slots=True, eq=False)
class Lease:
    """One source at one provider. ``first``, ``rest``: tokens for transactional and other mail, of
    ``day`` and ``hour``, good until ``ends_at``; ``wants``: how many more are to be asked for, by
    kind, ``asked``: for how many the supervisor is being asked;
    ``out``: until when nothing is to be had, by kind; ``asleep``: the same for other mail that
    may go later today. Those times are the loop's; ``shown_until``: on the wall clock, for people.
    ``keeps``: the part of its mail that waits for later."""

    source: str
    provider: str
    first: int = 0
    rest: int = 0
    day: int = -1
    hour: int = 0
    ends_at: float = 0.0
    warm: bool = False
    text: str = ""
    wants: dict[bool, int] = field(default_factory=dict)
    asleep: float = 0.0
    keeps: float = 1.0
    asked: dict[bool, int] = field(default_factory=dict)
    out: dict[bool, float] = field(default_factory=dict)
    shown_until: dict[bool, float] = field(default_factory=dict)
    sites: set[Site] = field(default_factory=set)
    results: Results = field(default_factory=Results)
    used_at: float = 0.0

    def take(self, n: int, *, first: bool) -> int:
        """As many of ``n`` tokens as there are; transactional mail may have those of the rest."""
        had = min(n, self.first) if first else 0
        self.first -= had
        more = min(n - had, self.rest)
        self.rest -= more
        return had + more


def key_of(lease: Lease) -> str:
    """The gate that its sleeping lanes wait at."""
    return f"warmup:{placed(lease.source, lease.provider)}"


def result_of(outcome: Outcome, provider: str, reader: Reader) -> Results:
    if outcome.kind is Kind.DELIVERED:
        return Results(delivered=1)
    classify = reader.reading.classifier.classify
    verdict = classify(provider, outcome.reply, outcome.phase)
    if verdict.category is Category.REPUTATION_BLOCK:
        return Results(blocked=1)
    if outcome.kind is Kind.BOUNCED:
        return Results(refused=1)
    if verdict.category is Category.GREYLISTED or verdict.fault is Fault.RECIPIENT:
        return Results(greylisted=1)  # says nothing of the source
    return Results(deferred=1)
