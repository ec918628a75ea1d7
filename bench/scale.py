"""What grows with what: the backlog, the workers, the destination domains.

The real daemon on loopback, the spool on a real disk, a pipelining injector and a counting sink.
Rates are compared in turns, round by round, and medians count, so that a busy machine hurts both
sides alike. The backlog is mail that is due tomorrow. MiB are resident at the end of the rounds:
the sum over all processes of the daemon, pages that they share counted for each. Bytes are what a
queued message adds to that after a restart. A restart is one after ``kill -9``, with the segments
out of the page cache, and lasts until ``/readyz`` says so.

    python -m bench.scale [--full] [depth] [workers] [domains] [--json FILE]
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from bench import report
from bench.daemon import Daemon
from bench.fill import evict, fill
from bench.harness import Failed, NotThere, free_port, scratch, wait_until
from bench.load import Load
from bench.sink import Sink
from bench.usage import cpu_s, machine_busy_s, resident_bytes, tree

MIB = 1 << 20
SINK_HOST = "127.0.0.2"
SIZE = 2048
SESSIONS = 20
BACKLOG_DOMAINS = 1000
READY_S_MAX = 300.0
DRAIN_S_MAX = 120.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured: quick by default, or in full."""

    depths: tuple[int, ...]
    domains: tuple[int, ...]
    rounds: int
    warm_s: float
    seconds: float
    domain_messages: int


QUICK = Scale((1_000, 20_000), (1, 1_000), 1, 0.5, 1.0, 1_000)
FULL = Scale((1_000, 1_000_000, 5_000_000), (1, 100, 10_000, 100_000), 5, 1.0, 6.0, 20_000)


@dataclass(frozen=True, slots=True)
class Flow:
    """One round: messages a second in and out, CPU of the daemon for each that went out, and how
    many cores had nothing to do meanwhile."""

    accept_per_s: float
    deliver_per_s: float
    cpu_ms: float
    idle_cores: float


class Bench:
    """The sink, and where daemons get their directories."""

    def __init__(self, stack: ExitStack, directory: pathlib.Path) -> None:
        self._stack, self._directory = stack, directory
        port = free_port(SINK_HOST)
        self._sink = stack.enter_context(Sink(directory, SINK_HOST, port))
        self._hop = f"{SINK_HOST}:{port}"
        self._loads = 0

    def daemon(self, name: str, workers: int = 2) -> Daemon:
        """Not started; ended with the benchmark."""
        directory = self._directory / name
        directory.mkdir()
        daemon = Daemon(directory, self._hop, workers=workers)
        self._stack.callback(daemon.end)
        return daemon

    def flow(self, daemon: Daemon, warm_s: float, seconds: float) -> Flow:
        """Mail through the daemon for so long, as fast as it goes. Raises :class:`Failed`."""
        root = daemon.pids[0]
        before = self._sink.read().messages
        with self._load(daemon, count=0, domains=10) as load:
            wait_until(lambda: self._sink.read().messages > before, 20, "mail flows")
            time.sleep(warm_s)  # sessions and connections are open, what is lazy is there
            sent, came = len(load.acknowledged()), self._sink.read().messages
            cpu, busy, start = cpu_s(tree([root])), machine_busy_s(), time.monotonic()
            time.sleep(seconds)
            sent = len(load.acknowledged()) - sent
            came_then = self._sink.read().messages - came
            wall = time.monotonic() - start
            cpu, busy = cpu_s(tree([root])) - cpu, machine_busy_s() - busy
            load.stop()
            total = len(load.acknowledged())
        self._await(before + total)
        cores = report.machine()["cpus"]
        idle = max(0.0, cores - busy / wall)
        return Flow(sent / wall, came_then / wall, cpu / max(1, came_then) * 1e3, idle)

    def through(self, daemon: Daemon, count: int, domains: int) -> Flow:
        """``count`` messages to so many domains, until the last has arrived."""
        root, before = daemon.pids[0], self._sink.read().messages
        cpu, busy, start = cpu_s(tree([root])), machine_busy_s(), time.monotonic()
        with self._load(daemon, count=count, domains=domains) as load:
            load.program.wait(600)
            accepted_s = time.monotonic() - start
        self._await(before + count)
        wall = time.monotonic() - start
        cpu, busy = cpu_s(tree([root])) - cpu, machine_busy_s() - busy
        idle = max(0.0, report.machine()["cpus"] - busy / wall)
        return Flow(count / accepted_s, count / wall, cpu / count * 1e3, idle)

    def _load(self, daemon: Daemon, *, count: int, domains: int) -> Load:
        self._loads += 1
        return Load(
            self._directory,
            "127.0.0.1",
            daemon.port,
            name=f"load-{self._loads}",
            sessions=SESSIONS,
            size=SIZE,
            count=count,
            domains=domains,
        )

    def _await(self, total: int) -> None:
        def arrived() -> bool:
            return self._sink.read().messages >= total

        wait_until(arrived, DRAIN_S_MAX, "all that was accepted arrives")


