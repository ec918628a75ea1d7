"""What a start takes in bulk is what it would have taken record by record."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from penstock_queue import NewEntry, Queue, QueueConfig, SimDisk
from penstock_queue.chunk import SPAN
from penstock_queue.index import TICK_MAX
from penstock_queue.replay import Replay
from penstock_queue.scan import Damage, scan
from penstock_queue.segment import HEADER_BYTES, file_name

Factory = Callable[..., Any]
Opened = Callable[..., Queue]
Commit = Callable[[Queue], Any]
NOW = 1_700_000_000.0
_COLUMNS = ("state", "attempts", "delta", "key", "due", "expires", "segment", "offset", "size",
            "refs", "created")  # fmt: skip


def seen(queue: Queue) -> dict[str, Any]:
    """Everything that replaying decides."""
    state = queue._state
    rows = {}
    for number, chunk in state.index.chunks.items():
        for row in chunk.rows_in_use():
            values = [getattr(chunk, name)[row] for name in _COLUMNS]
            key = state.keys.key(chunk.key[row]) if chunk.state[row] & 1 else b""
            if not chunk.state[row] & 8:  # not a message: its columns mean nothing
                values[6:] = []
            rows[number, chunk.slot(row)] = (values, key, chunk.note(row))
    segments = {
        number: (one.bodies, one.live_bytes, one.agains, one.done, one.damaged, one.size,
                 one.chunks, one.settles, one.also)
        for number, one in state.segments.items()
    }  # fmt: skip
    keys = {state.keys.key(number): n for number, n in state.keys._entries.items()}
    timers = sorted(seq for level in state.timers._buckets for b in level.values() for seq in b)
    totals = (state.index.live, state.index.bodies, state.next_seq, state.group, timers)
    return {"rows": rows, "segments": segments, "keys": keys, "totals": totals,
            "recovery": queue.recovery, "implied": state.implied}  # fmt: skip


def both_ways(
    disk: SimDisk, config: QueueConfig, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """What is on ``disk``, opened in bulk and not; a start changes the disk, so a second bulk one
    has what the first left."""
    Queue.open("q", config, disk=disk, now=NOW).close()
    quick = Queue.open("q", config, disk=disk, now=NOW)
    found = seen(quick)
    quick.close()
    with monkeypatch.context() as patch:
        patch.setattr(Replay, "take", lambda self, data, at, base: at)
        slow = Queue.open("q", config, disk=disk, now=NOW)
    assert seen(slow) == found
    slow.close()
    return found


@pytest.mark.parametrize("seed", range(12))
def test_random_work_is_found_the_same_way(
    model: Factory, small: QueueConfig, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    disk = SimDisk(seed)
    subject = model(seed, disk)
    subject.open()
    for _ in range(150):
        subject.step()
    subject.queue.close()
    assert both_ways(disk, small, monkeypatch)["segments"]


def test_it_takes_what_is_plain_and_stops_before_the_rest(
    opened: Opened, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, config = SimDisk(), QueueConfig()
    queue = opened(disk, config)
    seq = queue.reserve(2 * SPAN, NOW)
    for i in range(0, 2 * SPAN, 700):
        entry = NewEntry(b"k%d" % (i % 5), NOW + i, NOW + 2 * i, b"e")
        queue.append(seq + i, b"m", [bytes(i % 900)], [entry, entry] if i == 1400 else [entry])
    far = queue.reserve(1, NOW)
    queue.append(far, b"", [b""], [NewEntry(b"", 1e12, 1e12, b"")])
    commit(queue)
    queue.close()
    calls: list[tuple[int, int]] = []
    whole = Replay.take

    def counting(self: Replay, data: bytes, at: int, base: int) -> int:
        after = whole(self, data, at, base)
        calls.append((at, after))
        return after

    with monkeypatch.context() as patch:
        patch.setattr(Replay, "take", counting)
        again = opened(disk, config)
    assert len(calls) == 3, "one run up to the message with two entries, which it leaves, and one"
    assert sum(after == at for at, after in calls) == 1
    assert again._index.entry(far)[0].due[again._index.entry(far)[1]] == TICK_MAX
    again.close()
    both_ways(disk, config, monkeypatch)


@pytest.mark.parametrize("part", ["body", "entries"])
def test_a_flipped_bit_is_never_taken(
    opened: Opened, commit: Commit, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    disk, config = SimDisk(), QueueConfig()
    queue = opened(disk, config)
    seqs = []
    for i in range(6):
        seqs.append(queue.reserve(1, NOW))
        entry = NewEntry(b"key-%d" % i, NOW, 0.0, b"e")
        queue.append(seqs[-1], b"m", [b"body-%d " % i * 50], [entry])
        if i % 2:
            commit(queue)
    queue.close()
    view = disk.names[f"q/{file_name(1)}"].view
    view[view.find({"body": b"body-2", "entries": b"key-2"}[part])] ^= 1
    again = opened(disk, config)
    assert list(again.seqs()) == [*seqs[:2], *seqs[4:]]
    assert len(again.recovery.quarantined) == 1
    again.close()
    both_ways(disk, config, monkeypatch)


@pytest.mark.parametrize("window", [64, 200, 1000])
def test_windows_may_end_anywhere(opened: Opened, commit: Commit, window: int) -> None:
    disk, config, rng = SimDisk(), QueueConfig(), random.Random(window)
    queue = opened(disk, config)
    for i in range(40):
        seq = queue.reserve(1, NOW)
        queue.append(seq, b"m", [rng.randbytes(rng.randrange(300))], [NewEntry(b"k", 0, 0, b"e")])
        if i % 7 == 0:
            commit(queue)
    commit(queue)
    queue.close()
    state = opened(disk, config)._state
    segment, replay = state.segments[1], Replay(state)
    state.index.chunks.clear()
    segment.bodies = segment.live_bytes = state.index.live = 0
    replay.start(segment)
    file = disk.open(f"q/{file_name(1)}")
    for item in scan(file, segment.salt, HEADER_BYTES, segment.size, window, replay.take):
        assert not isinstance(item, Damage)
        replay.record(item)
    assert (state.index.live, segment.bodies) == (40, 40)
