"""A disk that says no."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from typing import Any

import pytest

from penstock_queue import CommitFailed, PowerCut, Queue, QueueFull, SimDisk
from penstock_queue.commit import SEALED_MAX

Opened = Callable[..., Queue]
Put = Callable[..., int]
Factory = Callable[..., Any]


@pytest.mark.parametrize("kind", ["write", "sync", "create", "sync_directory"])
def test_a_failed_group_vanishes_and_the_next_succeeds(
    opened: Opened, put: Put, commit: Any, kind: str
) -> None:
    disk = SimDisk()
    queue = opened(disk)
    kept, settled, deferred = (put(queue, bytes(6000)) for _ in range(3))
    commit(queue)
    queue.settle(settled)
    queue.defer(deferred, 5.0, 1, b"why")
    lost = put(queue, due=1.8e9)
    queue.mark(lost)
    queue.defer(lost, 1.8e9, 1)
    disk.failing[kind] = errno.EIO
    failed = commit(queue)
    assert isinstance(failed, CommitFailed)
    assert failed.errno == errno.EIO
    assert "Input/output error" in str(failed)
    assert not queue.full
    assert not queue.exists(lost)
    assert queue.cached(lost) is None
    assert queue.stats()["inflight"] == 0
    assert queue.uncommitted_bytes == 0
    assert queue.pop_due(1.9e9, 10) == [deferred]
    disk.failing.clear()
    assert commit(queue) is None
    disk.crash(random.Random(3))
    again = opened(disk)
    assert sorted(again.seqs()) == [kept, deferred]
    assert again.attempts(deferred) == 1
    assert again.recovery.quarantined == []


def test_a_full_disk_refuses_and_recovers(opened: Opened, put: Put, commit: Any) -> None:
    disk = SimDisk()
    queue = opened(disk)
    kept = put(queue, bytes(2000))
    assert commit(queue) is None
    disk.capacity = 3000
    put(queue, bytes(2000))
    failed = commit(queue)
    assert failed is not None
    assert failed.errno == errno.ENOSPC
    assert queue.full
    assert queue.stats()["full"] == 1
    with pytest.raises(QueueFull, match="disk is full"):
        put(queue)
    disk.capacity = 2200
    assert commit(queue) is not None, "nothing waits, so an empty group asks"
    queue.settle(kept)
    assert commit(queue) is not None
    assert not queue.exists(kept)
    disk.capacity = None
    assert commit(queue) is None
    assert not queue.full
    assert put(queue)
    assert queue.stats()["failed_groups"] == 3
    queue.close()
    assert list(opened(disk).seqs()) == []


def test_what_cannot_be_cut_off_is_dealt_with_at_the_start(
    opened: Opened, put: Put, commit: Any
) -> None:
    disk = SimDisk()
    queue = opened(disk)
    kept = put(queue)
    commit(queue)
    put(queue)
    disk.failing = {"sync": errno.EIO, "truncate": errno.EIO}
    batch = queue.begin_commit()
    assert batch is not None
    batch.run()
    assert not batch.cut
    assert queue.end_commit(batch) is not None
    disk.failing.clear()
    more = put(queue)
    assert commit(queue) is None
    disk.kill()
    again = opened(disk)
    assert {kept, more} == set(again.seqs()), "what was refused does not come back"
    again.close()
    assert {kept, more} == set(opened(disk).seqs())


def test_a_deferral_is_not_lost_to_an_older_one(opened: Opened, put: Put, commit: Any) -> None:
    disk = SimDisk()
    queue = opened(disk)
    seq, gone = put(queue), put(queue)
    commit(queue)
    queue.defer(seq, 5.0, 1)
    queue.defer(gone, 5.0, 1)
    batch = queue.begin_commit()
    assert batch is not None
    queue.defer(seq, 6.0, 2)
    queue.settle(gone)
    disk.failing["write"] = errno.EIO
    batch.run()
    assert queue.end_commit(batch) is not None
    disk.failing.clear()
    assert commit(queue) is None
    queue.close()
    again = opened(disk)
    assert again.attempts(seq) == 2
    assert not again.exists(gone)


def test_deferrals_that_wait_are_bounded(
    opened: Opened, put: Put, commit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock_queue.commit.AGAINS_MAX", 2)
    disk = SimDisk()
    queue = opened(disk)
    seqs = [put(queue) for _ in range(3)]
    commit(queue)
    for seq in seqs:
        queue.mark(seq)
        queue.defer(seq, 1.8e9, 1)
    assert queue.stats()["deferrals_unrecorded"] == 1
    commit(queue)
    assert queue.stats()["inflight"] == 0
    assert queue.due(seqs[0]) == 1.8e9
    queue.close()
    again = opened(disk)
    assert [again.attempts(seq) for seq in seqs] == [0, 1, 1]


def replay(model: Factory, seed: int, call: int, number: int) -> None:
    """Fail at ``call``, go on, lose power at the end."""
    disk = SimDisk(seed)
    subject = model(seed, disk)
    subject.open()
    disk.faults = {call: number, call + 7: number}
    for _ in range(40):
        try:
            subject.step()
        except OSError:  # opening and reading hand the error on
            subject.queue = None
            disk.kill()
            disk.faults.clear()
            subject.verify()
    disk.faults.clear()
    rng = random.Random(seed + call)
    disk.crash(rng)
    live = subject.verify()
    subject.queue.close()
    disk.crash(rng)
    assert subject.verify() == live


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_lost_whichever_call_fails(model: Factory, seed: int) -> None:
    disk = SimDisk(seed)
    subject = model(seed, disk)
    subject.open()
    first = disk.calls + 1
    for _ in range(40):
        subject.step()
    assert disk.calls > first + 20, "there is something to fail"
    for call in range(first, disk.calls + 1):
        number = (errno.EIO, errno.ENOSPC)[call % 2]
        try:
            replay(model, seed, call, number)
        except (AssertionError, PowerCut, KeyError) as error:
            raise AssertionError(f"replay(model, {seed}, {call}, {number})") from error


@pytest.mark.parametrize("seed", range(12))
def test_what_a_start_goes_by_outlasts_a_power_cut(
    opened: Opened, put: Put, commit: Any, seed: int
) -> None:
    """A settlement whose sync failed and that could not be cut off can be read by the next start,
    which must make it durable before it goes by it: the kernel holds its pages for clean."""
    disk = SimDisk(seed)
    queue = opened(disk)
    kept, settled = put(queue, bytes(100)), put(queue, bytes(100))
    commit(queue)
    queue.settle(settled)
    disk.failing.update(sync=errno.EIO, truncate=errno.EIO)
    assert commit(queue) is not None
    disk.failing.clear()
    disk.kill()
    found = sorted(opened(disk).seqs())
    disk.crash(random.Random(seed))
    assert sorted(opened(disk).seqs()) == found
    assert kept in found


def test_a_disk_that_takes_no_room_back_costs_a_bounded_number_of_files(
    opened: Opened, put: Put, commit: Any
) -> None:
    disk = SimDisk()
    queue = opened(disk)
    disk.failing["truncate"] = errno.EIO
    for _ in range(SEALED_MAX + 5):
        put(queue, bytes(17_000))
        assert commit(queue) is None
    disk.failing.clear()
    put(queue)
    assert commit(queue) is None
    queue.close()
    assert len(list(opened(disk).seqs())) == SEALED_MAX + 6
