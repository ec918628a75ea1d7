"""A warm-up plan as a value: how many messages a day a new source may send to each provider.

An IP without a history earns its reputation provider by provider, by mail that is wanted. A plan is
a row of stages, each a number of messages a day, and the bars that a day must pass before the next
stage; see ``schedule/warmup.py`` for what is done with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from penstock.policy.limits import Placed
from penstock.policy.window import Window

OTHER = "other"  # in a plan: the name for mail to domains of no provider
HOURS = "daily 06:00-22:00 UTC"
Stages = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Gates:
    """What a day must come to before the next stage. All are shares: ``volume`` of the day's
    messages that were sent; ``deferral``, ``bounce`` and ``block`` of the attempts; ``complaint``
    of what was delivered. A share of fewer than its sample says nothing yet."""

    volume: float = 0.9
    deferral: float = 0.1
    bounce: float = 0.05
    complaint: float = 0.002
    block: float = 0.02
    sample: int = 50
    block_sample: int = 10
    complaint_sample: int = 500


@dataclass(frozen=True, slots=True)
class Plan(Placed):
    """``messages``: a day, stage by stage, at a provider that ``by_provider`` does not name.
    ``hour_max``: the share of a day that may go in one hour; ``transactional``: the share that is
    kept for transactional mail until the day's hours are over; ``step_back``: by how many stages a
    block sets it back."""

    name: str
    messages: Stages
    by_provider: Mapping[str, Stages] = field(default_factory=lambda: MappingProxyType({}))
    hours: Window = field(default_factory=lambda: Window.parse(HOURS))
    hour_max: float = 0.25
    transactional: float = 0.2
    idle_days: int = 30
    step_back: int = 2
    gates: Gates = field(default_factory=Gates)

    def stages(self, provider: str) -> Stages:
        """Messages a day, stage by stage; ``provider`` is ``""`` for domains of none."""
        return self.by_provider.get(provider or OTHER, self.messages)

    def day_text(self, provider: str, stage: int) -> str:
        """Stage ``stage`` (from 0) for people: ``day 5 of 29``."""
        return f"day {stage + 1} of {len(self.stages(provider))}"
