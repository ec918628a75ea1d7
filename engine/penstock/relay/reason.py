"""What a delivery waits for: read off where it stands at this moment.

Nothing is recorded for it. The objects that hold mail back are asked in the order in which it meets
them: its time, the orders of operators, its domain, its source, then the limits and connections of
its site. The first that is in the way is the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from penstock.mail.waits import TEXTS, Wait
from penstock.policy.caps import Cap
from penstock.relay.dispatch import Dispatcher
from penstock.relay.gates import Gate, key_of
from penstock.relay.lane import Lane
from penstock.relay.permit import why_waited
from penstock.relay.rules import Rule, mail_of
from penstock.relay.settle import OutcomeSettler
from penstock.relay.site import Site
from penstock.relay.spool import Spool
from penstock.relay.ways import FIRST, ROUTED


class Reason(NamedTuple):
    """``key``: the limit that binds, as it is counted; ``until``: when it is looked at again, on
    the wall clock, 0 where nobody knows; ``text``: more than the reason's own sentence; ``order``:
    the operator's that holds it."""

    wait: Wait
    key: str = ""
    until: float = 0.0
    text: str = ""
    order: Rule | None = None

    def binds(self, cap: Cap) -> bool:
        """Whether ``cap`` is what is waited for: seats and tokens of one key are two limits."""
        seats = self.wait is Wait.CONNECTION_LIMIT
        return bool(cap.key) and cap.key == self.key and seats == (cap.field == "connections")


class Reasons:
    """One worker's. ``now`` is wall time."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        settler: OutcomeSettler,
        spool: Spool,
        now: Callable[[], float],
    ) -> None:
        self._dispatcher, self._settler, self._spool = dispatcher, settler, spool
        self._now = now
        self._loop = asyncio.get_running_loop()

    def of(self, ref: int) -> tuple[Reason, Site | None]:
        """The first thing that stands between this delivery and the wire, and where it stands."""
        dispatcher = self._dispatcher
        lane = dispatcher.lane_of(ref)
        source = dispatcher.placing.source_of(lane, ref)
        site = lane.site_of(source)
        if ref in self._settler.reporting:
            return Reason(Wait.REPORTING), site
        if ref in dispatcher.in_flight:
            return Reason(Wait.IN_FLIGHT), site
        if dispatcher.stopping:
            return Reason(Wait.STOPPING), None
        due = self._spool.due(ref)
        if due > self._now():
            wait = Wait.RETRY if self._spool.attempts(ref) else Wait.SCHEDULED
            return Reason(wait, "", due), site
        return self.of_lane(lane, site, source), site

    def of_lane(self, lane: Lane, site: Site | None, source: str = "") -> Reason:
        """Why what is due of the lane waits, at ``site`` where it stands there already; ``source``:
        by which it is to go, where it does not."""
        source = source if site is None else site.source
        rule = self._dispatcher.placing.rules.binding(lane, source)
        if rule is not None:
            wait = Wait.BOUNCING if rule.verb == "bounce" else Wait.SUSPENDED
            return Reason(wait, "", rule.until, "", rule)
        if lane.destination is None:
            if lane.blocked_until > self._loop.time():
                return Reason(Wait.DNS_FAILED, "", self._wall(lane.blocked_until))
            return Reason(Wait.RESOLVING)
        if lane.way is None or not lane.way.sources:
            return self._no_source(lane)
        return Reason(Wait.TURN) if site is None else self._at_site(site, lane)

    def _at_site(self, site: Site, lane: Lane) -> Reason:
        node = site.ready.sleeping(lane.number)
        if node is not None:
            asleep = site.asleep.get(node)
            if asleep is not None and asleep.gate is not None:
                return self._gated(asleep.gate)
        if site.gate is not None:
            return self._gated(site.gate)
        if site.turn and site.asking:
            return self._asking(site.turn)
        if site.pause is not None and not site.feeds:
            return Reason(Wait.UNREACHABLE, "", self._wall(site.paused_until))
        if not site.idle and (reason := self._no_connection(site)) is not None:
            return reason
        if site.reading and not site.staged:
            return Reason(Wait.READING)
        return Reason(Wait.TURN)

    def _no_connection(self, site: Site) -> Reason | None:
        """Why there is no connection that could take it; ``None`` where those that are open will,
        when they are through with what they have."""
        connecting = site.connecting
        if connecting is not None and connecting.gate is not None:
            return self._gated(connecting.gate)
        if connecting is not None and connecting.turn and site.opening:
            return self._asking(connecting.turn)
        if len(site.feeds) >= site.limits.connections:
            key = next((seat.key for seat in site.seats if seat.limit <= len(site.feeds)), "")
            return Reason(Wait.CONNECTION_LIMIT, key)
        if site.feeds:
            return None
        if site in self._dispatcher.starved:
            return Reason(Wait.WORKER_CONNECTIONS)
        return Reason(Wait.CONNECTING) if site.opening else None

    def _asking(self, line: str) -> Reason:
        """Its turn has come in this line, and it asks again: nothing has changed before the answer
        is there."""
        key, seats = key_of(line)
        return Reason(Wait.CONNECTION_LIMIT if seats else why_waited(key), key, self._now())

    def _gated(self, gate: Gate) -> Reason:
        """Its key says what is waited for."""
        at = self._wall(gate.until)
        if gate.seats:
            return Reason(Wait.CONNECTION_LIMIT, gate.key, at)
        wait = why_waited(gate.key)
        text = f"{TEXTS[wait]}: {gate.key[7:]}" if wait is Wait.WINDOW else ""
        return Reason(wait, gate.key, at, text)

    def _no_source(self, lane: Lane) -> Reason:
        placing = self._dispatcher.placing
        pool = placing.policies.pools[placing.book.known(placing.rules.pool(lane)) or lane.pool]
        mail, provider = mail_of(lane), lane.provider or ""
        reasons = "; ".join(
            f"{name}: {placing.book.why_out(name, provider, mail)}" for name in pool.sources
        )
        first = mail == FIRST
        opens = [
            at
            for name in pool.sources
            if (at := self._dispatcher.warming.until(name, provider, first=first))
        ]
        if opens and mail != ROUTED:
            return Reason(Wait.WARM_UP, "", min(opens), f"{TEXTS[Wait.WARM_UP]} ({reasons})")
        tries = [at for name in pool.sources if (at := placing.book.tried_again_at(name))]
        until = self._wall(min(tries)) if tries else 0.0
        text = f"{TEXTS[Wait.SOURCE_DOWN]} (pool {pool.name}: {reasons})"
        return Reason(Wait.SOURCE_DOWN, "", until, text)

    def _wall(self, loop_time: float) -> float:
        return self._now() + loop_time - self._loop.time()
