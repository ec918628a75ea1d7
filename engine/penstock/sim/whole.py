"""The whole engine in a world of its own: one seed, one run, always the same.

The production engine runs unchanged between simulated clients, hosts, names and disk; the plan of
the seed makes trouble for a while, then all is well, and everything must come to rest. What is
judged is what those outside saw (:mod:`penstock.sim.verdict`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import random
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import structlog

from penstock.sim.client import Client
from penstock.sim.clock import Deadlock
from penstock.sim.drive import Drive
from penstock.sim.host import Host
from penstock.sim.ledger import Ledger
from penstock.sim.loop import Restless, SimLoop
from penstock.sim.nameserver import NameServer
from penstock.sim.network import Address, Line, Network, Wire
from penstock.sim.peers import Host as Peer
from penstock.sim.peers import Trouble, draw_trouble
from penstock.sim.plan import MESSAGE_BYTES_MAX, TROUBLE_ENDS_S, Fault, HostPlan, draw
from penstock.sim.verdict import Rules, judge
from penstock.worker import parts
from penstock.worker.engine import Engine
from penstock_queue import Queue

EPOCH = 1_800_000_000.0
REST_S = 1200.0  # by then everything has come to rest
_LOOK_S = 2.0
_FAILURES = {
    "write error": ("write",),
    "sync error": ("sync",),
    "no cut": ("sync", "truncate"),
    "read error": ("read",),
}


@dataclass(slots=True)
class Result:
    """``wrong``: what must never be; empty for a clean seed. ``duplicates``: explained ones, by
    reason. ``counts``: what happened, by name."""

    seed: int
    wrong: list[str]
    duplicates: dict[str, int]
    counts: dict[str, int]
    trace: list[str] = field(default_factory=list)
    virtual_s: float = 0.0


class Whole:
    """One run."""

    def __init__(self, loop: SimLoop, seed: int) -> None:
        self.seed, self.plan = seed, draw(seed)
        self._loop = loop
        self._rng = rng = random.Random(seed ^ 0x5EED)
        self._began = loop.time()
        self._jumped_s = 0.0
        self._calm = False
        self._nameless = self._slow = False
        self.ledger = Ledger(loop.time, self._wall)
        self.network = loop.network = Network(loop, self._fork(), self._weather)
        self.network.watch = self._watch
        self.drive = Drive(rng.getrandbits(32))
        zones = {
            domain: (host.name, host.address) for host in self.plan.hosts for domain in host.domains
        }
        self.names = NameServer(zones, self._fork(), lambda: self._nameless)
        self.host = Host(
            loop,
            self.drive,
            self.ledger,
            self._fork(),
            settings=self.plan.settings,
            policies=self.plan.policies,
            resolver=self.names,
        )
        self.host.disk_s = self._disk_s
        self.host.watch = self._bounds
        self.peers = [self._peer(host) for host in self.plan.hosts]
        self.clients = [
            Client(loop, self.ledger, self._fork(), list(orders)) for orders in self.plan.clients
        ]
        self._open: dict[str, set[int]] = {}
        self._limits = {host.address: host.connections for host in self.plan.hosts}
        self.faults: dict[str, int] = {}

    def _fork(self) -> random.Random:
        return random.Random(self._rng.getrandbits(64))

    def _wall(self) -> float:
        return EPOCH + self._loop.time() + self._jumped_s

    def _peer(self, plan: HostPlan) -> Peer:
        peer = Peer(self._loop, plan.name, self.ledger, self._fork(), self._mood)
        self.network.listen(peer, (plan.address, 25))
        return peer

    # the weather

    def _mood(self, rng: random.Random) -> Trouble | None:
        if self._calm or rng.random() >= self.plan.troubled:
            return None
        return draw_trouble(rng)

    def _weather(self, address: Address) -> Line:
        rng = self._rng
        latency_s = rng.choice((0.0005, 0.005, 0.05))
        if self._calm or rng.random() >= self.plan.rough:
            return Line(latency_s=latency_s, whole=rng.choice((1.0, 0.5)))
        kernel = rng.choice((1000, 65536))
        after = rng.choice((0, 100, 300, 700, 2000, 20_000))
        after = rng.randint(0, after)
        line = {
            0: Line("refuses", latency_s),
            1: Line("vanishes", latency_s),
            2: Line("answers", latency_s, 0.3, kernel, cut_after=after),
            3: Line("answers", latency_s, 0.3, kernel, cut_after=after),
            4: Line("answers", latency_s, 0.3, kernel, stall_after=after),
        }
        return line[rng.randrange(5)]

    def _disk_s(self, rng: random.Random) -> float:
        if self._slow:
            return rng.uniform(0.05, 3.0)
        return rng.choice((0.0002, 0.001, 0.005))

    # the faults

    def _strike(self, fault: Fault) -> None:
        kind, number = fault.kind, fault.number
        if self._calm:
            return
        self.ledger.log(f"fault: {kind} {number:g}")
        self.faults[kind] = self.faults.get(kind, 0) + 1
        if kind in ("kill", "power"):
            self.host.die(kind)
        elif kind == "stop":
            self.host.stop()
        elif kind.endswith("amid I/O"):
            self.host.at_cut = kind.partition(" ")[0]
            self.drive.cut_in = int(number)
        elif kind == "kill amid traffic":
            self._kill_at(self.network.deliveries + int(number))
        elif kind.startswith("clock"):
            self._jumped_s += number if kind == "clock forward" else -number
            self.ledger.jumps.append(self._loop.time())
        else:
            self._break(kind)
            self._loop.call_later(number, self._mend, kind)

    def _kill_at(self, deliveries: int) -> None:
        """Between two steps of the engine, with no time in between."""
        self.network.trap = deliveries, lambda: self._loop.call_soon(self.host.die, "kill")

    def _break(self, kind: str) -> None:
        drive = self.drive
        if kind == "no space":
            used = sum(len(inode.view) for inode in drive.names.values())
            drive.capacity = used + self._rng.choice((0, 100, 3000))
        elif kind == "slow disk":
            self._slow = True
        elif kind == "no names":
            self._nameless = True
        for call in _FAILURES.get(kind, ()):
            drive.failing[call] = errno.EIO

    def _mend(self, kind: str) -> None:
        self.ledger.log(f"mended: {kind}")
        drive = self.drive
        if kind == "no space":
            drive.capacity = None
        elif kind == "slow disk":
            self._slow = False
        elif kind == "no names":
            self._nameless = False
        for call in _FAILURES.get(kind, ()):
            drive.failing.pop(call, None)

    def _all_well(self) -> None:
        for fault in self.plan.faults:
            self._mend(fault.kind)
        self._calm = True
        self.drive.cut_in = None
        self.network.trap = None
        self.ledger.log("all is well from now on")

    # what is seen from outside while it runs

    def _watch(self, wire: Wire, what: str) -> None:
        """Connections of the engine to hosts."""
        if wire.process is None:
            return
        ours = self._open.setdefault(wire.address[0], set())
        if what == "open":
            ours.add(wire.number)
            if len(ours) > self._limits[wire.address[0]]:
                self.ledger.blame(f"{len(ours)} connections to {wire.address[0]}")
            if sum(map(len, self._open.values())) > self.plan.connections_max:
                self.ledger.blame("more connections than connections_max")
        elif what == "closed":
            ours.discard(wire.number)

    def _bounds(self, engine: Engine) -> None:
        queue, relay = self.plan.settings.queue, self.plan.settings.relay
        staged_max = relay.stage_bytes_max + MESSAGE_BYTES_MAX
        for name, value, bound in (
            ("uncommitted", engine.spool.uncommitted_bytes, queue.uncommitted_bytes_max),
            ("staged", engine.dispatcher.stager.staged_bytes, staged_max),
        ):
            if value > bound:
                self.ledger.blame(f"{value} bytes {name}, the bound is {bound}")

    def _look(self) -> None:
        """What costs more to ask."""
        engine = self.host.engine
        if engine is not None:
            stats = engine.answer("stats", None)
            if stats["cache_bytes"] > stats["cache_bytes_max"]:
                self.ledger.blame(f"the cache holds {stats['cache_bytes']:g} bytes")
            if stats["inflight_overflows"]:
                self.ledger.blame("more deliveries in flight than slots")

    # the run

    async def run(self) -> Result:
        loop = self._loop
        for fault in self.plan.faults:
            loop.call_later(fault.at_s, self._strike, fault)
        loop.call_later(TROUBLE_ENDS_S, self._all_well)
        self.host.boot()
        tasks = [loop.create_task(client.run()) for client in self.clients]
        end = self._began + TROUBLE_ENDS_S + REST_S + self.plan.wall_back_s
        while not self._at_rest() and loop.time() < end:
            await asyncio.sleep(_LOOK_S)
            if not self._calm:
                self._look()
        if not self._at_rest():
            self._blame_unrest()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._look_at_the_disk()
        for problem in [*self.drive.broken_rules, *loop.errors]:
            self.ledger.blame(problem)
        rates = {host.name: host.rate for host in self.plan.hosts if host.rate is not None}
        unknown = frozenset(("nowhere.example",))
        duplicates = judge(self.ledger, Rules(rates, unknown, self.plan.max_age_s))
        return Result(
            self.seed,
            self.ledger.wrong,
            duplicates,
            self._counts(),
            self.ledger.trace,
            loop.time() - self._began,
        )

    def _at_rest(self) -> bool:
        engine = self.host.engine
        if not self._calm or engine is None or not all(client.done for client in self.clients):
            return False
        return bool(engine.answer("stats", None)["entries"] == 0)

    def _blame_unrest(self) -> None:
        engine = self.host.engine
        if engine is None:
            self.ledger.blame("the engine is not up at the end")
            return
        waiting = sum(not client.done for client in self.clients)
        stats = {name: value for name, value in engine.answer("stats", None).items() if value}
        self.ledger.blame(f"no rest: {waiting} clients wait, the engine has {stats}")

    async def _look_at_the_disk(self) -> None:
        """Stop in order, lose the power: nothing may be left, and nothing may come back."""
        if self.ledger.wrong:
            self.host.shut()
            return
        self.host.stop()
        await self.host.gone.wait()
        self.host.shut()
        self.drive.crash(self._rng)
        config = parts.queue_config(self.plan.settings)
        [shard] = {path.rpartition("/")[0] for path in self.drive.names} or {"shard"}
        queue = Queue.open(shard, config, disk=self.drive, now=self._wall())
        if queue.stats()["entries"]:
            self.ledger.blame(f"{queue.stats()['entries']:g} deliveries came back from the disk")
        queue.close()

    def _counts(self) -> dict[str, int]:
        counts: dict[str, int] = dict(self.faults)
        sources = [self.network.counts, self.drive.counts, self.host.deaths]
        sources += [peer.counts for peer in self.peers]
        for source in sources:
            for name, count in source.items():
                counts[name] = counts.get(name, 0) + count
        ledger = self.ledger
        counts["acknowledged"] = sum(len(one.recipients) for one in ledger.accepted.values())
        counts["copies"] = sum(map(len, ledger.copies.values()))
        counts["reports"] = sum(map(len, ledger.reports.values()))
        counts["names unanswered"] = self.names.failures
        counts["client refused"] = sum(client.refusals for client in self.clients)
        counts["power and kill"] = sum(self.host.deaths.values())
        return counts


@contextlib.contextmanager
def logging_to(log: Callable[[str], None]) -> Iterator[None]:
    """The engine's own log goes into the trace, and not to the terminal."""
    before = structlog.get_config()

    def keep(logger: Any, method: str, event: MutableMapping[str, Any]) -> NoReturn:
        log(f"log: {method} {' '.join(f'{name}={value}' for name, value in event.items())}")
        raise structlog.DropEvent

    structlog.configure(processors=[keep])
    try:
        yield
    finally:
        structlog.configure(**before)


def simulate(seed: int) -> Result:
    """Run one seed."""
    loop = SimLoop()
    whole = Whole(loop, seed)
    collecting = gc.isenabled()
    gc.disable()  # a run is short, and what it leaves is collected between runs
    try:
        with logging_to(whole.ledger.log):
            return loop.run_until_complete(whole.run())
    except (Deadlock, Restless) as error:
        whole.ledger.blame(str(error))
        return Result(seed, whole.ledger.wrong, {}, {}, whole.ledger.trace, loop.time())
    finally:
        whole.host.shut()
        loop.close()
        if collecting:
            gc.enable()
