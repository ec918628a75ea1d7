"""Brings what is due to the connection that may send it.

The dispatcher holds a bounded window over an unbounded queue: eight bytes for each delivery that is
due, and the content of only as many as connections can take. Everything here is synchronous
bookkeeping; what takes time (resolving a domain, opening a connection, reading from disk) is a task
that comes back to it. A site that may not send now is not looked at again until a timer, a finished
connection or new mail says so.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from penstock.limits.ports import Claim, Limiter, Seat
from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.policy.policies import Policies
from penstock.relay.dispatch_ports import Build, Carrier, Connect, DispatchConfig, Settler
from penstock.relay.feed import SiteFeed
from penstock.relay.keeper import Keeper
from penstock.relay.lane import Batch, Extra, Lane, Ticket
from penstock.relay.locate import Find, Locator
from penstock.relay.paces import Paces
from penstock.relay.permit import Permits, Waited
from penstock.relay.placing import Placing
from penstock.relay.ports import Destination, Transaction
from penstock.relay.rules import suspended
from penstock.relay.site import Site
from penstock.relay.sites import RouteLimits
from penstock.relay.spool import Spool
from penstock.relay.stage import Stager
from penstock.relay.tally import Tally
from penstock.relay.tasks import Tasks
from penstock.relay.warmed_sites import WarmedSites
from penstock.relay.warming import Warming
from penstock.schedule.window import connections_wanted
from penstock.smtp.reply import Reply

_FAILED_AT_ONCE = 100


class Dispatcher:
    """One worker's dispatcher. ``now`` is wall time in seconds; the loop's time is monotonic.
    ``starved``: sites that wait because this worker has all the connections it may have.
    ``waited(provider, why, seconds)`` hears of every wait for a limit."""

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
        waited: Waited,
    ) -> None:
        self.config, self.spool, self.limiter = config, spool, limiter
        self._connect_to, self._build, self._now, self._rng = connect, build, now, rng
        self._loop = asyncio.get_running_loop()
        self.settler: Settler
        self.in_flight: set[int] = set()
        self.stopping, self._connections = False, 0
        self.stager = Stager(config.stage, spool, self)
        self.placing = placing = Placing(policies, routes, spool, now, self.pump, self.stager.drop)
        self.permits = Permits(limiter, self.pump, waited)
        self.locator = Locator(find, self, config.resolves_max, now)
        self.paces = Paces(self.permits.gates, now, self.pump, config.workers, config.pairs_max)
        placing.permits, placing.locator, placing.paces = self.permits, self.locator, self.paces
        sites = WarmedSites(placing)
        self.warming = Warming(policies, now, sites, self.paces, config.workers, config.pairs_max)
        self.keeper = Keeper(placing, self.locator, self.permits, config.forget_s)
        self._tasks = Tasks()
        self._connected: dict[Site, None] = {}  # in order, so that a run can be repeated
        self.starved: OrderedDict[Site, None] = OrderedDict()
        self._expired: deque[int] = deque()
        # where lanes and mail go is the placing's business
        self.enqueue, self.lane_of, self.put_back = (
            placing.enqueue,
            placing.lane_of,
            placing.put_back,
        )

    # in: refs that are due

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
        self.placing.enqueue_due(due)
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

    # what the locator tells

    def assign(self, lane: Lane, destination: Destination) -> None:
        self.placing.assign(lane, destination)

    def unassign(self, lane: Lane) -> None:
        self.placing.unassign(lane)

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
        if site.gate is not None or not site.waiting or self.stopping or site.out:
            return
        if self.paces.held(site):
            return
        load = site.load
        while site.idle and load > 0:
            site.idle.pop().wake(True)
            load -= 1
        if load <= 0 or not site.may_open:
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
        tally: Tally | None = None
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
            self.placing.book.worked(site.source)
            site.opening -= 1
            feed = SiteFeed(self, site, carrier.passes_dsn)
            site.feeds.add(feed)
            self._connected[site] = None
            if (tally := site.tally) is not None:
                tally.opened(site.name, self._loop.time())
            await carrier.run(feed)
        finally:
            if feed is None:
                site.opening -= 1
            else:
                site.feeds.discard(feed)
                if tally is not None:
                    tally.closed()
                if not site.feeds:
                    self._connected.pop(site, None)
            self._connections -= 1
            if seated:
                self.permits.leave(seats)
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
        if outcome.phase is Phase.EGRESS:  # says nothing of the site: the source is left alone
            self.placing.source_failed(site.source, str(outcome.reply))
            return
        self.paces.refused(site, outcome)
        if site.pause is not None:
            return  # one of several tried at once; the first has done what follows
        if site.feeds:
            site.cap, site.cap_until = len(site.feeds), now + self.config.forget_s
            return
        site.failures += 1
        site.last_failure = outcome
        # what REQUIRETLS cannot have is final for all that waits, and not only for the first
        final = outcome.kind is Kind.BOUNCED and site.terms.requiretls
        for _ in range(_FAILED_AT_ONCE if final else 1):
            if refs := self.stager.take_refs(site):
                self.fail(refs, self.lane_of(refs[0]), outcome)
        self.permits.pause_connects(site, now + self.backoff(site.failures))

    # out: transactions

    def next(self, feed: SiteFeed) -> Transaction | None:
        """The next transaction of this connection's site, or None where nothing may go now."""
        site, placing = feed.site, self.placing
        while site.waiting and not self.stopping and not site.out:
            if site.policies is not placing.policies:
                placing.refresh(site)
            extra: Extra | None = None
            if self.paces.held(site) or (site.tally is not None and site.tally.shed):
                break  # what was granted is for others
            if site.claims or site.extra or site.paced is not None:
                if site.extra:
                    number = site.ready.turn() or 0
                    extra = site.extra.get(number)
                    if extra and not self.permits.in_window(site, number, extra, self._now()):
                        continue
                else:
                    number = 0
                if not self.permits.may_send(site, extra, number):
                    if site.gate is not None or site.asking:
                        return None
                    continue  # the lane in front has to wait: another may go
            batch = self.stager.take(site)
            if batch is None:
                break
            if not batch.refs or (placing.rounding and not placing.still_right(site, batch.refs)):
                self.permits.give_back(site)
                continue
            if self.warming.active and (batch := self.warming.admit(site, batch)) is None:
                continue
            tx = self._begin(feed, site, batch, extra)
            if tx is not None:
                return tx
        self.permits.give_back(site)
        return None

    def _begin(
        self, feed: SiteFeed, site: Site, batch: Batch, extra: Extra | None
    ) -> Transaction | None:
        """The batch is on its way; None where our own code breaks over it."""
        claims: tuple[Claim, ...] = ()
        seats: tuple[Seat, ...] = ()
        if site.tokens:
            claims, seats = site.tokens_for, site.seated
            site.tokens, site.seated = 0, ()
            if claims and len(batch.refs) > 1:
                batch = self._as_many_as_allowed(site, batch)
            spends = site.byte_claims if extra is None else extra.byte_claims
            if spends:
                self.permits.spent(spends, len(batch.stored[0].body))
        for ref in batch.refs:
            self.in_flight.add(ref)
            self.spool.mark(ref)
        feed.busy_since = now = self._loop.time()
        ticket = Ticket(site, batch, now, claims, seats)
        try:
            return self._build(batch, ticket)
        except Exception as error:
            self._not_built(batch, error)
            if seats:
                self.permits.leave(seats)
            return None

    def _as_many_as_allowed(self, site: Site, batch: Batch) -> Batch:
        """Every recipient counts: those that may not go now stay first in their line."""
        count = 1 + self.permits.more(site, len(batch.refs) - 1)
        if count == len(batch.refs):
            return batch
        for ref in reversed(batch.refs[count:]):
            self.placing.put_back(site, ref)
        if self.warming.active:
            self.warming.unused(site, batch.refs[0], len(batch.refs) - count)
        return batch._replace(refs=batch.refs[:count], stored=batch.stored[:count])

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
        if ticket.seats:
            self.permits.leave(ticket.seats)
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
        if self.warming.active:
            self.warming.done(site, refs[0], outcomes)
        if offered:
            self.settler.settle(feed, ticket, outcomes)
        elif ticket.claims:
            self.limiter.give_back(ticket.claims, len(refs))

    # upkeep

    def sweep(self) -> None:
        """Close idle connections; look at some lanes and sites. Called every second; what it costs
        depends on connections, not on how many lanes there are."""
        now = self._loop.time()
        for site in list(self._connected):
            crowded = bool(self.starved) or self.permits.wanted(site.seats)
            site.close_idle(now, self.config.workers, self.config.idle_surplus_s, crowded)
            self.pump(site)  # what waits behind a connection that hangs gets another
        self.stager.look()
        self.keeper.look(now, self._now())

    def reload(self, policies: Policies, routes: Sequence[RouteLimits]) -> None:
        """Queued mail follows the new policy at once."""
        for lane in self.placing.lanes.values():
            lane.fresh_until = 0.0  # providers and routes may have changed: look again
        self.placing.reload(policies, routes)
        self.warming.reload(policies)

    def ordered(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """What operators have ordered is this from now on."""
        self.placing.ordered(rows)

    async def stop(self, deadline_s: float) -> None:
        """Let transactions under way end, send nothing new; what remains stays queued."""
        self.stopping = True
        self.locator.cancel()
        self.stager.cancel()
        self.permits.cancel()
        self.placing.cancel()
        for site in self.placing.sites.values():
            while site.idle:
                site.idle.popleft().wake(False)
        await self._tasks.end(deadline_s)

    def stats(self) -> dict[str, float]:
        """Costs the same however many lanes and sites there are, while nothing is suspended."""
        return {
            "suspended": suspended(self.placing.rules, self.placing.lanes.values()),
            "lanes": len(self.placing.lanes),
            "sites": len(self.placing.sites),
            "connections": self._connections,
            "in_flight": len(self.in_flight),
            "ready": max(0, self.spool.handed_out - len(self.in_flight)),
            "staged_bytes": self.stager.staged_bytes,
            "resolving": self.locator.pending,
            "gates": len(self.permits.gates),
        }
