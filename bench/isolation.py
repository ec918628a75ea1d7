"""Whether destinations that do not work delay the others.

A great many messages wait for destinations that refuse connections, say nothing, greet with 421 or
answer slowly; beside them comes a steady load for destinations that work. Its latency, from the
beginning of its submission to its arrival at the sink, is compared with that beside an empty queue.
Runs of both kinds alternate, and the medians count: a machine has moods.

``python -m bench.isolation [--burden N] [--full]``; ``--full`` is a million.
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from bench import report
from bench.daemon import Daemon
from bench.harness import Program, free_port, scratch, wait_until
from bench.sink import Sink
from bench.storm import Storm
from bench.trouble import Trouble
from bench.usage import cpu_s
from penstock.mail.envelope import SEQUENCE_BITS, Envelope, Recipient
from penstock.mail.record import pack_envelope, pack_key, pack_recipient
from penstock.relay.spool import shard_path
from penstock_queue import NewEntry, Queue, QueueConfig, RealDisk

FULL = 1_000_000
CHANGE_MAX = 0.2
WORKERS = 2
HOP, BROKEN = "127.0.0.2", "127.0.0.3"
DOMAINS = 20
WARM_S = 3.0
GROUP = 2000
# what is queued for each kind, as parts of the burden
KINDS = {"refused": 4, "silent": 2, "busy": 2, "slow": 2}


class Run(NamedTuple):
    """``waits``: seconds from submission to delivery, in order; ``cpu_s``: that the daemon used for
    each message, whatever it did beside them."""

    waits: list[float]
    cpu_s: float


def percentile(waits: Sequence[float], share: float) -> float:
    return sorted(waits)[int(len(waits) * share)]


def fill(directory: str, shard: int, count: int, size: int) -> None:
    """A burden in one shard, as a worker would have left it: due now, first attempt to come."""
    now = time.time()
    config = QueueConfig(cache_bytes=1)
    queue = Queue.open(shard_path(directory, shard), config, disk=RealDisk(), now=now)
    body = [b"Subject: burden\r\n\r\n" + (b"x" * 76 + b"\r\n") * (size // 78)]
    names = [f"{kind}.example" for kind, parts in KINDS.items() for _ in range(parts)]
    for number in range(count):
        seq = queue.reserve(1, now)
        name = names[number % len(names)]
        ref = shard << SEQUENCE_BITS | seq
        envelope = Envelope("bounce@src.example", [], now, ref, expires_at=now + 5 * 86_400)
        recipient = pack_recipient(Recipient(f"u{number}@{name}"))
        entry = NewEntry(pack_key(name, "", ""), 0.0, envelope.expires_at, recipient)
        queue.append(seq, pack_envelope(envelope), body, [entry])
        if number % GROUP == GROUP - 1:
            _commit(queue)
    _commit(queue)
    queue.close()


def _commit(queue: Queue) -> None:
    batch = queue.begin_commit()
    if batch is not None:
        batch.run()
        if failed := queue.end_commit(batch):
            raise failed


def _fill(directory: pathlib.Path, spool: pathlib.Path, count: int) -> None:
    spool.mkdir(mode=0o700)
    command = [sys.executable, "-m", "bench.isolation", "--fill", str(spool)]
    writers = [
        Program(
            f"fill {shard}",
            [*command, f"--shard={shard}", f"--burden={count // WORKERS}"],
            directory / f"fill-{shard}.log",
        )
        for shard in range(WORKERS)
    ]
    for writer in writers:
        if writer.wait(1800):
            raise SystemExit(writer.tail())


class Bench:
    """One directory with the sink, the broken destinations and their routes."""

    def __init__(self, directory: pathlib.Path, options: argparse.Namespace) -> None:
        self._directory, self._options = directory, options
        self._ports = {kind: free_port(BROKEN) for kind in KINDS}
        self._hop = free_port(HOP)
        self._runs = 0

    @contextlib.contextmanager
    def world(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            self._sink = stack.enter_context(Sink(self._directory, HOP, self._hop, record=True))
            for kind in set(KINDS) - {"refused"}:
                stack.enter_context(Trouble(self._directory, BROKEN, self._ports[kind], kind))
            yield

    def run(self, spool: pathlib.Path) -> Run:
        """The steady load through a daemon on ``spool``."""
        self._runs += 1
        options, name = self._options, f"run{self._runs}"
        routes = "".join(
            f'[[route]]\ndomains = ["{kind}.example"]\nnext_hop = "{BROKEN}:{port}"\n'
            for kind, port in self._ports.items()
        )
        top = 'stop_deadline_s = "1s"'
        next_hop = f"{HOP}:{self._hop}"
        daemon = Daemon(
            self._directory, next_hop, workers=WORKERS, spool=spool, routes=routes, top=top
        )
        daemon.start(300)
        try:
            seconds = WARM_S + options.seconds
            pids = daemon.pids
            used_s = cpu_s(pids)
            with Storm(
                self._directory,
                "127.0.0.1",
                daemon.port,
                rate=options.rate,
                seconds=seconds,
                name=name,
                domains=DOMAINS,
            ) as storm:
                storm.program.wait(seconds + 90)
            taken = storm.taken()
            used_s = cpu_s(pids) - used_s
            wait_until(
                lambda: self._sink.times_ns().keys() >= {one.message_id for one in taken},
                60,
                "all is delivered",
            )
            if storm.failed():
                raise SystemExit(f"refused: {storm.failed()}")
        finally:
            daemon.stop()
        came = self._sink.times_ns()
        warm_ns = taken[0].start_ns + int(WARM_S * 1e9)
        waits = [
            (came[one.message_id] - one.start_ns) / 1e9 for one in taken if one.start_ns > warm_ns
        ]
        return Run(waits, used_s / len(taken))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    runs: dict[str, list[Run]] = {"empty": [], "burdened": []}
    with scratch("penstock-isolation-") as directory:
        bench = Bench(directory, options)
        spools = {"empty": directory / "empty", "burdened": directory / "burdened"}
        _fill(directory, spools["burdened"], options.burden)
        with bench.world():
            for _ in range(options.rounds):
                for kind, spool in spools.items():
                    runs[kind].append(bench.run(spool))
    medians = {kind: _medians(each) for kind, each in runs.items()}
    change = medians["burdened"]["p99_s"] / medians["empty"]["p99_s"] - 1
    return {
        "burden": options.burden,
        "rate_per_s": options.rate,
        "rounds": options.rounds,
        **medians,
        "p99_change": change,
        "change_max": CHANGE_MAX,
        "held": change < CHANGE_MAX,
    }


def _medians(runs: Sequence[Run]) -> dict[str, Any]:
    p99s = [percentile(one.waits, 0.99) for one in runs]
    return {
        "p50_s": statistics.median(percentile(one.waits, 0.5) for one in runs),
        "p99_s": statistics.median(p99s),
        "p99_s_of_runs": p99s,
        "cpu_s_per_message": statistics.median(one.cpu_s for one in runs),
    }


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.isolation")
    parser.add_argument("--burden", type=int, default=10_000, help="messages that cannot go")
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} of them")
    parser.add_argument("--rate", type=float, default=100.0, help="messages a second beside them")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=2048, help="bytes of a message of the burden")
    parser.add_argument("--fill", default="", help=argparse.SUPPRESS)
    parser.add_argument("--shard", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.fill:
        fill(options.fill, options.shard, options.burden, options.size)
        return 0
    if options.full:
        options.burden = FULL
    found = measure(options)
    report.show(
        f"{found['burden']:,} messages for destinations that do not work, "
        f"{found['rate_per_s']:g}/s for others",
        ["latency of the others", "p50 ms", "p99 ms", "p99 ms of the runs", "CPU ms a message"],
        [
            [
                kind,
                f"{found[kind]['p50_s'] * 1e3:.1f}",
                f"{found[kind]['p99_s'] * 1e3:.1f}",
                ", ".join(f"{one * 1e3:.0f}" for one in found[kind]["p99_s_of_runs"]),
                f"{found[kind]['cpu_s_per_message'] * 1e3:.2f}",
            ]
            for kind in ("empty", "burdened")
        ],
    )
    verdict = "met" if found["held"] else "NOT met"
    print(f"p99 changes by {found['p99_change']:+.0%}; less than {CHANGE_MAX:.0%}: {verdict}")
    report.save("isolation", found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
