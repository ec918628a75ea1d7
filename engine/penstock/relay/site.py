"""One next hop by one source: what is ready for it, the connections to it, what holds it back."""

from __future__ import annotations

from asyncio import TimerHandle
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from penstock.limits.ports import Claim, Seat
from penstock.mail.outcome import Outcome
from penstock.policy.caps import Cap
from penstock.policy.limits import Limits
from penstock.policy.policies import Policies
from penstock.relay.gates import Gate
from penstock.relay.lane import Extra
from penstock.relay.ports import Destination
from penstock.relay.tls_demand import NO_TERMS, Terms
from penstock.schedule.ready import Node, ReadyQueue

if TYPE_CHECKING:
    from penstock.relay.feed import SiteFeed
    from penstock.relay.paces import Paced
    from penstock.relay.spool import Stored
    from penstock.relay.tally import Tally

# A message on a connection of its own costs twice what it costs behind another. So a connection is
# woken or opened for what it can carry in this time: one message to a distant host, a few to a near
# one, none of which waits noticeably longer.
BUSY_S = 0.05
PACE_S_MIN = 0.0005
STUCK_S = 2.0
SOON_S = 2.0  # a connection that has work again by then is worth more than a new one elsewhere


class Asleep:
    """A part of a site's ready queue that waits for a limit of its own: a tenant's, a lane's."""

    __slots__ = ("gate", "node", "site", "turn")

    def __init__(self, site: Site, node: Node) -> None:
        self.site, self.node = site, node
        self.gate: Gate | None = None
        self.turn = ""

    def awake(self) -> None:
        self.site.asleep.pop(self.node, None)
        self.site.woken = self
        self.site.ready.wake(self.node)
        self.site.pump(self.site)


class Connecting:
    """A site that waits until it may open a connection."""

    __slots__ = ("gate", "site", "turn")

    def __init__(self, site: Site) -> None:
        self.site = site
        self.gate: Gate | None = None
        self.turn = ""

    def awake(self) -> None:
        self.site.pump(self.site)


@dataclass(slots=True, eq=False)
class Site:
    """``name`` is that of the hosts (with ``#domain`` where a domain has limits of its own);
    ``source`` is by which it is reached.

    ``claims``, ``seats`` and ``connection_claims`` are its ``caps`` as the limiter knows them;
    ``extra`` has those of single lanes, by number; ``alone``: the lanes whose recipients go one by
    one. ``tokens`` are messages granted for
    ``tokens_for``, good until ``tokens_until``. ``gate`` is set while no message may go,
    ``connecting.gate`` or ``pause`` while no connection may be opened: nobody looks at the site
    until they open. ``staged``: what was read ahead, by ref, with the bytes that it counts.
    ``out``: its source may not be used. ``cap`` holds until ``cap_until``, on the event loop's
    axis. ``pace_s``: how long a transaction takes lately. ``tally``, ``paced``: what is counted for
    its source at its provider, and what the two are held to. ``terms``: what TLS its mail demands.
    """

    name: str
    source: str
    destination: Destination
    pump: Callable[[Site], None]
    ready: ReadyQueue
    limits: Limits = field(default_factory=Limits)
    policies: Policies | None = None
    caps: tuple[Cap, ...] = ()
    seats: tuple[Seat, ...] = ()
    claims: tuple[Claim, ...] = ()
    byte_claims: tuple[Claim, ...] = ()
    connection_claims: tuple[Claim, ...] = ()
    extra: dict[int, Extra] = field(default_factory=dict)
    alone: set[int] = field(default_factory=set)
    asleep: dict[Node, Asleep] = field(default_factory=dict)
    woken: Asleep | None = None
    feeds: set[SiteFeed] = field(default_factory=set)
    idle: deque[SiteFeed] = field(default_factory=deque)
    staged: dict[int, tuple[Stored, int]] = field(default_factory=dict)
    opening: int = 0
    tokens: int = 0
    tokens_until: float = 0.0
    tokens_for: tuple[Claim, ...] = ()
    seated: tuple[Seat, ...] = ()
    asking: bool = False
    reading: bool = False
    failures: int = 0
    cap: int = 0
    cap_until: float = 0.0
    gate: Gate | None = None
    turn: str = ""
    connecting: Connecting | None = None
    pause: TimerHandle | None = None
    paused_until: float = 0.0
    last_failure: Outcome | None = None
    idle_since: float = 0.0
    out: bool = False
    forgotten: bool = False
    pace_s: float = 0.1
    tally: Tally | None = None
    paced: Paced | None = None
    terms: Terms = NO_TERMS

    def awake(self) -> None:
        """Its gate may have opened."""
        self.pump(self)

    @property
    def provider(self) -> str:
        return self.destination.provider

    @property
    def waiting(self) -> int:
        """Deliveries that could go now if nothing but capacity stood against it."""
        return self.ready.ready

    @property
    def may_open(self) -> bool:
        """Whether a connection may be opened now, as far as is known."""
        return self.pause is None and (self.connecting is None or self.connecting.gate is None)

    def busy(self, now: float) -> bool:
        """Whether a connection that has nothing to do will soon be wanted again: not by what waits
        for a limit that says *in an hour*."""
        if self.out or (self.gate is not None and self.gate.last_turn > now + SOON_S):
            return False
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
        return self.gate is not None or self.out or self.stuck(now) >= len(self.feeds)

    def close_idle(self, now: float, workers: int, surplus_s: float, crowded: bool) -> None:
        """Close what was idle for too long; sooner what goes beyond this worker's share of the
        seats, since another worker may be waiting for one; all where other sites wait for a
        connection (``crowded``) and this one has no use for it."""
        share = min(seat.limit for seat in self.seats) // workers
        surplus = len(self.feeds) - share if workers > 1 else 0
        timeout_s = 0.0 if crowded and not self.busy(now) else self.limits.idle_timeout_s
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
        return not (len(self.ready) or self.feeds or self.opening or self.reading)