def median(rounds: Sequence[Flow]) -> Flow:
    columns = zip(*(asdict(one).values() for one in rounds), strict=True)
    return Flow(*(statistics.median(column) for column in columns))


def in_turns(bench: Bench, daemons: Sequence[Daemon], scale: Scale) -> list[Flow]:
    found: list[list[Flow]] = [[] for _ in daemons]
    for _ in range(scale.rounds):
        for daemon, rounds in zip(daemons, found, strict=True):
            rounds.append(bench.flow(daemon, scale.warm_s, scale.seconds))
    return [median(rounds) for rounds in found]


# the three tables


def depth(bench: Bench, scale: Scale) -> list[dict[str, Any]]:
    """Against the shallowest, which runs beside all others."""
    first, *others = scale.depths
    shallow = _filled(bench, first)
    shallow.start()
    found = []
    for queued in others:
        deep = _filled(bench, queued)
        deep.start(READY_S_MAX)
        empty, full = in_turns(bench, (shallow, deep), scale)
        if not found:
            found.append(_row(shallow, first, empty, empty))
        found.append(_row(deep, queued, full, empty))
        more_mib = found[-1]["restarted_mib"] - found[0]["restarted_mib"]
        found[-1]["bytes_each"] = more_mib * MIB / (queued - first)
        deep.end()
    report.show(
        f"The backlog: messages of {SIZE} bytes, 2 workers, {scale.rounds} rounds in turns",
        ("queued", "MiB", "bytes", "restart", "CPU", "a million", "in/s", "out/s", "rate",
         "CPU ms", "CPU"),
        [
            (
                f"{row['queued']:,}",
                f"{row['resident_mib']:.0f}",
                f"{row['bytes_each']:.0f}",
                f"{row['restart_s']:.1f} s",
                f"{row['restart_cpu_s']:.1f} s",
                f"{row['s_per_million']:.1f} s" if row["queued"] >= 10**6 else "",
                f"{row['accept_per_s']:,.0f}",
                f"{row['deliver_per_s']:,.0f}",
                f"{row['ratio']:.0%}",
                f"{row['cpu_ms']:.3f}",
                f"{row['cpu_ratio']:.0%}",
            )
            for row in found
        ],
    )  # fmt: skip
    return found


def _filled(bench: Bench, queued: int) -> Daemon:
    daemon = bench.daemon(f"depth-{queued}")
    fill(daemon.spool, queued, shards=daemon.workers, size=SIZE, domains=BACKLOG_DOMAINS)
    return daemon


