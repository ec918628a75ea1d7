"""Forgets lanes and sites that nothing goes through any more, a few at a time.

A worker may know a hundred thousand lanes; walking them all at once would stall mail that flows.
Each call looks at a bounded slice; a round through everything takes as many calls as it takes.
"""

from __future__ import annotations

from penstock.relay.lane import Lane, Site
from penstock.relay.locate import Locator
from penstock.relay.permit import Permits

SLICE = 2000


class Keeper:
    """Works on the dispatcher's own tables; ``forget_s``: idle for so long is idle enough."""

    def __init__(
        self,
        lanes: dict[bytes, Lane],
        sites: dict[str, Site],
        locator: Locator,
        permits: Permits,
        forget_s: float,
    ) -> None:
        self._lanes, self._sites = lanes, sites
        self._locator, self._permits, self._forget_s = locator, permits, forget_s
        self._keys: list[bytes] = []
        self._names: list[str] = []

    def look(self, now: float, wall: float) -> None:
        """One slice. ``now``: the loop's time; ``wall``: seconds since the epoch."""
        if not self._keys and not self._names:
            self._keys, self._names = list(self._lanes), list(self._sites)
        for _ in range(min(SLICE, len(self._keys))):
            self._lane(self._keys.pop(), now, wall)
        for _ in range(min(SLICE, len(self._names))):
            self._site(self._names.pop(), now)

    def _lane(self, key: bytes, now: float, wall: float) -> None:
        lane = self._lanes.get(key)
        if lane is None or lane.waiting or lane.resolving:
            return
        site = lane.site
        if site is not None and site.ready.count(lane.number):
            if site.failures and lane.fresh_until <= wall:
                self._locator.want(lane)  # the domain may have moved away from a dead site
        elif lane.used < now - self._forget_s:
            del self._lanes[key]
            if site is not None:
                site.ready.release(lane.number)

    def _site(self, name: str, now: float) -> None:
        site = self._sites.get(name)
        if site is not None and site.empty and site.idle_since < now - self._forget_s:
            del self._sites[name]
            site.forgotten = True
            self._permits.forget(site)
