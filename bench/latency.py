"""How long a message takes, at a quarter, a half and three quarters of the maximum rate.

The maximum is found first: 20 sessions, each sending as soon as it is answered; the median of three
runs, in messages/s at the next hop. Then messages come by a timetable (:mod:`bench.pace`). Three
figures, all with the queue on a real disk and every message synced before its 250:

- accept: from the time the message was due until its 250, all of the conversation in it;
- end of data: from the final dot sent until the 250, what an operator calls accept latency;
- end to end: from the time it was due until the next hop has it.

    python -m bench.latency [--seconds N] [--count N] [--workers N] [--json FILE]
"""

from __future__ import annotations

import argparse
import math
import pathlib
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict

from bench import report, targets
from bench.harness import Failed, free_port, scratch, wait_until
from bench.pace import pace
from bench.servers import Penstock
from bench.sink import Sink
from bench.usage import cpu_s, machine_busy_s, tree

SHARES = (0.25, 0.5, 0.75)
SIZE = 10240
SESSIONS_MAXIMUM = 20
SESSIONS_PACED = 64
SETTLE_S = 0.5  # of each load that do not count
TIMEOUT_S = 120.0
SINK_HOST = "127.0.0.2"
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
FIGURES = {"accept_ms": "accept", "dot_ms": "end of data", "end_to_end_ms": "end to end"}

Times = list[tuple[int, int, int]]


def percentiles_ms(nanoseconds: Sequence[int]) -> dict[str, float]:
    """The least value that is not exceeded by this share of all."""
    ordered = sorted(nanoseconds)
    return {
        name: round(ordered[max(0, math.ceil(share * len(ordered)) - 1)] / 1e6, 3)
        for name, share in PERCENTILES.items()
    }


class _Bench:
    """One server, one sink, run after run."""

    def __init__(self, directory: pathlib.Path, sink: Sink, server: Penstock) -> None:
        self._directory, self._sink, self._server = directory, sink, server
        self._runs = 0

    def inject(self, rate: float, count: int, sessions: int) -> tuple[Times, list[int]]:
        """The times of all messages, and when the sink had each."""
        self._runs += 1
        name = f"run{self._runs}"
        goal = self._sink.read().messages + count
        times = pace(
            self._directory,
            self._server.address,
            name=name,
            rate=rate,
            count=count,
            sessions=sessions,
            size=SIZE,
            timeout_s=TIMEOUT_S,
        )
        wait_until(lambda: self._sink.read().messages >= goal, TIMEOUT_S, "all arrive")
        came = self._sink.times_ns()
        return times, [came[f"{name}.{number}"] for number in range(count)]

    def maximum(self, count: int) -> float:
        """Messages/s at the sink."""
        times, came = self.inject(0.0, count, SESSIONS_MAXIMUM)
        return count / (max(came) - min(due for due, _, _ in times)) * 1e9


def measure(bench: _Bench, roots: Sequence[int], rate: float, seconds: float) -> dict[str, object]:
    """One load; the first moments, when connections are made, do not count."""
    count = int(rate * (seconds + SETTLE_S))
    cpu, busy = cpu_s(tree(roots)), machine_busy_s()
    times, came = bench.inject(rate, count, SESSIONS_PACED)
    cpu, busy = cpu_s(tree(roots)) - cpu, machine_busy_s() - busy
    wall_s = (max(came) - times[0][0]) / 1e9
    skipped = int(rate * SETTLE_S)
    counted = [(*one, at) for one, at in zip(times, came, strict=True)][skipped:]
    return {
        "rate": round(rate, 1),
        "messages": len(counted),
        "cpu_ms": round(cpu / count * 1e3, 3),
        "busy_cpus": round(busy / wall_s, 2),
        "accept_ms": percentiles_ms([ok - due for due, _, ok, _ in counted]),
        "dot_ms": percentiles_ms([ok - dot for _, dot, ok, _ in counted]),
        "end_to_end_ms": percentiles_ms([at - due for due, _, _, at in counted]),
    }


def measure_cpu_ms(
    directory: pathlib.Path,
    sink: Sink,
    server: Penstock,
    roots: Sequence[int],
    *,
    rate: float,
    seconds: float,
    sessions: int,
) -> float:
    """CPU milliseconds a message of the server at ``rate``, after a warm-up."""
    bench = _Bench(directory, sink, server)
    bench.inject(0.0, int(rate), sessions)
    cpu, count = cpu_s(tree(roots)), int(rate * seconds)
    bench.inject(rate, count, sessions)
    return (cpu_s(tree(roots)) - cpu) / count * 1e3


def print_table(title: str, loads: Sequence[dict[str, object]]) -> None:
    rows = []
    for load in loads:
        for key, label in FIGURES.items():
            figures = load[key]
            assert isinstance(figures, dict)
            where = f"{load['share']:.0%}, {load['rate']:,.0f}/s: {label}"
            rows.append((where, *(f"{figures[name]:,.1f}" for name in PERCENTILES)))
    report.show(title, ("milliseconds", *PERCENTILES), rows)


def run(options: argparse.Namespace) -> dict[str, object]:
    with scratch() as directory:
        port = free_port(SINK_HOST)
        server = Penstock(f"{SINK_HOST}:{port}", options.workers, None)
        with Sink(directory, SINK_HOST, port, record=True) as sink:
            home = directory / "server"
            home.mkdir()
            try:
                roots = server.start(home)
                bench = _Bench(directory, sink, server)
                bench.inject(0.0, options.count // 10, SESSIONS_MAXIMUM)
                maximum = statistics.median(bench.maximum(options.count) for _ in range(3))
                loads = [
                    {"share": share, **measure(bench, roots, maximum * share, options.seconds)}
                    for share in SHARES
                ]
            finally:
                server.stop()
    print_table(
        f"Latency: {SIZE} bytes, {options.workers} workers, durable; maximum {maximum:,.0f}/s",
        loads,
    )
    half = loads[SHARES.index(0.5)]
    accept, end = half["accept_ms"], half["end_to_end_ms"]
    assert isinstance(accept, dict)
    assert isinstance(end, dict)
    verdicts = targets.latency(accept["p99"], end["p99"])
    for verdict in verdicts:
        report.console().print(str(verdict), style="green" if verdict.met else "red")
    return {
        "workers": options.workers,
        "size": SIZE,
        "maximum_per_s": round(maximum, 1),
        "loads": loads,
        "verdicts": [asdict(verdict) for verdict in verdicts],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.latency")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--count", type=int, default=5000, help="messages to find the maximum")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=pathlib.Path, help="default: bench/out/latency.json")
    options = parser.parse_args(arguments)
    try:
        result = run(options)
    except Failed as error:
        print(f"bench.latency: {error}", file=sys.stderr)
        return 1
    path = report.save("latency", result, options.json)
    report.console().print(f"Figures: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
