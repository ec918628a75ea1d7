"""Groups on a real disk, with real threads."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from penstock_queue import CommitFailed, Committer, Queue, QueueConfig, RealDisk, SimDisk
from penstock_queue.compact import Chore

Put = Callable[..., int]


class Bench:
    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.groups: list[tuple[int, int, float]] = []
        self._more = asyncio.Event()
        self.committer = Committer(queue, asyncio.get_running_loop(), self._seen)
        self.committer.start()

    def _seen(self, *seen: Any) -> None:
        self.groups.append(seen)
        self._more.set()

    async def grouped(self, count: int) -> None:
        """Wait until so many groups have succeeded."""
        async with asyncio.timeout(10):
            while len(self.groups) < count:
                self._more.clear()
                await self._more.wait()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    queue = Queue.open(str(tmp_path / "q"), QueueConfig(), disk=RealDisk(), now=1_700_000_000.0)
    bench = Bench(queue)
    yield bench
    await bench.committer.stop()
    queue.close()


@pytest.fixture
async def sim() -> AsyncIterator[Bench]:
    bench = Bench(Queue.open("q", QueueConfig(), disk=SimDisk(), now=1_700_000_000.0))
    yield bench
    await bench.committer.stop()
    bench.queue.close()


async def test_everybody_of_a_group_holds_one_future(bench: Bench, put: Put) -> None:
    commit = bench.committer.commit
    assert commit().done(), "nothing waits"
    put(bench.queue)
    first = commit()
    put(bench.queue)
    assert commit() is first
    await first
    assert bench.groups[0][0] == 2
    assert bench.groups[0][1] > 0
    assert bench.groups[0][2] >= 0


async def test_what_arrives_during_a_sync_is_the_next_group(bench: Bench, put: Put) -> None:
    first_seq = put(bench.queue)
    first = bench.committer.commit()
    await asyncio.sleep(0)
    assert bench.committer.commit() is first, "under way, and nothing new waits"
    seqs = [put(bench.queue) for _ in range(3)]
    second = bench.committer.commit()
    assert second is not first
    await second
    assert first.done()
    assert [group[0] for group in bench.groups] == [1, 3]
    assert all(bench.queue.read([first_seq, *seqs]))


async def test_one_that_gives_up_does_not_take_the_others_along(bench: Bench, put: Put) -> None:
    put(bench.queue)
    future = bench.committer.commit()

    async def wait() -> None:
        await future

    waiters = [asyncio.create_task(wait()) for _ in range(2)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    results = await asyncio.gather(*waiters, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1] is None


async def test_settlements_are_written_without_a_message(bench: Bench, put: Put) -> None:
    seq = put(bench.queue)
    await bench.committer.commit()
    bench.queue.settle(seq)
    bench.committer.nudge()
    bench.committer.nudge()
    assert bench.queue.pending
    await bench.grouped(2)
    assert bench.groups[1][0] == 0
    assert not bench.queue.pending


async def test_stop_flushes(tmp_path: Path, put: Put) -> None:
    path = str(tmp_path / "q")
    queue = Queue.open(path, QueueConfig(), disk=RealDisk(), now=1_700_000_000.0)
    committer = Committer(queue, asyncio.get_running_loop())
    committer.start()
    seq = put(queue)
    await committer.stop()
    queue.settle(seq)
    queue.close()
    again = Queue.open(path, QueueConfig(), disk=RealDisk(), now=1_700_000_000.0)
    assert list(again.seqs()) == [seq]
    again.close()


async def test_a_failed_group_is_told_and_settlements_are_tried_again(sim: Bench, put: Put) -> None:
    disk = sim.queue._state.disk
    assert isinstance(disk, SimDisk)
    seq = put(sim.queue)
    await sim.committer.commit()
    disk.failing["sync"] = errno.ENOSPC
    put(sim.queue)
    sim.queue.settle(seq)
    first = sim.committer.commit()
    await asyncio.sleep(0)
    second_seq = put(sim.queue)
    second = sim.committer.commit()
    with pytest.raises(CommitFailed, match="No space"):
        await first
    with pytest.raises(CommitFailed):
        await second
    assert not sim.queue.exists(second_seq)
    assert sim.queue.full
    disk.failing.clear()
    await sim.grouped(2)
    assert not sim.queue.full
    assert not sim.queue.pending


async def test_stop_gives_up_on_a_dead_disk(sim: Bench, put: Put) -> None:
    disk = sim.queue._state.disk
    assert isinstance(disk, SimDisk)
    seq = put(sim.queue)
    await sim.committer.commit()
    disk.failing["write"] = errno.EIO
    sim.queue.settle(seq)
    await sim.committer.stop()
    assert sim.queue.pending
    with pytest.raises(CommitFailed):
        await sim.committer.commit()


async def test_a_bug_fails_the_group_and_is_reported(
    sim: Bench, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))

    def broken(self: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("penstock_queue.batch.Batch.run", broken)
    put(sim.queue)
    with pytest.raises(CommitFailed):
        await sim.committer.commit()
    monkeypatch.undo()
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]
    put(sim.queue)
    await sim.committer.commit()


async def test_space_comes_back_in_the_background(
    tmp_path: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock_queue.committer.IDLE_S", 0.01)
    config = QueueConfig(segment_bytes=50_000)
    queue = Queue.open(str(tmp_path / "q"), config, disk=RealDisk(), now=1_700_000_000.0)
    tidied = asyncio.Event()
    end_chore = queue.end_chore

    def end(chore: Chore) -> int:
        read = end_chore(chore)
        if queue.stats()["disk_bytes"] < 200_000:
            tidied.set()
        return read

    monkeypatch.setattr(queue, "end_chore", end)
    committer = Committer(queue, asyncio.get_running_loop())
    committer.start()
    seqs = []
    for _ in range(10):
        seqs += [put(queue, bytes(10_000)) for _ in range(6)]
        await committer.commit()
    assert queue.stats()["disk_bytes"] > 600_000
    for i, seq in enumerate(seqs):
        if i % 10:
            queue.settle(seq)
    tidied.clear()
    committer.nudge()
    async with asyncio.timeout(10):
        await tidied.wait()
    assert all(queue.read(seqs[::10]))
    await committer.stop()
    queue.close()


async def test_what_comes_before_a_group_is_done_before_anything_of_it_is_written(
    put: Put,
) -> None:
    disk = SimDisk()
    queue = Queue.open("q", QueueConfig(direct_io=False), disk=disk, now=1_700_000_000.0)
    seen: list[tuple[int, bool]] = []
    loop_thread = threading.get_ident()

    def before(patient: bool) -> bool:
        written = sum(len(inode.view.rstrip(b"\0")) for inode in disk.names.values())
        seen.append((written, threading.get_ident() == loop_thread))
        return True

    committer = Committer(queue, asyncio.get_running_loop(), before_write=before)
    committer.start()
    for _ in range(2):
        put(queue)
        await committer.commit()
    after = sum(len(inode.view.rstrip(b"\0")) for inode in disk.names.values())
    await committer.stop()
    queue.close()
    assert [on_loop for _, on_loop in seen[:2]] == [False, False]
    assert seen[0][0] < seen[1][0] < after


async def test_a_group_is_not_written_where_what_comes_before_it_fails(put: Put) -> None:
    queue = Queue.open("q", QueueConfig(), disk=SimDisk(), now=1_700_000_000.0)
    wrong = [True]

    def before(patient: bool) -> bool:
        if wrong:
            raise OSError(errno.EIO, "no")
        return True

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    committer = Committer(queue, loop, before_write=before)
    committer.start()
    put(queue)
    with pytest.raises(CommitFailed):
        await committer.commit()
    wrong.clear()
    put(queue)
    await committer.commit()
    assert queue.stats()["entries"] == 1
    await committer.stop()
    queue.close()
