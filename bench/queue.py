"""The durable queue by itself: append and commit, recover, settle, compact.

Usage: ``python bench/queue.py [--messages N] [--bytes B] [--group G] [--recover N] [--json FILE]``.
CPU is that of the whole process. Prints a table, then the same as one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# A script's own folder comes first on the path; there this file would be the standard ``queue``.
sys.path[0] = str(Path(__file__).resolve().parent.parent / "queue")

from penstock_queue import NewEntry, Queue, QueueConfig, RealDisk  # noqa: E402


def commit(queue: Queue) -> None:
    batch = queue.begin_commit()
    if batch is not None:
        batch.run()
        failed = queue.end_commit(batch)
        if failed is not None:
            raise failed


def measure(work: Callable[[], int]) -> dict[str, float]:
    """``work`` returns how many messages it handled."""
    cpu, wall = time.process_time(), time.perf_counter()
    count = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "messages": count,
        "seconds": round(wall, 3),
        "per_s": round(count / wall),
        "cpu_us": round(cpu / count * 1e6, 2),
    }


def append(queue: Queue, count: int, size: int, group: int, *, later_s: float = 0.0) -> int:
    body, now = os.urandom(size), time.time()
    done = 0
    while done < count:
        for i in range(min(group, count - done)):
            seq = queue.reserve(1, now)
            due = now + later_s if later_s else 0.0
            entry = NewEntry(b"example%d.com" % (i % 50), due, now + 432_000, b"m" * 40)
            queue.append(seq, b"h" * 80, [body], [entry])
        commit(queue)
        done += group
    return count


def settle(queue: Queue) -> int:
    seqs = list(queue.seqs())
    for i, seq in enumerate(seqs):
        queue.settle(seq)
        if i % 100 == 99:
            commit(queue)
    commit(queue)
    return len(seqs)


def thin_out(queue: Queue) -> int:
    for i, seq in enumerate(list(queue.seqs())):
        if i % 10:
            queue.settle(seq)
    commit(queue)
    return int(queue.stats()["entries"])


def compact(queue: Queue) -> int:
    left = int(queue.stats()["entries"])
    while queue.compact_step() or queue.pending:
        commit(queue)
    return left


def run(arguments: argparse.Namespace, directory: str) -> dict[str, dict[str, float]]:
    disk, results = RealDisk(), {}
    config = QueueConfig(segment_bytes=arguments.segment_bytes, cache_bytes=16 << 20)

    def opened(name: str) -> Queue:
        return Queue.open(f"{directory}/{name}", config, disk=disk, now=time.time())

    queue = opened("a")
    count, size, group = arguments.messages, arguments.bytes, arguments.group
    results["append+commit"] = measure(lambda: append(queue, count, size, group))
    results["settle+commit"] = measure(lambda: settle(queue))
    queue.close()

    queue = opened("b")
    append(queue, arguments.recover, 2048, 200, later_s=3600)
    queue.close()
    cpu, wall = time.process_time(), time.perf_counter()
    queue = opened("b")
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    found = queue.recovery.entries
    results["recover 2 KiB"] = {
        "messages": found,
        "seconds": round(wall, 3),
        "per_s": round(found / wall),
        "cpu_us": round(cpu / found * 1e6, 2),
    }
    thin_out(queue)
    disk_before = queue.stats()["disk_bytes"]
    results["compact"] = measure(lambda: compact(queue))
    results["compact"]["disk_bytes_before"] = disk_before
    results["compact"]["disk_bytes_after"] = queue.stats()["disk_bytes"]
    queue.close()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the durable queue.")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--bytes", type=int, default=10_240)
    parser.add_argument("--group", type=int, default=20)
    parser.add_argument("--recover", type=int, default=50_000)
    parser.add_argument("--segment-bytes", type=int, default=32 << 20)
    parser.add_argument("--directory", default=None, help="where to put the queues (temporary)")
    parser.add_argument("--json", default=None, help="write the results to this file too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        results = run(arguments, directory)
    print(f"{'':16}{'messages':>10}{'seconds':>10}{'per s':>10}{'CPU us':>10}")
    for name, row in results.items():
        print(
            f"{name:16}{row['messages']:>10.0f}{row['seconds']:>10.2f}"
            f"{row['per_s']:>10.0f}{row['cpu_us']:>10.2f}"
        )
    text = json.dumps(results)
    print(text)
    if arguments.json:
        Path(arguments.json).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
