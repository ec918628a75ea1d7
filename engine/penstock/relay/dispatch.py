"""Brings what is due to the connection that may send it.

The dispatcher holds a bounded window over an unbounded queue: eight bytes for each delivery that is
due, and the content of only as many as connections can take. Everything here is synchronous
bookkeeping; what takes time (resolving a domain, opening a connection, reading from disk) is a task
that comes back to it. A site that may not send now is not looked at again until a timer, a finished
connection or new mail says so.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence

from penstock.limits.ports import Limiter
from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.mail.record import unpack_key
from penstock.policy.policies import Policies
from penstock.relay.dispatch_ports import Build, Carrier, Connect, DispatchConfig, Settler
from penstock.relay.feed import SiteFeed
from penstock.relay.keeper import Keeper
from penstock.relay.lane import Batch, Lane, Selector, Site, Ticket
from penstock.relay.locate import Find, Locator
from penstock.relay.permit import Permits
from penstock.relay.ports import Destination, Transaction
from penstock.relay.sites import RouteLimits, apply_limits, build_site, site_limits, site_name
from penstock.relay.spool import Spool
from penstock.relay.stage import Stager
from penstock.relay.tasks import Tasks
from penstock.schedule.window import connections_wanted
from penstock.smtp.reply import Reply


class Dispatcher:
    """One worker's dispatcher. ``now`` is wall time in seconds; the loop's time is monotonic.
    ``starved``: sites that wait because this worker has all the connections it may have."""

    def __init__(
        self,
        config: DispatchConfig,
        *,
        policies: Policies,
        routes: Sequence[RouteLimits],
        spool: Spool,
        limiter: Limiter,
        find: Find,
        connect: Connect,
        build: Build,
        now: Callable[[], float],
        rng: random.Random,
        waited: Callable[[str, float], None],
    ) -> None:
        self.config, self.spool, self._limiter = config, spool, limiter
        self._policies, self._routes = policies, routes
        self._connect_to, self._build, self._now, self._rng = connect, build, now, rng
        self._loop = asyncio.get_running_loop()
        self.settler: Settler
        self.lanes: dict[bytes, Lane] = {}
        self.sites: dict[str, Site] = {}
        self.in_flight: set[int] = set()
        self.suspensions: dict[str, Selector] = {}
        self.stopping, self._connections = False, 0
        self.locator = Locator(find, self, config.resolves_max, now)
        self.stager = Stager(config.stage, spool, self)
        self.permits = Permits(limiter, self.pump, waited)
        self._numbers, self._tasks = itertools.count(1), Tasks()
        self._connected: dict[Site, None] = {}  # in order, so that a run can be repeated
        self.keeper = Keeper(self.lanes, self.sites, self.locator, self.permits, config.forget_s)
        self.starved: OrderedDict[Site, None] = OrderedDict()
        self._expired: deque[int] = deque()

    # in: refs that are due

    def enqueue(self, refs: Sequence[int], keys: Iterable[bytes] | None = None) -> None:
        """Take durable, due deliveries; called after a commit and by :meth:`tick`. ``keys``: the
        queue key of each, where they are at hand."""
        touched: dict[Site, None] = {}
        wall, now = self._now(), self._loop.time()
        if keys is None:
            keys = map(self.spool.key_bytes, refs)
        for ref, key in zip(refs, keys, strict=True):
            lane = self.lanes.get(key) or self._new_lane(key)
            lane.used = now
            site = lane.site
            if site is None or site.forgotten:
                lane.site = None
                lane.waiting.push(ref)
                self.locator.want(lane)
                continue
            site.ready.push(lane.number, ref)
            touched[site] = None
            if lane.fresh_until <= wall:
                self.locator.want(lane)
        for site in touched:
            self.pump(site)

    def lane_of(self, ref: int) -> Lane:
        key = self.spool.key_bytes(ref)
        return self.lanes.get(key) or self._new_lane(key)

    def _new_lane(self, key: bytes) -> Lane:
        lane = self.lanes[key] = Lane(next(self._numbers), unpack_key(key))
        lane.limits = self._policies.limits("", "", lane.key.domain)  # until it has a site
        lane.held = self._suspended(lane)
        return lane

    def _suspended(self, lane: Lane) -> bool:
        return any(lane.matches(selector) for selector in self.suspensions.values())

    def tick(self) -> float:
        """Move what came due; returns seconds until it should be called again."""
        now = self._now()
        refs, due = self.spool.pop_due(now, self.config.due_batch), list[int]()
        for ref in refs:
            if not self.live(ref):
                continue
            if 0 < self.spool.expires(ref) <= now:
                self._expired.append(ref)
            else:
                due.append(ref)
        self.enqueue(due)
        # each is read and reported, so they go a few at a time
        for _ in range(min(self.config.expire_batch, len(self._expired))):
            ref = self._expired.popleft()
            if self.live(ref):
                self._expire(ref)
        if self._expired or len(refs) >= self.config.due_batch:
            return 0.0
        deadline = self.spool.next_deadline()
        return 1.0 if deadline is None else min(1.0, max(0.01, deadline - now))

    def _expire(self, ref: int) -> None:
        lane = self.lane_of(ref)
        self.settler.expire([ref], lane, lane.site.last_failure if lane.site else None)

    # where lanes go

    def assign(self, lane: Lane, destination: Destination) -> None:
        """The lane's mail goes to ``destination`` from now on, also what already waits."""
        name = site_name(destination, lane.key.domain, self._policies)
        site = self.sites.get(name)
        if site is None:
            site = build_site(name, destination, self._policies, self._routes)
            site.idle_since = self._loop.time()
            self.sites[name] = site
        else:
            site.destination = destination
        lane.fresh_until, lane.provider = destination.expires_at, destination.provider
        lane.limits = site_limits(destination, self._policies, self._routes, lane.key.domain)
        if lane.site is not site:
            self.unassign(lane)
            lane.site = site
            self.hold(lane, self._suspended(lane))
        while lane.waiting:
            site.ready.push(lane.number, lane.waiting.pop())
        self.pump(site)

    def unassign(self, lane: Lane) -> None:
        """Take what is ready back into the lane."""
        if lane.site is not None:
            lane.waiting.extend(lane.site.ready.drop(lane.number))
            lane.site.ready.release(lane.number)
            lane.site = None

    def hold(self, lane: Lane, held: bool) -> None:
        lane.held = held
        if lane.site is not None:
            if held:
                lane.site.ready.hold(lane.number)
            else:
                lane.site.ready.release(lane.number)
                self.pump(lane.site)

    def fail(self, refs: Sequence[int], lane: Lane, outcome: Outcome) -> None:
        self.settler.fail(refs, lane, outcome)

    def live(self, ref: int) -> bool:
        """Whether a ref from a queue may be sent: not settled meanwhile, nor on its way."""
        return ref not in self.in_flight and self.spool.exists(ref)

    def backoff(self, failures: int) -> float:
        """Seconds to leave something alone after so many failures in a row."""
        pause = self.config.block_initial_s * 2.0 ** min(failures - 1, 16)
        return min(pause, self.config.block_max_s) * (0.75 + 0.5 * self._rng.random())

    # out: connections

    def pump(self, site: Site) -> None:
        """Wake idle connections and open new ones, as many as what is ready deserves."""
        if not site.waiting or self.stopping or site.wake is not None:
            return
        load = site.load
        while site.idle and load > 0:
            site.idle.pop().wake(True)
            load -= 1
        if load <= 0 or site.connect_wake is not None:
            return
        now = self._loop.time()
        limit = site.limits.connections if not site.failures else 1  # one finds out for all
        if site.cap_until > now:
            limit = min(limit, max(1, site.cap))
        wanted = min(limit, connections_wanted(site.load, limit) + site.stuck(now))
        while len(site.feeds) + site.opening < wanted:
            if self._connections >= self.config.connections_max:
                self.starved[site] = None
                return
            site.opening += 1
            self._connections += 1
            self._tasks.spawn(self._serve(site))

    async def _serve(self, site: Site) -> None:
        """One connection's life: permission, connect, transactions, farewell."""
        feed: SiteFeed | None = None
        seats = site.seats
        seated = False
        try:
            seated = await self.permits.seat(site)
            if not seated:
                return
            carrier = await self._open(site)
            if isinstance(carrier, Outcome):
                self._connect_failed(site, carrier)
                return
            site.failures, site.last_failure = 0, None
            site.opening -= 1
            feed = SiteFeed(self, site, carrier.passes_dsn)
            site.feeds.add(feed)
            self._connected[site] = None
            await carrier.run(feed)
        finally:
            if feed is None:
                site.opening -= 1
            else:
                site.feeds.discard(feed)
                if not site.feeds:
                    self._connected.pop(site, None)
            self._connections -= 1
            if seated:
                self._limiter.disconnect(seats)
            site.idle_since = self._loop.time()
            self._loop.call_soon(self._relieve, site)

    def _relieve(self, site: Site) -> None:
        """A connection of ``site`` ended: those that wait for one come first."""
        while self.starved and self._connections < self.config.connections_max:
            self.pump(self.starved.popitem(last=False)[0])
        self.pump(site)

    async def _open(self, site: Site) -> Carrier | Outcome:
        """A bug on the way to one site must not become a storm of attempts: it counts as a
        failure like any other, and says so."""
        try:
            return await self._connect_to(site)
        except Exception as error:
            self._loop.call_exception_handler({"message": "connecting failed", "exception": error})
            reply = Reply.of(451, "4.3.0 Local error while connecting")
            return Outcome(Kind.DEFERRED, Phase.CONNECT, reply)

    def _connect_failed(self, site: Site, outcome: Outcome) -> None:
        """With other connections open it is a hint to have fewer; with none the site is down: one
        transaction is deferred so that the reason shows, the rest wait without being touched."""
        now = self._loop.time()
        if site.connect_wake is not None:
            return  # one of several tried at once; the first has done what follows
        if site.feeds:
            site.cap, site.cap_until = len(site.feeds), now + self.config.forget_s
            return
        site.failures += 1
        site.last_failure = outcome
        if refs := self.stager.take_refs(site):
            self.fail(refs, self.lane_of(refs[0]), outcome)
        self.permits.pause_connects(site, now + self.backoff(site.failures))

    # out: transactions

    def next(self, feed: SiteFeed) -> Transaction | None:
        """The next transaction of this connection's site, or None where nothing may go now."""
        site = feed.site
        while site.waiting and not self.stopping:
            if site.claims and not self.permits.may_send(site):
                return None
            batch = self.stager.take(site)
            if batch is None:
                break
            for ref in batch.refs:
                self.in_flight.add(ref)
                self.spool.mark(ref)
            feed.busy_since = now = self._loop.time()
            try:
                tx = self._build(batch, Ticket(site, batch, now))
            except Exception as error:
                self._not_built(batch, error)
                continue
            if site.claims:
                site.tokens -= 1
            return tx
        self.permits.give_back(site)
        return None

    def _not_built(self, batch: Batch, error: Exception) -> None:
        """A message that breaks our own code must not hold up those behind it."""
        self._loop.call_exception_handler({"message": "message not built", "exception": error})
        self.in_flight.difference_update(batch.refs)
        reply = Reply.of(451, "4.3.0 Local error while preparing the message")
        outcome = Outcome(Kind.DEFERRED, Phase.MAIL, reply)
        self.settler.fail(batch.refs, self.lane_of(batch.refs[0]), outcome)

    def done(self, feed: SiteFeed, tx: Transaction, outcomes: Sequence[Outcome]) -> None:
        """Take a transaction back. What was never offered goes to the head of its queue again."""
        ticket: Ticket = tx.ticket  # type: ignore[assignment]
        site, refs = ticket.site, ticket.batch.refs
        self.in_flight.difference_update(refs)
        site.carried(self._loop.time() - ticket.started)
        offered = False
        for ref, outcome in zip(reversed(refs), reversed(outcomes), strict=True):
            if outcome.kind is not Kind.REQUEUED:
                offered = True
                continue
            self.spool.unmark(ref)
            if 0 < self.spool.expires(ref) <= self._now():
                self._expire(ref)
                continue
            self.put_back(site, ref)
        if offered:
            self.settler.settle(feed, ticket, outcomes)
        elif site.claims:
            self._limiter.give_back(site.claims, 1)

    def put_back(self, site: Site, ref: int) -> None:
        """First in its line again. A lane that was forgotten meanwhile belongs to ``site``."""
        lane = self.lane_of(ref)
        if lane.site is None or lane.site.forgotten:
            lane.site, lane.provider = site, site.provider
            self.hold(lane, self._suspended(lane))
        lane.site.ready.push_front(lane.number, ref)
        if lane.site is not site:  # the domain moved while it was on its way
            self._loop.call_soon(self.pump, lane.site)

    # upkeep

    def sweep(self) -> None:
        """Close idle connections; look at some lanes and sites. Called every second; what it costs
        depends on connections, not on how many lanes there are."""
        now, crowded = self._loop.time(), bool(self.starved)
        for site in list(self._connected):
            site.close_idle(now, self.config.workers, self.config.idle_surplus_s, crowded)
            self.pump(site)  # what waits behind a connection that hangs gets another
        self.stager.look()
        self.keeper.look(now, self._now())

    def reload(self, policies: Policies, routes: Sequence[RouteLimits]) -> None:
        """Queued mail follows the new policy at once."""
        self._policies, self._routes = policies, routes
        for site in self.sites.values():
            if site.destination.route is None or site.destination.route < len(routes):
                apply_limits(site, policies, routes)
        for lane in self.lanes.values():
            lane.fresh_until = 0.0  # providers and routes may have changed: look again
            lane.limits = lane.limits if lane.site else policies.limits("", "", lane.key.domain)
            if lane.site is not None:
                self.locator.want(lane)
        for site in self.sites.values():
            self.permits.wake(site)

    async def stop(self, deadline_s: float) -> None:
        """Let transactions under way end, send nothing new; what remains stays queued."""
        self.stopping = True
        self.locator.cancel()
        self.stager.cancel()
        self.permits.cancel()
        for site in self.sites.values():
            while site.idle:
                site.idle.popleft().wake(False)
        await self._tasks.end(deadline_s)

    def stats(self) -> dict[str, float]:
        """Costs the same however many lanes and sites there are, while nothing is suspended."""
        sites = self.sites.values() if self.suspensions else ()
        return {
            "lanes": len(self.lanes),
            "sites": len(self.sites),
            "connections": self._connections,
            "in_flight": len(self.in_flight),
            "ready": max(0, self.spool.handed_out - len(self.in_flight)),
            "suspended": sum(len(site.ready) - site.ready.ready for site in sites),
            "staged_bytes": self.stager.staged_bytes,
            "resolving": self.locator.pending,
        }
