"""How long ``explain`` takes with a long queue: ``python -m bench.explain [--count N]``.

A backlog that is due later is put on disk, a daemon is started over it, and the control socket is
asked about message ids, recipients and queues, one after the other.
"""

from __future__ import annotations

import argparse
import pathlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence

from bench.daemon import Daemon
from bench.fill import fill

SHARDS = 2
ROUNDS = 50
START_S = 120.0


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.explain")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--domains", type=int, default=100_000)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        measure(pathlib.Path(name), given.count, given.domains)


def measure(directory: pathlib.Path, count: int, domains: int) -> None:
    each = count // SHARDS
    fill(directory / "spool", count, shards=SHARDS, size=512, domains=domains)
    daemon = Daemon(directory, "127.0.0.1:9", workers=SHARDS)
    daemon.start(START_S)
    rng = random.Random(7)
    try:
        asked: dict[str, list[float]] = {"message id": [], "recipient": [], "queue": []}
        for _ in range(ROUNDS):
            number = rng.randrange(each)
            domain = f"d{number % domains}.example"
            targets = (first_id(daemon, domain), f"u{number}@{domain}", domain)
            for times, target in zip(asked.values(), targets, strict=True):
                begun = time.perf_counter()
                answer = daemon.control("explain", target=target)
                times.append(time.perf_counter() - begun)
                assert answer["explanations"], target
    finally:
        daemon.kill()
    for what, times in asked.items():
        print(
            f"{what:12} median {statistics.median(times) * 1000:6.1f} ms"
            f"   max {max(times) * 1000:6.1f} ms   ({count:,} queued, {domains:,} domains)"
        )


def first_id(daemon: Daemon, domain: str) -> str:
    """The id of some message to ``domain``."""
    return str(daemon.control("explain", target=domain)["explanations"][0]["id"])


if __name__ == "__main__":
    main(sys.argv[1:])
