"""Deadlines: each is handed out once, on time, whatever happened in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_queue import NewEntry, Queue, QueueConfig, SimDisk

Opened = Callable[..., Queue]
Put = Callable[..., int]
NOW = 1_700_000_000.0


def drain(queue: Queue, now: float, limit: int = 10_000) -> list[int]:
    """All that is due by ``now``, as a caller would get it."""
    out: list[int] = []
    while (at := queue.next_deadline()) is not None and at <= now:
        out += queue.pop_due(now, limit)
    return out


def test_what_is_due_when_appended_is_the_callers(opened: Opened, put: Put, now: float) -> None:
    queue = opened(SimDisk())
    put(queue)
    put(queue, due=now)
    later = put(queue, due=now + 0.1)
    assert drain(queue, now + 10) == [later]
    assert queue.next_deadline() is None
    seq = queue.reserve(1, now)
    queue.append(seq, b"", [], [NewEntry(b"k", now + 20.5, 0, b"")], now=now + 21)
    assert drain(queue, now + 100) == []


def test_after_a_restart_everything_due_comes(
    opened: Opened, put: Put, commit: Any, now: float
) -> None:
    disk = SimDisk()
    queue = opened(disk)
    seqs = [put(queue), put(queue, due=now + 3), put(queue, due=now + 1000)]
    commit(queue)
    queue.close()
    again = opened(disk, now=now + 5)
    assert sorted(drain(again, now + 5)) == seqs[:2]
    assert drain(again, now + 2000) == seqs[2:]


def test_never_early_and_hardly_late(opened: Opened, put: Put, now: float) -> None:
    queue = opened(SimDisk())
    seq = put(queue, due=now + 2.03)
    assert drain(queue, now + 2.02) == []
    assert drain(queue, now + 2.03 + 1 / 16) == [seq]


def test_a_new_time_replaces_the_old_one(opened: Opened, put: Put, now: float) -> None:
    queue = opened(SimDisk())
    seq = put(queue, due=now + 10)
    queue.wake_at(seq, now + 10)
    queue.wake_at(seq, now + 5000)
    queue.defer(seq, now + 10, 1)
    queue.defer(seq, now + 20, 2)
    queue.wake_at(seq, now + 10)
    assert drain(queue, now + 15) == [seq]
    assert drain(queue, now + 10_000) == []
    queue.wake_at(seq, now)
    assert drain(queue, now + 10_000) == [seq]


def test_settled_entries_are_not_due(opened: Opened, put: Put, now: float) -> None:
    queue = opened(SimDisk())
    for wait in (1, 500, 100_000):
        queue.settle(put(queue, due=now + wait, expires=now + wait))
    assert drain(queue, now + 200_000) == []
    assert queue.stats()["timer_entries"] == 0


def test_the_limit_is_kept_and_nothing_is_skipped(opened: Opened, put: Put, now: float) -> None:
    queue = opened(SimDisk())
    seqs = [put(queue, due=now + 1, expires=now + 5 + i % 2) for i in range(10)]
    assert queue.pop_due(now + 2, 4) == seqs[:4]
    assert queue.pop_due(now + 2, 4) == seqs[4:8]
    assert queue.pop_due(now + 2, 4) == seqs[8:]
    expired = []
    for _ in range(4):
        expired.append(queue.pop_due(now + 6, 3))
    assert sorted(seq for some in expired for seq in some) == seqs
    assert max(map(len, expired)) == 3
    assert queue.pop_due(now + 60, 3) == []


def test_expiry_comes_once_wherever_the_entry_waits(opened: Opened, put: Put, now: float) -> None:
    queue = opened(SimDisk())
    handed_out = put(queue, expires=now + 5)
    waiting = put(queue, due=now + 50, expires=now + 5.5)
    both = put(queue, due=now + 3, expires=now + 4)
    never = put(queue)
    assert queue.next_deadline() == now + 3
    assert drain(queue, now + 4) == [both], "due and expired at the same time: once"
    assert drain(queue, now + 5) == [handed_out]
    assert drain(queue, now + 6) == [waiting]
    assert drain(queue, now + 7) == []
    assert drain(queue, now + 60) == [waiting], "its due time is another deadline"
    assert queue.exists(never)


def test_far_deadlines_are_dealt_out_in_pieces(opened: Opened, monkeypatch: Any, put: Put) -> None:
    monkeypatch.setattr("penstock_queue.timers.DEAL_MAX", 3)
    queue = opened(SimDisk(), QueueConfig())
    far = 70_000.0
    seqs = [put(queue, due=NOW + far + i) for i in range(10)]
    assert drain(queue, NOW + far + 20) == seqs


def test_a_great_many_far_ones_keep_no_near_one_waiting(
    opened: Opened, monkeypatch: Any, put: Put
) -> None:
    """They are dealt out ahead of their time, so that the call that finds one due finds it at
    once; each call moves a bounded number."""
    monkeypatch.setattr("penstock_queue.timers.DEAL_MAX", 4)
    queue = opened(SimDisk(), QueueConfig())
    evening = NOW - NOW % 65536 + 3 * 65536
    far = [put(queue, due=evening + 1 + i / 100) for i in range(400)]
    near = put(queue, due=evening + 0.5)
    now, calls = evening - 20 * 60, 0
    while now < evening and (at := queue.next_deadline()) is not None:
        now = max(now + 0.05, at)
        if now < evening:
            assert queue.pop_due(now, 100) == []
            calls += 1
    assert calls >= 2 * 400 / 4, "from the coarsest to the finest buckets, four at a time"
    assert queue.pop_due(evening + 0.5, 100) == [near]
    assert sorted(drain(queue, evening + 10)) == far


def test_a_call_looks_at_a_bounded_number_of_stale_ones(
    opened: Opened, monkeypatch: Any, put: Put, now: float
) -> None:
    monkeypatch.setattr("penstock_queue.timers.LOOK_MAX", 5)
    queue = opened(SimDisk(), QueueConfig())
    for seq in [put(queue, due=now + 1) for _ in range(12)]:
        queue.settle(seq)
    alive = put(queue, due=now + 1)
    assert queue.pop_due(now + 2, 100) == []
    assert queue.next_deadline() == now + 1, "there is more: call again"
    assert queue.pop_due(now + 2, 100) == []
    assert queue.pop_due(now + 2, 100) == [alive]
    assert queue.next_deadline() is None


@settings(max_examples=60, deadline=None)
@given(
    waits=st.lists(
        st.one_of(st.floats(0.1, 3), st.floats(60, 70), st.floats(0, 200_000)),
        min_size=1,
        max_size=40,
    ),
    steps=st.lists(st.floats(0.01, 70_000), max_size=12),
    limit=st.integers(1, 7),
)
def test_all_come_once_on_time_in_any_rhythm(
    waits: list[float], steps: list[float], limit: int
) -> None:
    queue = Queue.open("q", QueueConfig(), disk=SimDisk(), now=NOW)
    due: dict[int, float] = {}
    for wait in waits:
        seq = queue.reserve(1, NOW)
        queue.append(seq, b"", [], [NewEntry(b"k", NOW + wait, 0, b"")])
        if NOW + wait > NOW:
            due[seq] = queue.due(seq)
    now = NOW
    for step in [*steps, 300_000.0]:
        now += step
        came = drain(queue, now, limit)
        assert len(came) == len(set(came))
        assert set(came) == {seq for seq, at in due.items() if at <= now}
        for seq in came:
            del due[seq]
    queue.close()
