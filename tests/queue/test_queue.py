"""What a queue does while nothing goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penstock_queue import Loaded, NewEntry, Queue, QueueConfig, QueueFull, SimDisk
from penstock_queue.queue import SEQ_MAX

Opened = Callable[..., Queue]
Put = Callable[..., int]
Commit = Callable[[Queue], Any]


def test_a_message_through_its_life(opened: Opened, commit: Commit, now: float) -> None:
    queue = opened(SimDisk())
    first = queue.reserve(2, now)
    assert first == int(now) << 16
    entries = [
        NewEntry(b"a.example", now, now + 99.2, b"to a"),
        NewEntry(b"b.example", now + 5, 0, b"to b"),
    ]
    queue.append(first, b"about", [b"one ", memoryview(b"two")], entries)
    assert [queue.key(queue.key_id(seq)) for seq in (first, first + 1)] == [
        b"a.example",
        b"b.example",
    ]
    assert queue.body(first + 1) == first
    assert queue.created(first + 1) == int(now)
    assert queue.expires(first) == int(now) + 100
    assert queue.expires(first + 1) == 0
    assert queue.due(first + 1) == now + 5
    assert queue.attempts(first) == 0
    assert queue.read([first]) == [None], "not committed: not on disk"
    assert queue.cached(first) == Loaded(b"about", b"to a", b"one two", b"")
    assert commit(queue) is None
    assert queue.read([first + 1, 5, first]) == [
        Loaded(b"about", b"to b", b"one two", b""),
        None,
        Loaded(b"about", b"to a", b"one two", b""),
    ]
    queue.defer(first, now + 60, 1, b"451 later")
    assert queue.cached(first) is None
    assert queue.cached(first + 1) is not None
    assert commit(queue) is None
    assert queue.attempts(first) == 1
    assert queue.read([first]) == [Loaded(b"about", b"to a", b"one two", b"451 later")]
    queue.settle(first)
    queue.settle(first)
    assert not queue.exists(first)
    assert list(queue.seqs()) == [first + 1]
    queue.settle(first + 1)
    assert queue.stats()["bodies"] == 0
    assert queue.cached(first + 1) is None
    for column in (
        queue.key_id,
        queue.due,
        queue.expires,
        queue.attempts,
        queue.body,
        queue.created,
    ):
        with pytest.raises(KeyError):
            column(first)


def test_settled_or_unknown_entries_are_nobodys_business(opened: Opened, put: Put) -> None:
    queue = opened(SimDisk())
    queue.settle(7)
    queue.defer(7, 1.0, 1)
    queue.wake_at(7, 1.0)
    assert not queue.pending
    assert queue.begin_commit() is None
    assert queue.cached(7) is None


def test_it_is_the_same_after_a_restart(
    opened: Opened, put: Put, commit: Commit, now: float
) -> None:
    disk = SimDisk()
    queue = opened(disk)
    kept, done = put(queue, b"kept", (b"x", b"y"), expires=now + 9), put(queue, b"done")
    commit(queue)
    queue.defer(kept + 1, now + 7, 3, b"n" * 3000)
    queue.settle(done)
    commit(queue)
    queue.close()
    again = opened(disk)
    assert list(again.seqs()) == [kept, kept + 1]
    assert again.recovery.entries == 2
    assert again.recovery.bodies == 1
    assert again.read([kept + 1]) == [Loaded(b"meta", b"e", b"kept", b"n" * 3000)]
    assert again.attempts(kept + 1) == 3
    assert again.due(kept + 1) == now + 7
    assert again.expires(kept) == now + 9
    assert again.reserve(1, now) > done


def test_numbers_never_fall_even_if_the_clock_does(opened: Opened, put: Put, now: float) -> None:
    queue = opened(SimDisk())
    first = queue.reserve(3, now)
    assert queue.reserve(1, now - 1000) == first + 3
    with pytest.raises(QueueFull):
        queue.reserve(SEQ_MAX, now)


def test_what_waits_for_the_disk_is_bounded(opened: Opened, commit: Commit, now: float) -> None:
    queue = opened(SimDisk(), QueueConfig(uncommitted_bytes_max=1000))
    seq = queue.reserve(2, now)
    entry = NewEntry(b"k", 0, 0, b"")
    queue.append(seq, b"", [bytes(700)], [entry])
    with pytest.raises(QueueFull):
        queue.append(seq + 1, b"", [bytes(700)], [entry])
    assert not queue.exists(seq + 1)
    batch = queue.begin_commit()
    assert batch is not None
    assert queue.begin_commit() is None, "one at a time"
    with pytest.raises(QueueFull):
        queue.append(seq + 1, b"", [bytes(700)], [entry])
    batch.run()
    assert queue.end_commit(batch) is None
    assert queue.uncommitted_bytes == 0
    queue.append(seq + 1, b"", [bytes(700)], [entry])
    with pytest.raises(ValueError, match="under way"):
        queue.end_commit(batch)
    with pytest.raises(ValueError, match="needs an entry"):
        queue.append(seq + 2, b"", [], [])


def test_many_small_pieces_are_one_body(opened: Opened, commit: Commit, now: float) -> None:
    queue = opened(SimDisk())
    seq = queue.reserve(1, now)
    queue.append(seq, b"", [b"%d" % i for i in range(200)], [NewEntry(b"k", 0, 0, b"")])
    commit(queue)
    loaded = queue.read([seq])[0]
    assert loaded is not None
    assert loaded.body == b"".join(b"%d" % i for i in range(200))


def test_the_cache_is_bounded(opened: Opened, put: Put, commit: Commit) -> None:
    queue = opened(SimDisk(), QueueConfig(cache_bytes=5000))
    seqs = [put(queue, bytes(1000)) for _ in range(10)]
    assert put(queue, bytes(6000))
    commit(queue)
    held = [seq for seq in seqs if queue.cached(seq)]
    assert held == seqs[-len(held) :]
    assert 0 < len(held) < 5
    assert 0 < queue.stats()["cache_bytes"] <= 5000
    assert all(queue.read(seqs))


def test_keys_are_forgotten_only_when_there_are_too_many(opened: Opened, put: Put) -> None:
    queue = opened(SimDisk(), QueueConfig(keys_max=2))
    a, b = queue.intern(b"a"), queue.intern(b"b")
    seq = put(queue, keys=(b"b",))
    c = queue.intern(b"c")
    assert c not in (a, b)
    assert queue.key(b) == b"b"
    with pytest.raises(KeyError):
        queue.key(a)
    put(queue, keys=(b"c",))
    with pytest.raises(QueueFull):
        put(queue, keys=(b"d",))
    queue.settle(seq)
    assert put(queue, keys=(b"d",))
    assert queue.stats()["keys"] == 2


def test_segments_are_closed_when_full(opened: Opened, put: Put, commit: Commit) -> None:
    queue = opened(SimDisk())
    seqs = []
    for _ in range(6):
        seqs.append(put(queue, bytes(7000)))
        commit(queue)
    assert queue.stats()["segments"] == 3
    assert all(queue.read(seqs))
    assert queue.stats()["open_files"] <= 2


def test_marks_outlive_the_process(
    opened: Opened, put: Put, commit: Commit, small: QueueConfig
) -> None:
    disk = SimDisk()
    queue = opened(disk)
    seqs = [put(queue) for _ in range(small.inflight_slots + 2)]
    commit(queue)
    for seq in seqs:
        queue.mark(seq)
    assert queue.stats()["inflight_overflows"] == 2
    queue.unmark(seqs[0])
    queue.settle(seqs[1])
    queue.defer(seqs[2], 0.0, 1)
    queue.defer(seqs[3], 0.0, 1)
    queue.mark(seqs[3])
    assert queue.stats()["inflight"] == 7, "settled, but not yet written"
    commit(queue)
    assert queue.stats()["inflight"] == 5, "marked again since: still in flight"
    queue.settle(seqs[4])
    disk.kill()
    again = Queue.open("q", small, disk=disk, now=0.0)
    assert again.recovery.in_flight == [seqs[3], *seqs[4:8]]
    again.mark(seqs[0])
    again.close()
    third = Queue.open("q", small, disk=disk, now=0.0)
    assert {seqs[3], *seqs[4:8]} <= {seqs[0], *third.recovery.in_flight}, "nobody reported it yet"
    third.mark(seqs[5])
    third.forget_in_flight()
    third.close()
    fourth = Queue.open("q", small, disk=disk, now=0.0)
    assert fourth.recovery.in_flight == [seqs[5]]
    fourth.close()


def test_oldest_and_listing(opened: Opened, put: Put, now: float) -> None:
    queue = opened(SimDisk())
    assert queue.stats()["oldest_created"] == 0
    first = put(queue)
    queue.reserve(1, now + 1000)
    second = put(queue)
    assert queue.stats()["oldest_created"] == int(now)
    assert list(queue.seqs(first)) == [second]
    assert queue.free().bytes > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"segment_bytes": 4 << 30},
        {"segment_bytes": 0},
        {"compact_dead_share": 0.0},
        {"inflight_slots": 0},
    ],
)
def test_impossible_limits_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        QueueConfig(**wrong)
