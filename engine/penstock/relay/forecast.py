"""When a delivery goes, as far as that can be told: an estimate, made when somebody asks.

What binds now says when it lets the next one through; what stands ahead in the same line comes
first, at the pace of that limit. What a message would meet after that is looked at where it is
certain: an order that holds on, a window that is closed then, a site that is left alone until
later. Nobody knows what is taken in meanwhile.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from penstock.mail.waits import Wait
from penstock.relay.dispatch import Dispatcher
from penstock.relay.lane import Lane
from penstock.relay.reason import Reason
from penstock.relay.site import Site
from penstock.relay.spool import Spool

COUNTED_MAX = 100_000  # messages ahead in the same line
_LANES_MAX = 1000
_SOON = (Wait.TURN, Wait.READING, Wait.CONNECTING, Wait.RESOLVING)
_RATES = (Wait.MESSAGE_RATE, Wait.BYTE_RATE, Wait.PACE)


class Forecast:
    """One worker's. ``now`` is wall time."""

    def __init__(self, dispatcher: Dispatcher, spool: Spool, now: Callable[[], float]) -> None:
        self._dispatcher, self._spool, self._now = dispatcher, spool, now
        self._loop = asyncio.get_running_loop()

    def next_attempt(self, ref: int, reason: Reason, lane: Lane, site: Site | None) -> float:
        """Seconds since the epoch; 0 where nobody can tell, and for what has begun already."""
        wait = reason.wait
        if wait in (Wait.IN_FLIGHT, Wait.REPORTING, Wait.STOPPING, Wait.BOUNCING):
            return 0.0
        at = max(reason.until, self._spool.due(ref)) if reason.until else 0.0
        if wait in _RATES or wait in _SOON or (wait is Wait.CONNECTION_LIMIT and not at):
            at = max(at, self._now()) + self._ahead_s(ref, reason, lane, site)
        return self._allowed(at, lane, site) if at else 0.0

    def position(self, lane: Lane, site: Site | None, ref: int) -> int | None:
        """How many of the same lane go before it."""
        if site is None:
            return None
        refs = itertools.islice(site.ready.refs(lane.number), COUNTED_MAX)
        return next((number for number, one in enumerate(refs) if one == ref), None)

    def _ahead_s(self, ref: int, reason: Reason, lane: Lane, site: Site | None) -> float:
        """How long what goes before it takes."""
        position = self.position(lane, site, ref)
        if site is None or not position:
            return 0.0
        sleeping = site.ready.sleeping(lane.number)
        keys = itertools.islice(site.ready.keys(), _LANES_MAX)
        lanes = sum(site.ready.sleeping(key) is sleeping for key in keys)
        turns = min(position * max(1, lanes), len(site.ready))
        gate = self._dispatcher.permits.gates.get(reason.key) if reason.key else None
        if gate is None or reason.wait not in _RATES:
            return turns * site.pace_s / max(1, len(site.feeds))
        each_s = gate.step_s * (self._spool.size(ref) if reason.wait is Wait.BYTE_RATE else 1)
        return turns * len(gate) * each_s

    def _allowed(self, at: float, lane: Lane, site: Site | None) -> float:
        """The first moment from ``at`` on at which nothing that is certain stands against it."""
        rule = self._dispatcher.placing.rules.binding(lane, "" if site is None else site.source)
        if rule is not None:
            if not rule.until or rule.verb == "bounce":
                return 0.0
            at = max(at, rule.until)
        if site is not None and site.pause is not None and not site.feeds:
            at = max(at, self._now() + site.paused_until - self._loop.time())
        return lane.window.next_open(at) if lane.window is not None else at
