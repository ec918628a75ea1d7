"""The durable queue by itself: append, commit, settle, read back, recover, compact.

One queue in this process, on a real disk, no event loop. CPU is that of the whole process; MiB/s
are bytes of messages by the clock. A group is committed with one ``fdatasync``, so what it costs by
the clock is mostly the disk's answer, shared by as many messages as the group has. *Cold* is with
the segments out of the page cache.

    python -m bench.queue [--full] [--directory DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass

from bench import report
from bench.fill import evict
from bench.harness import scratch
from penstock_queue import NewEntry, Queue, QueueConfig, RealDisk

GROUPS = (1, 8, 64, 512)
SIZE = 10_240
RESTING_SIZE = 2048  # of what is recovered, read back and compacted
DEAD_SHARE = 0.8
STAGED = 64  # messages that the relay reads at once
CONFIG = QueueConfig(segment_bytes=32 << 20, cache_bytes=16 << 20)


@dataclass(frozen=True, slots=True)
class Counts:
    appended: int
    committed: int  # for a group of 512; smaller groups get fewer, for they take longer
    resting: int


QUICK = Counts(10_000, 10_000, 50_000)
FULL = Counts(50_000, 100_000, 500_000)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of ``messages`` messages of ``size`` bytes each."""

    messages: int
    size: int
    cpu_us: float
    wall_us: float
    mib_per_s: float


def measure(count: int, size: int, work: Callable[[], object]) -> Cost:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Cost(count, size, cpu / count * 1e6, wall / count * 1e6, count * size / wall / (1 << 20))


def opened(directory: pathlib.Path) -> Queue:
    return Queue.open(str(directory), CONFIG, disk=RealDisk(), now=time.time())


def commit(queue: Queue) -> None:
    batch = queue.begin_commit()
    if batch is not None:
        batch.run()
        if failed := queue.end_commit(batch):
            raise failed


def append(queue: Queue, count: int, body: bytes, *, later_s: float = 0.0) -> None:
    now = time.time()
    due = now + later_s if later_s else 0.0
    for number in range(count):
        entry = NewEntry(b"example%d.com" % (number % 50), due, now + 432_000, b"m" * 40)
        queue.append(queue.reserve(1, now), b"h" * 80, [body], [entry])


def append_and_commit(queue: Queue, count: int, body: bytes, group: int) -> None:
    for done in range(0, count, group):
        append(queue, min(group, count - done), body)
        commit(queue)


def settle(queue: Queue, seqs: Sequence[int]) -> None:
    for number, seq in enumerate(seqs, 1):
        queue.settle(seq)
        if number % 100 == 0:
            commit(queue)
    commit(queue)


def read_back(queue: Queue, seqs: Sequence[int]) -> None:
    for at in range(0, len(seqs), STAGED):
        if not all(queue.read(seqs[at : at + STAGED])):
            raise SystemExit("a message cannot be read")


def compact(queue: Queue) -> None:
    while queue.compact_step() or queue.pending:
        commit(queue)


def fresh_mail(directory: pathlib.Path, counts: Counts) -> dict[str, Cost]:
    """What happens to a message on its way through."""
    body, found = os.urandom(SIZE), dict[str, Cost]()
    queue = opened(directory / "append")
    few = CONFIG.uncommitted_bytes_max // (SIZE + 1000)
    taken = min(counts.appended, few)
    found["append, not committed"] = measure(taken, SIZE, lambda: append(queue, taken, body))
    commit(queue)
    for group in GROUPS:
        count = max(group, min(counts.committed, 200 * group))
        name = f"append and commit, groups of {group}"
        found[name] = measure(
            count, SIZE, lambda count=count, group=group: append_and_commit(
                queue, count, body, group
            ),
        )  # fmt: skip
    seqs = list(queue.seqs())
    found["settle and commit, groups of 100"] = measure(
        len(seqs), SIZE, lambda: settle(queue, seqs)
    )
    queue.close()
    return found


def mail_at_rest(directory: pathlib.Path, counts: Counts) -> dict[str, Cost]:
    """A backlog: found again at a start, read back, emptied of the dead."""
    body, found, queues = os.urandom(RESTING_SIZE), dict[str, Cost](), list[Queue]()
    spool = directory / "spool"
    home = spool / "shard-00"
    queue = opened(home)
    for done in range(0, counts.resting, 1000):
        append(queue, min(1000, counts.resting - done), body, later_s=3600.0)
        commit(queue)

    def timed(name: str, count: int, work: Callable[[], object]) -> None:
        found[name] = measure(count, RESTING_SIZE, work)

    for cold in (False, True):
        queue.close()
        if cold:
            evict(spool)
        timed(f"recover{', cold' if cold else ''}", counts.resting,
              lambda: queues.append(opened(home)))  # fmt: skip
        queue = queues.pop()
        if queue.recovery.entries != counts.resting:
            raise SystemExit(f"{queue.recovery.entries} of {counts.resting} were found")
    seqs = list(queue.seqs())[: counts.resting // 5]
    for cold in (False, True):
        if cold:
            evict(spool)
        name = f"read back, {STAGED} at once{', cold' if cold else ''}"
        timed(name, len(seqs), lambda: read_back(queue, seqs))
    keep = round(1 / (1 - DEAD_SHARE))
    settle(queue, [seq for number, seq in enumerate(queue.seqs()) if number % keep])
    before = queue.stats()
    kept = int(before["entries"])
    timed(f"compact, {DEAD_SHARE:.0%} dead; each one kept", kept, lambda: compact(queue))
    timed_all = found[f"compact, {DEAD_SHARE:.0%} dead; each one kept"]
    read = before["disk_bytes"] / (timed_all.wall_us * kept)
    found["compact; each one that was there"] = Cost(
        kept * keep,
        RESTING_SIZE,
        timed_all.cpu_us / keep,
        timed_all.wall_us / keep,
        read * 1e6 / (1 << 20),
    )
    if queue.stats()["disk_bytes"] > before["disk_bytes"] / 2:
        raise SystemExit("compaction gave nothing back")
    queue.close()
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.queue")
    parser.add_argument("--full", action="store_true", help="ten times as many messages")
    parser.add_argument("--directory", type=pathlib.Path, help="where to put the queues")
    parser.add_argument("--json", type=pathlib.Path, help="default: bench/out/queue.json")
    given = parser.parse_args(arguments)
    counts = FULL if given.full else QUICK
    with nullcontext(given.directory) if given.directory else scratch() as directory:
        found = {**fresh_mail(directory, counts), **mail_at_rest(directory, counts)}
    report.show(
        f"The queue: {SIZE} bytes a message, {RESTING_SIZE} for what is at rest",
        ("", "messages", "CPU us", "clock us", "MiB/s"),
        [
            (
                name,
                f"{cost.messages:,}",
                f"{cost.cpu_us:.1f}",
                f"{cost.wall_us:.1f}",
                f"{cost.mib_per_s:.0f}",
            )
            for name, cost in found.items()
        ],
    )
    report.save("queue", {name: asdict(cost) for name, cost in found.items()}, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
