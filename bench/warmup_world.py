"""A fleet that warms a source up, in virtual time: workers that come and go, and one book.

The workers are the production relay with connections that answer at once; the book is the
supervisor's own, in a directory. A crash takes a worker's tokens along and gives the book no time
to write; the next fleet has as many workers as it likes.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from penstock.daemon.warmup import Warmups
from penstock.events.metrics import Registry
from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.policy.policies import Policies
from penstock.relay.dispatch_ports import DispatchConfig
from penstock.relay.lane import Ticket
from penstock.relay.ports import Transaction
from penstock.schedule.warmup import WarmupState
from penstock.sim.relay import NOW, OK, RelayWorld, destination
from penstock.smtp.reply import Reply
from penstock_queue.simdisk import SimDisk

DAY_S = 86400.0
WORKERS_MAX = 4
STEP_S = 20.0  # how often a worker looks at what came due
DEFERRED = Outcome(
    Kind.DEFERRED, Phase.FINAL, Reply.of(421, "4.3.2 System not accepting network messages")
)
REFUSED = Outcome(Kind.BOUNCED, Phase.RCPT, Reply.of(550, "5.1.1 The account does not exist"))
BLOCKED = Outcome(
    Kind.BOUNCED, Phase.MAIL, Reply.of(550, "5.7.1 Your IP address is on our block list")
)
BLOCK_RULE = """\
provider = "any"
[[rule]]
name = "block-list"
category = "reputation-block"
match = 'ip address is on our block list'
matches = ["550 5.7.1 Your IP address is on our block list"]
"""
GMAIL, YAHOO = "@gmail.example", "@yahoo.example"
Answer = Callable[[str, str, float], Outcome]  # source, provider, days since the beginning


class World(RelayWorld):
    """A worker that looks seldom: a month is long."""

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(STEP_S)
            self.dispatcher.tick()
            self.clock.look()
            self.dispatcher.sweep()
            self.dispatcher.warming.look()


@dataclass
class Fleet:
    """``answer`` is what the providers say. ``came``: what each was offered, by day, source and
    provider; ``first_waited``: the longest that transactional mail waited, in seconds."""

    directory: str
    policies: Policies
    answer: Answer = lambda source, provider, day: OK
    began: float = 0.0
    came: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    by_hour: Counter[tuple[int, int, str, str]] = field(default_factory=Counter)
    delivered: Counter[str] = field(default_factory=Counter)
    offered: set[str] = field(default_factory=set)
    first_waited: float = 0.0
    worlds: list[World] = field(default_factory=list)
    sent: int = 0
    restarts: int = 0

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.disks: dict[int, SimDisk] = defaultdict(SimDisk)
        self._ticker: asyncio.Task[None] | None = None
        self.lock = asyncio.Lock()  # nobody sends while it restarts

    @property
    def now(self) -> float:
        return NOW + self.loop.time() - self.began

    @property
    def day(self) -> int:
        return int(self.now // DAY_S)

    def begin(self, workers: int) -> None:
        """Start the book from its directory, and so many workers."""
        self.book = Warmups(
            self.directory, lambda: self.policies, lambda: self.now, Registry(), workers, self._tell
        )
        self.book.load()
        self.worlds = [self._world(number, workers) for number in range(workers)]
        self._ticker = asyncio.ensure_future(self._tick())

    def _world(self, number: int, workers: int) -> World:
        world = World(
            self.policies,
            disk=self.disks[number],
            jump=self.loop.time() - self.began,
            config=DispatchConfig(workers=workers),
        )
        for provider in ("gmail", "yahoo"):
            domain = f"{provider}.example"
            world.destinations[domain] = destination(domain, provider=provider)
        world.latency_s = 0.01
        world.answer = self._answer
        book = self.book

        async def ask(asked: dict[str, Any]) -> dict[str, Any]:
            await asyncio.sleep(0.001)
            if self.book is not book:
                raise ConnectionError("the supervisor is gone")
            return book.handle(asked)

        world.dispatcher.warming.ask = ask
        return world

    def _tell(self) -> None:
        for world in self.worlds:
            world.dispatcher.warming.refresh()

    def _answer(self, tx: Transaction, recipient: str) -> Outcome:
        ticket: Ticket = tx.ticket  # type: ignore[assignment]
        site, now = ticket.site, self.now
        self.came[self.day, site.source, site.provider] += 1
        self.by_hour[self.day, int(now % DAY_S // 3600), site.source, site.provider] += 1
        if not recipient.endswith((GMAIL, YAHOO)):
            return OK  # a report to a sender
        if recipient.startswith("first") and recipient not in self.offered:
            waited = now - float(recipient.split("-")[1])
            self.first_waited = max(self.first_waited, waited)
        self.offered.add(recipient)
        outcome = self.answer(site.source, site.provider, (now - NOW) / DAY_S)
        if outcome.kind is not Kind.DEFERRED:
            self.delivered[recipient] += 1
        return outcome

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(STEP_S)
            self.book.tick()

    async def send(self, provider: str, class_: str = "bulk", pool: str = "") -> None:
        """One message, by one worker or another."""
        self.sent += 1
        kind = "first" if class_ == "transactional" else class_
        name = f"{kind}-{self.now:.0f}-{self.sent}@{provider}.example"
        async with self.lock:
            world = self.worlds[self.sent % len(self.worlds)]
            await world.send(name, class_=class_, pool=pool, expires_s=60 * DAY_S)

    async def end(self, *, crash: bool) -> None:
        """Stop all of it. In a crash tokens are lost, and the book writes nothing more."""
        if self._ticker is not None:
            self._ticker.cancel()
        if crash:
            self.book = Warmups(self.directory, lambda: self.policies, lambda: self.now, Registry())
        for world in self.worlds:
            if not crash:
                await world.dispatcher.warming.close()
            await world.close()
            world.queue.close()
        if not crash:
            self.book.close()
        self.worlds = []

    async def restart(self, workers: int, *, crash: bool) -> None:
        await self.end(crash=crash)
        self.restarts += 1
        self.begin(workers)

    def state(self, source: str, provider: str) -> WarmupState:
        return self.book.states[source, provider]

    @property
    def waiting(self) -> int:
        return sum(world.entries for world in self.worlds)