def _row(daemon: Daemon, queued: int, flow: Flow, base: Flow) -> dict[str, Any]:
    resident = resident_bytes(daemon.pids)
    wait_until(lambda: daemon.queued() == queued, DRAIN_S_MAX, f"{queued} are queued")
    daemon.kill()
    evict(daemon.spool)
    restart_s = daemon.start(READY_S_MAX)
    cpu, restarted = cpu_s(daemon.pids), resident_bytes(daemon.pids)
    if daemon.queued() != queued:
        raise Failed(f"{daemon.queued()} of {queued} are queued after a restart")
    return {
        "queued": queued,
        "resident_mib": resident / MIB,
        "restarted_mib": restarted / MIB,
        "bytes_each": 0.0,
        "restart_s": restart_s,
        "restart_cpu_s": cpu,
        "s_per_million": restart_s / queued * 1e6,
        "ratio": (flow.accept_per_s + flow.deliver_per_s)
        / (base.accept_per_s + base.deliver_per_s),
        "cpu_ratio": flow.cpu_ms / base.cpu_ms,
        **asdict(flow),
    }


def workers(bench: Bench, scale: Scale) -> list[dict[str, Any]]:
    counts = (1, 2)
    daemons = [bench.daemon(f"workers-{count}", count) for count in counts]
    for daemon in daemons:
        daemon.start()
    flows = in_turns(bench, daemons, scale)
    for daemon in daemons:
        daemon.end()
    found = [{"workers": n, **asdict(flow)} for n, flow in zip(counts, flows, strict=True)]
    report.show(
        "Workers: with no idle core, only CPU a message can be compared",
        ("workers", "accept/s", "deliver/s", "of one", "CPU ms/message", "of one", "idle cores"),
        [_shown(str(row["workers"]), row, found[0]) for row in found],
    )
    return found


def domains(bench: Bench, scale: Scale) -> list[dict[str, Any]]:
    daemon = bench.daemon("domains")
    daemon.start()
    bench.through(daemon, scale.domain_messages // 4, 1)
    found = []
    for count in scale.domains:
        flow = bench.through(daemon, max(count, scale.domain_messages), count)
        resident = resident_bytes(daemon.pids) / MIB
        found.append({"domains": count, "resident_mib": resident, **asdict(flow)})
    daemon.end()
    report.show(
        "Destination domains behind one route: the rates include the injector's start",
        ("domains", "accept/s", "deliver/s", "of one", "CPU ms/message", "of one", "idle cores",
         "resident MiB"),
        [
            (*_shown(f"{row['domains']:,}", row, found[0]), f"{row['resident_mib']:.0f}")
            for row in found
        ],
    )  # fmt: skip
    return found


def _shown(name: str, row: dict[str, Any], first: dict[str, Any]) -> tuple[str, ...]:
    return (
        name,
        f"{row['accept_per_s']:,.0f}",
        f"{row['deliver_per_s']:,.0f}",
        f"{row['deliver_per_s'] / first['deliver_per_s']:.0%}",
        f"{row['cpu_ms']:.3f}",
        f"{row['cpu_ms'] / first['cpu_ms']:.0%}",
        f"{row['idle_cores']:.2f}",
    )


TABLES = {"depth": depth, "workers": workers, "domains": domains}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.scale")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(TABLES)}")
    parser.add_argument("--full", action="store_true", help="to five million; takes 20 minutes")
    parser.add_argument("--depth", type=int, help="the deepest backlog")
    parser.add_argument("--json", type=pathlib.Path, help="default: bench/out/scale.json")
    given = parser.parse_args(arguments)
    if unknown := sorted(set(given.tables) - set(TABLES)):
        parser.error(f"no table {unknown[0]!r}")
    scale = FULL if given.full else QUICK
    if given.depth:
        scale = Scale((scale.depths[0], given.depth), *list(asdict(scale).values())[1:])
    result: dict[str, Any] = {}
    try:
        for name in given.tables or TABLES:
            with scratch() as directory, ExitStack() as stack:
                result[name] = TABLES[name](Bench(stack, directory), scale)
    except (Failed, NotThere) as error:
        print(f"bench.scale: {error}", file=sys.stderr)
        return 1
    path = report.save("scale", {"full": given.full, "size": SIZE, **result}, given.json)
    report.console().print(f"Figures: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
