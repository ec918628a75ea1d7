"""One day of a warm-up and what is made of it: go on, stay, or go back, and why.

A day is judged by its results alone, each under its bar, and a share of too few says nothing. Worse
results never lead further than better ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from penstock.policy.warmup import Gates

Verdict = Literal["", "advance", "hold", "back"]


@dataclass(frozen=True, slots=True)
class Results:
    """What came of attempts, in recipients. ``deferred`` are temporary refusals but greylisting;
    ``blocked`` those for the source's reputation, ``refused`` all other permanent ones."""

    delivered: int = 0
    deferred: int = 0
    refused: int = 0
    blocked: int = 0
    greylisted: int = 0
    complaints: int = 0

    def __add__(self, other: Results) -> Results:
        return Results(*(getattr(self, n) + getattr(other, n) for n in RESULT_NAMES))

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in RESULT_NAMES)

    @property
    def attempts(self) -> int:
        """Those that say something of the source: a host that greylists does so with everybody."""
        return self.delivered + self.deferred + self.refused + self.blocked


RESULT_NAMES = tuple(one.name for one in fields(Results))


@dataclass(frozen=True, slots=True)
class Day:
    """A day that is over. ``day``: counted from the epoch; ``messages``: what the plan allowed."""

    day: int
    stage: int
    messages: int
    sent: int
    results: Results = field(default_factory=Results)
    verdict: Verdict = ""
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Day:
        return cls(**{**row, "results": Results(**row["results"])})


def is_blocked(gates: Gates, results: Results) -> str:
    """Why the source counts as blocked today; ``""`` where it does not."""
    if results.attempts < gates.block_sample or results.blocked <= gates.block * results.attempts:
        return ""
    return f"blocked: {results.blocked:,} of {results.attempts:,} refused for its reputation"


def judge(
    gates: Gates, messages: int, sent: int, results: Results, stopped: str = ""
) -> tuple[Verdict, str]:
    """What a day leads to, and the reason. ``stopped``: it was blocked on the way."""
    blocked = stopped or is_blocked(gates, results)
    if blocked:
        return "back", blocked
    for name, count, of, sample, bar in (
        ("deferred", results.deferred, results.attempts, gates.sample, gates.deferral),
        ("refused", results.refused, results.attempts, gates.sample, gates.bounce),
        (
            "complained about",
            results.complaints,
            results.delivered,
            gates.complaint_sample,
            gates.complaint,
        ),
    ):
        if of >= sample and count > bar * of:
            return "hold", f"{count:,} of {of:,} {name}, {count / of:.2%}; at most {bar:.2%}"
    if sent < gates.volume * messages:
        return "hold", f"{sent:,} of {messages:,} sent; {gates.volume:.0%} needed"
    return "advance", f"{sent:,} of {messages:,} sent"
