"""What the dispatcher needs of others, and its bounds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from penstock.mail.outcome import Outcome
from penstock.relay.feed import SiteFeed
from penstock.relay.lane import Batch, Lane, Ticket
from penstock.relay.ports import Transaction
from penstock.relay.site import Site
from penstock.relay.stage import StageConfig


class Carrier(Protocol):
    """An open connection. ``passes_dsn``: the peer takes over delivery status notifications."""

    @property
    def passes_dsn(self) -> bool: ...
    async def run(self, feed: SiteFeed) -> None: ...


class Settler(Protocol):
    """Turns outcomes into queue records, reports, logs and metrics."""

    def settle(self, feed: SiteFeed, ticket: Ticket, outcomes: Sequence[Outcome]) -> None: ...
    def fail(self, refs: Sequence[int], lane: Lane, outcome: Outcome) -> None: ...
    def expire(self, refs: Sequence[int], lane: Lane, last: Outcome | None) -> None: ...


Connect = Callable[[Site], Awaitable[Carrier | Outcome]]
Build = Callable[[Batch, Ticket], Transaction]


@dataclass(frozen=True, slots=True)
class DispatchConfig:
    """Bounds of one worker's dispatcher.

    ``due_batch``: deliveries moved from the timers at once, so few that whoever was granted a token
    meanwhile comes in time to use it; ``expire_batch``: given up at once.
    ``block_initial_s``, ``block_max_s``: a site or domain that cannot be reached is left alone so
    long, doubling. ``forget_s``: idle lanes and sites are forgotten after it. ``workers`` share
    each limit on connections: idle ones beyond a worker's share are closed after
    ``idle_surplus_s``. ``pairs_max``: of a source and a provider, each with its pace or warm-up.
    """

    connections_max: int = 500
    resolves_max: int = 200
    due_batch: int = 32
    expire_batch: int = 100
    workers: int = 1
    idle_surplus_s: float = 1.0
    block_initial_s: float = 15.0
    block_max_s: float = 900.0
    forget_s: float = 60.0
    pairs_max: int = 5000
    stage: StageConfig = field(default_factory=StageConfig)
