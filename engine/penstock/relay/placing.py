"""Which mail stands where: lanes, the sites that their mail goes to, and what moves it.

A delivery that is due comes to its lane (by queue key) and from there to the ready queue of a site
(by destination and source). Where it stands may become wrong later: the domain moves, a source goes
out, an operator gives an order, a policy is reloaded. Then a *round* begins: every lane is looked
at again, some at a time, and until it is through, lanes that it has not reached yet are looked at
when something is taken from them. So an order holds at once, and stops nothing meanwhile.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from penstock.mail.record import unpack_key
from penstock.policy.policies import Policies
from penstock.policy.tenants import CLASSES
from penstock.relay.describe import Describing
from penstock.relay.lane import Lane
from penstock.relay.locate import Locator
from penstock.relay.paces import Paces
from penstock.relay.permit import Permits
from penstock.relay.ports import Destination
from penstock.relay.rules import Rules
from penstock.relay.site import Site
from penstock.relay.sites import (
    RouteLimits,
    apply_limits,
    settle_in,
    site_limits,
    site_name,
    terms_of,
)
from penstock.relay.spool import Spool
from penstock.relay.tasks import Tasks
from penstock.relay.ways import FIRST, ROUTED, SourceBook
from penstock.schedule.ready import ReadyQueue

_PLACED_AT_ONCE = 5000
_LANES_AT_ONCE = 200


class Placing:
    """One worker's lanes and sites. ``pump(site)`` is called when something was added to it;
    ``drop(site, refs)`` when what was read ahead for it goes elsewhere. ``now`` is wall time."""

    locator: Locator
    permits: Permits
    paces: Paces

    def __init__(
        self,
        policies: Policies,
        routes: Sequence[RouteLimits],
        spool: Spool,
        now: Callable[[], float],
        pump: Callable[[Site], None],
        drop: Callable[[Site, Sequence[int]], None],
    ) -> None:
        self.policies, self.routes = policies, routes
        self.lanes: dict[bytes, Lane] = {}
        self.sites: dict[tuple[str, str], Site] = {}
        self.rules, self.book = Rules(), SourceBook(policies.pools)
        self.rounding, self.round = False, 0
        self.stamps = False  # mail is stamped with tokens: see relay/stamp.py
        self._spool, self._now, self._pump, self._drop = spool, now, pump, drop
        self._loop = asyncio.get_running_loop()
        self._describing = Describing()
        self._numbers, self._tasks = itertools.count(1), Tasks()

    # in: refs that are due

    def enqueue(self, refs: Iterable[int], keys: Iterable[bytes]) -> None:
        """Fresh mail; called after a commit."""
        touched: dict[Site, None] = {}
        wall, now = self._now(), self._loop.time()
        lanes = self.lanes
        for ref, key in zip(refs, keys, strict=True):
            lane = lanes.get(key) or self.new_lane(key)
            lane.used = now
            site = lane.site if lane.single else self._site_for(lane, ref)
            if site is None or site.forgotten:
                self._put_aside(lane, ref)
                continue
            site.ready.push(lane.number, ref)
            touched[site] = None
            if lane.fresh_until <= wall:
                self.locator.want(lane)
        for site in touched:
            self._pump(site)

    def enqueue_due(self, refs: Iterable[int]) -> None:
        """What the timers give back: deferred mail, and mail for a time that has come."""
        touched: dict[Site, None] = {}
        wall, now = self._now(), self._loop.time()
        for ref in refs:
            lane = self.lane_of(ref)
            lane.used = now
            site = self._place(lane, ref)
            if site is not None:
                touched[site] = None
                if lane.fresh_until <= wall:
                    self.locator.want(lane)
        for site in touched:
            self._pump(site)

    def lane_of(self, ref: int) -> Lane:
        return self.lane(self._spool.key_bytes(ref))

    def lane(self, key: bytes) -> Lane:
        """The lane of a queue key, made where it is missing."""
        return self.lanes.get(key) or self.new_lane(key)

    def new_lane(self, key: bytes) -> Lane:
        lane = self.lanes[key] = Lane(next(self._numbers), unpack_key(key))
        self._describing.describe(lane, self.policies, self.stamps)
        lane.held = self.rules.held(lane)
        lane.round = self.round
        return lane

    # where it goes

    def assign(self, lane: Lane, destination: Destination) -> None:
        """The lane's mail goes to ``destination`` from now on, also what already waits."""
        lane.destination = destination
        lane.fresh_until, lane.provider = destination.expires_at, destination.provider
        lane.limits = site_limits(destination, self.policies, self.routes, lane.key.domain)
        terms = terms_of(lane, destination, self.policies)
        name = site_name(destination, lane.key.domain, self.policies, terms)
        for site in lane.sites():
            if site.name == name:  # any other has what is left in it of other domains
                site.destination, site.terms = destination, terms
                self.paces.join(site)
        self.arrange(lane)

    def unassign(self, lane: Lane) -> None:
        """Take what is ready back into the lane."""
        for site in list(lane.sites()):
            self._depart(lane, site)
        lane.destination, lane.way, lane.site_name = None, None, ""

    def arrange(self, lane: Lane) -> None:
        """Bring the lane's mail to where it belongs now, and hold or release it."""
        if lane.round != self.round:  # whoever comes before the round has this part of it
            self._describing.describe(lane, self.policies, self.stamps)
        lane.round = self.round
        destination = lane.destination
        if destination is None:
            lane.held = self.rules.held(lane)
            return
        way = self.rules.way(lane, self.book, destination.provider)
        lane.terms = terms = terms_of(lane, destination, self.policies)
        name = site_name(destination, lane.key.domain, self.policies, terms)
        moves = lane.way is not None and way is not lane.way and way.moves(lane.way)
        lane.site_name, lane.way = name, way
        for site in list(lane.sites()):
            stays = site.name == name and site.source in way.sources and not moves
            if site.forgotten or not stays:
                self._depart(lane, site)
        lane.single = bool(way.only) and lane.site is not None
        for site in lane.sites():
            settle_in(lane, site)
        self._hold(lane)
        self._place_waiting(lane)

    def _site_for(self, lane: Lane, ref: int) -> Site | None:
        """Where this one goes; ``None`` where the lane has no destination or no source."""
        destination, way = lane.destination, lane.way
        if destination is None or way is None:
            return None
        source = way.source(self._spool.message(ref))
        site = lane.site_of(source)
        if site is not None and not site.forgotten:
            return site
        if not source:
            return None
        if site is not None:
            self._depart(lane, site)
        return self._join(lane, destination, source)

    def source_of(self, lane: Lane, ref: int) -> str:
        """By which source this one goes, as things stand; ``""`` where that is not known."""
        way = lane.way
        return way.source(self._spool.message(ref)) if way is not None and way.sources else ""

    def _join(self, lane: Lane, destination: Destination, source: str) -> Site:
        site = self.sites.get((source, lane.site_name))
        if site is None:
            ready = ReadyQueue(self._floors())
            site = Site(lane.site_name, source, destination, self._pump, ready)
            site.terms = lane.terms
            apply_limits(site, self.policies, self.routes)
            self.paces.join(site)
            site.idle_since = self._loop.time()
            self.sites[source, lane.site_name] = site
        else:
            site.destination, site.terms = destination, lane.terms
        lane.join(site)
        lane.single = lane.way is not None and bool(lane.way.only)
        settle_in(lane, site)
        rule = lane.held or self.rules.held(lane, source)
        if rule is not None:
            site.ready.hold(lane.number)
        return site

    def _depart(self, lane: Lane, site: Site) -> None:
        """What the lane has at the site comes back to the lane."""
        if site.staged:
            self._drop(site, list(site.ready.refs(lane.number)))
        lane.waiting.extend(site.ready.drop(lane.number))
        site.ready.release(lane.number)
        site.extra.pop(lane.number, None)
        site.alone.discard(lane.number)
        lane.part(site)
        lane.single = False

    def _place(self, lane: Lane, ref: int) -> Site | None:
        site = lane.site if lane.single else self._site_for(lane, ref)
        if site is None or site.forgotten:
            self._put_aside(lane, ref)
            return None
        if self._spool.tried(ref):
            site.ready.push_retry(lane.number, ref)
        else:
            site.ready.push(lane.number, ref)
        return site

    def _put_aside(self, lane: Lane, ref: int) -> None:
        lane.waiting.push(ref)
        if lane.site is not None and lane.site.forgotten:
            self._depart(lane, lane.site)
        if lane.destination is None or lane.fresh_until <= self._now():
            self.locator.want(lane)
        elif lane.way is not None and lane.way.sources:
            self._place_waiting(lane)

    def _place_waiting(self, lane: Lane) -> None:
        """Give what waits in the lane to its sites, a bounded number at a time."""
        touched: dict[Site, None] = {}
        way = lane.way
        if lane.destination is None or way is None or not way.sources:
            return
        for _ in range(min(_PLACED_AT_ONCE, len(lane.waiting))):
            ref = lane.waiting.pop()
            if self._spool.exists(ref) and (site := self._place(lane, ref)) is not None:
                touched[site] = None
        if lane.waiting:
            self._loop.call_soon(self._place_waiting, lane)
        for site in touched or lane.sites():
            self._pump(site)

    def put_back(self, site: Site, ref: int, turn: bool = False) -> None:
        """First in its line again, where it belongs now; with ``turn`` it goes next, as it would
        have if nobody had looked at it."""
        lane = self.lane_of(ref)
        if lane.destination is None and not site.forgotten:  # it was forgotten meanwhile
            lane.destination = replace(site.destination, tls=site.terms.published)
            lane.provider = site.provider
            self.arrange(lane)
        target = site if lane.site_of(site.source) is site else self._site_for(lane, ref)
        if target is None:
            lane.waiting.push_front(ref)
            self.locator.want(lane)
            return
        target.ready.push_front(lane.number, ref, self._spool.tried(ref), turn=turn)
        if target is not site:  # the domain or the source moved while it was on its way
            self._loop.call_soon(self._pump, target)

    # orders

    def _hold(self, lane: Lane) -> None:
        lane.held = self.rules.held(lane)
        for site in lane.sites():
            rule = lane.held or self.rules.held(lane, site.source)
            if rule is not None:
                site.ready.hold(lane.number)
            elif site.ready.held(lane.number):
                site.ready.release(lane.number)
                self._pump(site)

    def ordered(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """The orders of operators that are in force from now on."""
        self.rules.replace(rows)
        self.book.suspended(self.rules.suspends)
        self.sources_changed()

    def sources_changed(self) -> None:
        for site in self.sites.values():
            self.look_at_source(site)
        self.begin_round()

    def look_at_source(self, site: Site) -> None:
        """The site's source can be used from now on, or not any more."""
        mail = ROUTED if site.destination.route is not None else FIRST
        out = bool(self.book.why_out(site.source, site.provider, mail))
        if out != site.out:
            site.out = out
            self._pump(site)

    def source_failed(self, source: str, reason: str) -> None:
        """Nothing could leave by ``source``: its mail goes by others until it is tried again."""
        pause_s = self.book.failed(source, reason, self._loop.time())
        if pause_s:
            self._loop.call_later(pause_s, self._try_source, source)
            self.sources_changed()

    def _try_source(self, source: str) -> None:
        self.book.try_again(source)
        self.sources_changed()

    def reload(self, policies: Policies, routes: Sequence[RouteLimits]) -> None:
        """Queued mail follows the new policy at once."""
        self.policies, self.routes = policies, routes
        self.book.reload(policies.pools)
        self.book.suspended(self.rules.suspends)
        self.sources_changed()

    def refresh(self, site: Site) -> None:
        """Give the site the limits of the policy in force; called when it is next used."""
        route, before = site.destination.route, site.terms.demand(site.limits)
        if route is None or route < len(self.routes):
            apply_limits(site, self.policies, self.routes)
        if site.terms.demand(site.limits) != before:
            self._leave(site)
        self.paces.join(site)
        site.policies = self.policies
        site.ready.set_floors(self._floors())
        self.permits.give_back(site)
        self.permits.forget(site)

    def _leave(self, site: Site) -> None:
        """Its connections are not what its mail demands now: it gets others, at another site of
        the name. They carry no more of it, since every lane is looked at before."""
        if self.sites.get((site.source, site.name)) is site:
            del self.sites[site.source, site.name]
        site.forgotten = True
        while site.idle:
            site.idle.popleft().wake(False)

    def _floors(self) -> tuple[float, float, float]:
        first, second, third = map(self.policies.floors().__getitem__, CLASSES)
        return first, second, third

    def begin_round(self) -> None:
        """Look at every lane again."""
        self.round += 1
        if not self.rounding:
            self.rounding = True
            self._tasks.spawn(self._go_round())

    async def _go_round(self) -> None:
        policies: Policies | None = None
        try:
            while policies is not self.policies or any(
                lane.round != self.round for lane in self.lanes.values()
            ):
                policies = self.policies
                for number, lane in enumerate(list(self.lanes.values())):
                    if number % _LANES_AT_ONCE == 0:
                        await asyncio.sleep(0)
                    if lane.round != self.round:
                        self.look_again(lane)
                for site in list(self.sites.values()):
                    if site.policies is not self.policies:
                        self.refresh(site)
                        self._pump(site)
        finally:
            self.rounding = False

    def still_right(self, site: Site, refs: Sequence[int]) -> bool:
        """While a round goes on: whether these may go from ``site``, as things stand now. If not
        they go back to where they belong."""
        lane = self.lane_of(refs[0])
        if lane.round != self.round:
            self.look_again(lane)
        if lane.site_of(site.source) is site and not site.ready.held(lane.number) and not site.out:
            return True
        for ref in reversed(refs):
            self.put_back(site, ref)
        return False

    def look_again(self, lane: Lane) -> None:
        """One lane's part of a round."""
        for site in lane.sites():
            if site.policies is not self.policies:
                self.refresh(site)
        self.arrange(lane)
        if lane.destination is not None and lane.fresh_until <= self._now():
            self.locator.want(lane)

    def cancel(self) -> None:
        self._tasks.cancel()
