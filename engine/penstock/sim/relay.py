"""A worker's relay without sockets: the real queue, a simulated disk, virtual time, scripted peers.

What runs is production code but for the edges: connections, DNS, the disk and the clock.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import random
from collections.abc import Callable
from typing import Any

from penstock.events.journal import Recorder
from penstock.events.metrics import Registry
from penstock.events.no_journal import NoJournal
from penstock.events.types import Attempt
from penstock.limits.local import LocalLimiter
from penstock.mail.dkim_ring import KeyRing
from penstock.mail.envelope import Envelope, Recipient
from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.policy.load import load_policies
from penstock.policy.policies import Policies
from penstock.relay.build import Builder
from penstock.relay.dispatch import Dispatcher
from penstock.relay.dispatch_ports import DispatchConfig
from penstock.relay.explain import Explainer
from penstock.relay.feed import SiteFeed
from penstock.relay.lane import Ticket
from penstock.relay.ports import Destination, Host, Transaction
from penstock.relay.reading import Reading
from penstock.relay.report import ReportConfig, Reporter
from penstock.relay.selection import Selection
from penstock.relay.settle import OutcomeSettler, SettleConfig
from penstock.relay.site import Site
from penstock.relay.spool import Shard, Spool
from penstock.relay.steer import Steering
from penstock.relay.sweep import Sweeper
from penstock.relay.telemetry import Telemetry
from penstock.schedule.clock import SteadyClock
from penstock.smtp.reply import Reply
from penstock_queue import Queue, QueueConfig, SimDisk

NOW = 1_800_000_000.0
OK = Outcome(Kind.DELIVERED, Phase.FINAL, Reply.of(250, "2.0.0 OK"), "mx", "192.0.2.1")
LATER = Outcome(Kind.DEFERRED, Phase.RCPT, Reply.of(451, "4.7.1 Greylisted"), "mx", "192.0.2.1")
NEVER = Outcome(Kind.BOUNCED, Phase.RCPT, Reply.of(550, "5.1.1 No such user"), "mx", "192.0.2.1")
AGAIN = Outcome(Kind.REQUEUED, Phase.MAIL, Reply.of(421, "4.3.2 Closing"), "mx", "192.0.2.1")
REFUSED = Outcome(Kind.DEFERRED, Phase.CONNECT, Reply.of(451, "4.4.1 Connection refused"), "mx")


class Instantly:
    """A committer that commits when it is asked to, in place of the one with a thread; or
    ``commit_s`` later, as a disk would that takes its time."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.group: asyncio.Future[None] | None = None
        self.commit_s = 0.0

    def commit(self) -> asyncio.Future[None]:
        if self.group is None:
            loop = asyncio.get_running_loop()
            self.group = loop.create_future()
            if self.commit_s:
                loop.call_later(self.commit_s, self._run)
            else:
                loop.call_soon(self._run)
        return self.group

    def nudge(self) -> None:
        self.commit()

    def _run(self) -> None:
        group, self.group = self.group, None
        batch = self.queue.begin_commit()
        if batch is not None:
            batch.run()
            failed = self.queue.end_commit(batch)
            if failed is not None:
                if group is not None:
                    group.set_exception(failed)
                    group.exception()
                return
        if group is not None:
            group.set_result(None)

    async def stop(self) -> None:
        self._run()


class Slowly(concurrent.futures.ThreadPoolExecutor):
    """Runs what it is given ``seconds`` later: a disk that takes its time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(1)
        self.seconds = seconds

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        done: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def run() -> None:
            if done.cancelled():
                return
            try:
                done.set_result(call(*args, **kwargs))
            except Exception as error:
                done.set_exception(error)

        asyncio.get_running_loop().call_later(self.seconds, run)
        return done


class Inline(concurrent.futures.ThreadPoolExecutor):
    """Runs what it is given at once: virtual time knows no threads."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        done: concurrent.futures.Future[Any] = concurrent.futures.Future()
        done.set_result(call(*args, **kwargs))
        return done


