"""Where queued mail stands on this worker: a lane for each queue key, a site for each next hop.

A *lane* is what shares a fate by its envelope: recipient domain, tenant and campaign. A *site* is
what shares a fate by its destination: the set of MX hosts (or the route) that many domains roll up
to. Refs of a lane wait in the lane until its domain is resolved and in the site's ready queue from
then on. Both are forgotten when idle, so memory follows the queue and not the history.
"""

from __future__ import annotations

from asyncio import TimerHandle
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from penstock.limits.ports import Claim, Seat
from penstock.mail.outcome import Outcome
from penstock.mail.record import Key
from penstock.policy.limits import Limits
from penstock.relay.ports import Destination
from penstock.schedule.intqueue import IntQueue
from penstock.schedule.ready import ReadyQueue

if TYPE_CHECKING:
    from penstock.relay.feed import SiteFeed
    from penstock.relay.spool import Stored

Selector = dict[str, str]
# A message on a connection of its own costs twice what it costs behind another. So a connection is
# woken or opened for what it can carry in this time: one message to a distant host, a few to a near
# one, none of which waits noticeably longer.
BUSY_S = 0.05
PACE_S_MIN = 0.0005
STUCK_S = 2.0


@dataclass(slots=True, eq=False)
class Site:
    """One next hop: what is ready for it, the connections to it, and what holds it back.

    ``tokens`` are messages granted by the limiter, good until ``tokens_until``. ``wake`` runs while
    no message may go, ``connect_wake`` while no connection may be opened: nobody looks at the site
    until they fire.
    ``cap`` holds until ``cap_until`` on the monotonic axis of the event loop. ``pace_s``: how long
    a transaction takes lately.
    """

    name: str
    destination: Destination
    limits: Limits
    seats: tuple[Seat, ...]
    claims: tuple[Claim, ...]
    connection_claims: tuple[Claim, ...]
    ready: ReadyQueue = field(default_factory=ReadyQueue)
    feeds: set[SiteFeed] = field(default_factory=set)
    idle: deque[SiteFeed] = field(default_factory=deque)
    staged: deque[Batch] = field(default_factory=deque)
    opening: int = 0
    tokens: int = 0
    tokens_until: float = 0.0
    asking: bool = False
    reading: bool = False
    failures: int = 0
    cap: int = 0
    cap_until: float = 0.0
    wake: TimerHandle | None = None
    connect_wake: TimerHandle | None = None
    last_failure: Outcome | None = None
    idle_since: float = 0.0
    forgotten: bool = False
    pace_s: float = 0.1

    @property
    def provider(self) -> str:
        return self.destination.provider

    @property
    def waiting(self) -> int:
        """Deliveries that could go now if nothing but capacity stood against it."""
        return self.ready.ready + len(self.staged)

    @property
    def busy(self) -> bool:
        """Whether a connection that has nothing to do will soon be wanted again."""
        return bool(self.waiting or self.reading)

    @property
    def load(self) -> int:
        """How many connections what waits is worth: each is to have work for ``BUSY_S``."""
        each = int(BUSY_S / self.pace_s) or 1
        return -(-self.waiting // each)

    def stuck(self, now: float) -> int:
        """Connections whose transaction takes long: what waits need not wait for them."""
        return sum(1 for feed in self.feeds if 0 < feed.busy_since < now - STUCK_S)

    def stands(self, now: float) -> bool:
        """Nothing will be sent soon."""
        return self.wake is not None or self.stuck(now) >= len(self.feeds)

    def close_idle(self, now: float, workers: int, surplus_s: float, crowded: bool) -> None:
        """Close what was idle for too long; sooner what goes beyond this worker's share of the
        seats, since another worker may be waiting for one; all where other sites wait for a
        connection (``crowded``) and this one has no use for it."""
        share = min(seat.limit for seat in self.seats) // workers
        surplus = len(self.feeds) - share if workers > 1 else 0
        timeout_s = self.limits.idle_timeout_s if self.busy or not crowded else 0.0
        while self.idle:
            idle_s = now - self.idle[0].idle_since
            if idle_s < timeout_s and (surplus <= 0 or idle_s < surplus_s):
                break
            surplus -= 1
            self.idle.popleft().wake(False)

    def carried(self, seconds: float) -> None:
        """A transaction took so long, from its first command to its last reply."""
        self.pace_s += 0.05 * (max(seconds, PACE_S_MIN) - self.pace_s)

    @property
    def empty(self) -> bool:
        return not (len(self.ready) or self.staged or self.feeds or self.opening or self.reading)


@dataclass(slots=True, eq=False)
class Lane:
    """``number`` is the lane's key in the site's ready queue. ``waiting`` holds refs while the
    domain is not resolved. ``used``: when mail last came, on the loop's axis.
    ``provider`` is ``None`` until the domain has been looked up.
    """

    number: int
    key: Key
    site: Site | None = None
    limits: Limits | None = None
    waiting: IntQueue = field(default_factory=IntQueue)
    fresh_until: float = 0.0
    resolving: bool = False
    held: bool = False
    used: float = 0.0
    provider: str | None = None
    failures: int = 0
    blocked_until: float = 0.0

    def matches(self, selector: Selector) -> bool:
        """Whether every field of the selector fits; an empty selector fits nothing."""
        return bool(selector) and all(self._is(name, value) for name, value in selector.items())

    def _is(self, name: str, value: str) -> bool:
        if name == "provider":
            return self.provider == value
        return bool(getattr(self.key, name) == value)


class Batch(NamedTuple):
    """Refs of one message that go in one transaction, with what was read for each.

    ``staged_bytes`` is its share of the staging bound; 0 for what never left memory. ``fresh``:
    none of them was attempted before."""

    refs: list[int]
    stored: list[Stored]
    staged_bytes: int = 0
    fresh: bool = False


@dataclass(slots=True, eq=False)
class Ticket:
    """What the dispatcher must know again when a transaction comes back."""

    site: Site
    batch: Batch
    started: float
