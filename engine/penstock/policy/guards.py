"""Guards as values: a share of a sender's mail that must not come to more than it says.

What a guard watches is counted over a sliding window; how it is told and what is done then is in
``penstock.feedback.guards`` and the collector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from penstock.policy.limits import Placed

Metric = Literal["complaints", "unsubscribes", "hard-bounces", "deferrals"]
Per = Literal["tenant", "campaign"]
METRICS: tuple[str, ...] = get_args(Metric)
ACTIONS = ("tell", "pause")
# what each share is a share of, in the words of reports and of penstock stats
BASES = {
    "complaints": "delivered",
    "unsubscribes": "delivered",
    "hard-bounces": "delivered or bounced",
    "deferrals": "sent",
}


@dataclass(frozen=True, slots=True)
class Guard(Placed):
    """``above`` is a share from 0 to 1. ``action``: ``tell`` or ``pause``; a pause ends after
    ``for_s``."""

    name: str
    metric: Metric
    above: float
    window_s: float = 3600.0
    sample_min: int = 500
    per: Per = "campaign"
    action: str = "tell"
    for_s: float = 3600.0


def percent_text(share: float) -> str:
    """``0.002`` as ``0.2%``."""
    return f"{share * 100:.6g}%"