class Peer:
    """A connection that answers by ``world.answer`` after ``world.latency_s``."""

    passes_dsn = False

    def __init__(self, world: RelayWorld, site: Site) -> None:
        self.world, self.site = world, site

    async def run(self, feed: SiteFeed) -> None:
        world = self.world
        world.open += 1
        world.open_max = max(world.open_max, world.open)
        try:
            while True:
                tx = feed.next()
                if tx is None:
                    if not await feed.wait():
                        return
                    continue
                await asyncio.sleep(world.latency_s)
                world.seen.append((asyncio.get_running_loop().time(), self.site.name, tx))
                feed.done(tx, [world.answer(tx, one) for one in tx.recipients])
        finally:
            world.open -= 1


class RelayWorld:
    """Everything that a worker's relay has around it. ``destinations``: domain -> Destination or
    Outcome; a domain that is not named goes to a site of its own name."""

    def __init__(
        self,
        policies: Policies | None = None,
        *,
        disk: SimDisk | None = None,
        queue: QueueConfig | None = None,
        config: DispatchConfig | None = None,
        jump: float = 0.0,
        recorder: Recorder | None = None,
    ) -> None:
        self.loop = loop = asyncio.get_running_loop()
        loop.set_default_executor(Inline())
        self.disk = disk or SimDisk()
        self.offset = NOW - loop.time() + jump
        self.clock = SteadyClock(self.wall, loop.time)
        self.queue = Queue.open("spool", queue or QueueConfig(), disk=self.disk, now=self.now())
        self.committer = Instantly(self.queue)
        shard = Shard(1, self.queue, self.committer)  # type: ignore[arg-type]
        self.spool = Spool([shard], self._enqueue, lambda e: e)
        self.destinations: dict[str, Destination | Outcome] = {}
        self.found: list[str] = []
        self.connects: list[tuple[float, str]] = []
        self.refuse_connect: Outcome | None = None
        self.refuse_source: dict[str, Outcome] = {}
        self.answer: Callable[[Transaction, str], Outcome] = lambda tx, one: OK
        self.latency_s = 0.1
        self.open = self.open_max = 0
        self.seen: list[tuple[float, str, Transaction]] = []
        self.attempts: list[Attempt] = []
        self.orders: list[dict[str, Any]] = []
        self._ordered = 0
        rng = random.Random(7)
        registry = Registry()
        telemetry = Telemetry(registry, self)
        self.limiter = LocalLimiter(loop.time)
        self.dispatcher = Dispatcher(
            config or DispatchConfig(),
            policies=policies or loaded(""),
            routes=(),
            spool=self.spool,
            limiter=self.limiter,
            find=self.find,
            connect=self.connect,
            build=Builder(KeyRing(), self.now).build,
            now=self.now,
            rng=rng,
            waited=telemetry.waited,
        )
        self.dispatcher.paces.reading = self.reading = Reading((policies or loaded("")).replies)
        self.settler = OutcomeSettler(
            SettleConfig(),
            spool=self.spool,
            reporter=Reporter(ReportConfig("mta.example"), self.spool, telemetry.reported),
            telemetry=telemetry,
            recorder=recorder or NoJournal(),
            reading=self.reading,
            lane_of=self.dispatcher.lane_of,
            now=self.now,
            loop_time=loop.time,
            rng=rng,
            held=self.dispatcher.in_flight,
            paces=self.dispatcher.paces,
        )
        self.dispatcher.settler = self.settler
        self._steer()
        self._runner = asyncio.ensure_future(self._run())

    def _steer(self) -> None:
        placing, locator = self.dispatcher.placing, self.dispatcher.locator
        selection = Selection(placing, locator, self.spool)
        self.sweeper = Sweeper(
            placing, self.settler, self.spool, self.dispatcher.in_flight, selection
        )
        self.explainer = Explainer(
            self.dispatcher, self.settler, self.spool, self.now, 0, self.reading
        )
        self.steering = Steering(
            self.dispatcher, self.sweeper, self.explainer, selection, self.spool, self.now
        )

    def _enqueue(self, refs: list[int], keys: list[bytes]) -> None:
        self.dispatcher.enqueue(refs, keys)

    def wall(self) -> float:
        """The machine's clock: a change of ``offset`` is a jump."""
        return self.loop.time() + self.offset

    def now(self) -> float:
        return self.clock()

    def add(self, attempt: Attempt) -> None:
        """In place of the attempt log."""
        self.attempts.append(attempt)

    async def find(self, domain: str) -> Destination | Outcome:
        self.found.append(domain)
        found = self.destinations.get(domain)
        return found if found is not None else destination(domain, expires_at=self.now() + 3600)

    async def connect(self, site: Site) -> Peer | Outcome:
        self.connects.append((self.loop.time(), site.name))
        await asyncio.sleep(0.05)
        refused = self.refuse_source.get(site.source) or self.refuse_connect
        return refused or Peer(self, site)

    async def send(
        self,
        *recipients: str | Recipient,
        sender: str = "app@example.org",
        tenant: str = "",
        campaign: str = "",
        class_: str = "",
        pool: str = "",
        tls: str = "",
        due: float = 0.0,
        expires_s: float = 5 * 86400.0,
        body: bytes = b"Subject: hello\r\n\r\nhello\r\n",
    ) -> int:
        """Queue a message; returns its ref once it is durable."""
        people = [one if isinstance(one, Recipient) else Recipient(one) for one in recipients]
        now = self.now()
        envelope = Envelope(sender, people, now, tenant=tenant, campaign=campaign)
        envelope.class_, envelope.pool, envelope.tls = class_, pool, tls
        envelope.ref = self.spool.reserve(len(people), now)
        envelope.expires_at = now + expires_s
        await self.spool.append(envelope, [body], due)
        return envelope.ref

    async def order(
        self, verb: str, selector: dict[str, str], *, reason: str = "", **args: Any
    ) -> dict[str, int]:
        """An operator's order, from now on; returns what it names."""
        self._ordered += 1
        self.orders.append(
            {
                "id": f"o{self._ordered}",
                "verb": verb,
                "selector": selector,
                "since": self.now(),
                "until": args.pop("until", 0.0),
                "who": "op",
                "reason": reason,
                "args": args,
            }
        )
        return await self.steering.rules(self.orders, selector)

    async def cancel(self, selector: dict[str, str]) -> dict[str, int]:
        """Orders with this selector end."""
        self.orders = [one for one in self.orders if one["selector"] != selector]
        return await self.steering.rules(self.orders, selector)

    async def obey(self, orders: list[dict[str, Any]]) -> None:
        """Exactly these orders are in force from now on, as after a restart."""
        self.orders = orders
        await self.steering.rules(orders, {})

    async def _run(self) -> None:
        swept = 0.0
        while True:
            await asyncio.sleep(max(0.05, self.dispatcher.tick()))
            if self.loop.time() - swept >= 1.0:
                swept = self.loop.time()
                self.clock.look()
                self.dispatcher.sweep()

    async def pass_time(self, seconds: float) -> None:
        """Let virtual time go by."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        self._runner.cancel()
        await self.dispatcher.stop(1.0)
        await self.spool.stop()

    @property
    def sites(self) -> list[Site]:
        return list(self.dispatcher.placing.sites.values())

    @property
    def entries(self) -> int:
        return int(self.queue.stats()["entries"])

    def sources(self) -> dict[str, list[str]]:
        """By each source, everybody who was offered to a peer by it, in order."""
        found: dict[str, list[str]] = {}
        for _, _, tx in self.seen:
            ticket: Ticket = tx.ticket  # type: ignore[assignment]
            found.setdefault(ticket.site.source, []).extend(tx.recipients)
        return found

    def recipients(self) -> list[str]:
        """Everybody offered to a peer, in order."""
        return [one for _, _, tx in self.seen for one in tx.recipients]

    def kinds(self) -> list[str]:
        return [one.outcome.kind.value for one in self.attempts]


def destination(
    domain: str, site: str = "", provider: str = "", expires_at: float = 0.0
) -> Destination:
    host = Host(f"mx.{domain}", ("192.0.2.1",), 10)
    return Destination(domain, (host,), site or domain, provider, "mx", None, expires_at or 9e9)


def loaded(text: str, **files: str) -> Policies:
    """Policies from the text of ``default.toml``, and of others by name without ``.toml``."""
    policies = load_policies(
        {"default.toml": text, **{f"{name}.toml": one for name, one in files.items()}}
    )
    assert isinstance(policies, Policies), policies
    return policies
