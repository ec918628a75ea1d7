"""Whether a second worker costs: CPU a message of one worker, and of two with twice the load.

Injector and sink run on the same cores, so two workers cannot show twice the rate on two cores; and
a worker that is driven to its limit shares its commits among more messages than one that is not. So
each worker gets the same load here, below its limit, from as many sessions, and what a message
costs is compared. Runs alternate, and the medians count.

    python -m bench.workers [--rate N] [--seconds S] [--rounds N]
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence

from bench import report
from bench.harness import Failed, NotThere, free_port, scratch
from bench.latency import SINK_HOST, measure_cpu_ms
from bench.servers import Penstock
from bench.sink import Sink

SESSIONS = 20
CHANGE_MAX = 0.05
COUNTS = (1, 2)


def run(workers: int, rate: float, seconds: float) -> float:
    """CPU milliseconds a message of ``workers`` at ``rate`` messages/s each."""
    with scratch() as directory:
        port = free_port(SINK_HOST)
        server = Penstock(f"{SINK_HOST}:{port}", workers, None)
        with Sink(directory, SINK_HOST, port, record=True) as sink:
            home = directory / "server"
            home.mkdir()
            try:
                roots = server.start(home)
                return measure_cpu_ms(
                    directory,
                    sink,
                    server,
                    roots,
                    rate=rate * workers,
                    seconds=seconds,
                    sessions=SESSIONS * workers,
                )
            finally:
                server.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.workers")
    parser.add_argument("--rate", type=float, default=1000.0, help="messages/s for each worker")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    found: dict[int, list[float]] = {count: [] for count in COUNTS}
    try:
        for _ in range(options.rounds):
            for count in COUNTS:
                found[count].append(run(count, options.rate, options.seconds))
    except (Failed, NotThere) as error:
        print(f"bench.workers: {error}", file=sys.stderr)
        return 1
    middle = {count: statistics.median(runs) for count, runs in found.items()}
    change = middle[2] / middle[1] - 1
    report.show(
        f"Workers, {options.rate:,.0f} messages/s for each",
        ("workers", "CPU ms/message", "of the runs"),
        [
            (str(count), f"{middle[count]:.3f}", ", ".join(f"{one:.3f}" for one in runs))
            for count, runs in found.items()
        ],
    )
    verdict = "met" if change <= CHANGE_MAX else "NOT met"
    print(f"the second worker changes it by {change:+.0%}; at most {CHANGE_MAX:+.0%}: {verdict}")
    report.save("workers", {"rate": options.rate, "cpu_ms": middle, "change": change})
    return 0


if __name__ == "__main__":
    sys.exit(main())
