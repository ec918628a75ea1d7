"""Forgets lanes and sites that nothing goes through any more, a few at a time.

A worker may know a hundred thousand lanes; walking them all at once would stall mail that flows.
Each call looks at a bounded slice; a round through everything takes as many calls as it takes.
"""

from __future__ import annotations

from penstock.relay.lane import Lane
from penstock.relay.locate import Locator
from penstock.relay.permit import Permits
from penstock.relay.placing import Placing

SLICE = 500


class Keeper:
    """Works on the dispatcher's own tables; ``forget_s``: idle for so long is idle enough."""

    def __init__(
        self, placing: Placing, locator: Locator, permits: Permits, forget_s: float
    ) -> None:
        self._placing = placing
        self._locator, self._permits, self._forget_s = locator, permits, forget_s
        self._keys: list[bytes] = []
        self._names: list[tuple[str, str]] = []

    def look(self, now: float, wall: float) -> None:
        """One slice. ``now``: the loop's time; ``wall``: seconds since the epoch."""
        if not self._keys and not self._names:
            self._keys, self._names = list(self._placing.lanes), list(self._placing.sites)
        for _ in range(min(SLICE, len(self._keys))):
            self._lane(self._keys.pop(), now, wall)
        for _ in range(min(SLICE, len(self._names))):
            self._site(self._names.pop(), now)

    def _lane(self, key: bytes, now: float, wall: float) -> None:
        lane = self._placing.lanes.get(key)
        if lane is None or lane.waiting or lane.resolving:
            return
        if any(site.ready.count(lane.number) for site in lane.sites()):
            if lane.fresh_until <= wall and any(site.failures for site in lane.sites()):
                self._locator.want(lane)  # the domain may have moved away from a dead site
        elif lane.used < now - self._forget_s:
            self._forget_lane(key, lane)

    def _forget_lane(self, key: bytes, lane: Lane) -> None:
        placing = self._placing
        del placing.lanes[key]
        for site in lane.sites():
            site.ready.drop(lane.number)
            site.ready.release(lane.number)
            site.extra.pop(lane.number, None)
            site.alone.discard(lane.number)

    def _site(self, name: tuple[str, str], now: float) -> None:
        site = self._placing.sites.get(name)
        if site is not None and site.empty and site.idle_since < now - self._forget_s:
            del self._placing.sites[name]
            site.forgotten = True
            self._placing.paces.part(site)
            self._permits.forget(site)
