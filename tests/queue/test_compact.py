"""Space comes back, and nothing else changes."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from penstock_queue import Loaded, Queue, QueueConfig, QueueFull, SimDisk
from penstock_queue.chunk import BITS
from penstock_queue.compact import Chore

Opened = Callable[..., Queue]
Put = Callable[..., int]
CONFIG = QueueConfig(segment_bytes=80_000, cache_bytes=0)


def tidy(queue: Queue, commit: Any) -> int:
    steps = 0
    while queue.compact_step(4000) or queue.pending:
        commit(queue)
        steps += 1
        assert steps < 500
    return steps


def read_ahead(queue: Queue) -> Chore:
    """A chore that has read what it will copy, and is not applied yet; deletions are done."""
    while (chore := queue.begin_chore()) is not None and chore.delete:
        chore.run()
        queue.end_chore(chore)
    assert chore is not None
    chore.run()
    return chore


def fill(queue: Queue, put: Put, commit: Any, messages: int = 100, size: int = 1000) -> list[int]:
    """Each in a group of its own, which takes up whole blocks."""
    seqs = []
    for _ in range(messages):
        seqs.append(put(queue, bytes(size)))
        commit(queue)
    return seqs


def test_dead_segments_are_deleted(opened: Opened, put: Put, commit: Any) -> None:
    disk = SimDisk()
    queue = opened(disk, CONFIG)
    for seq in fill(queue, put, commit):
        queue.settle(seq)
    commit(queue)
    before = queue.stats()["segments"]
    assert queue.compact_step()
    assert queue.stats()["segments"] < before
    tidy(queue, commit)
    assert queue.stats()["segments"] <= 2
    assert queue.stats()["disk_bytes"] < 100_000
    queue.close()
    assert opened(disk, CONFIG).recovery.entries == 0


def test_mostly_dead_segments_are_emptied(
    opened: Opened, put: Put, commit: Any, now: float
) -> None:
    disk = SimDisk()
    queue = opened(disk, CONFIG)
    seqs = fill(queue, put, commit)
    kept = seqs[::10]
    for seq in seqs:
        if seq not in kept:
            queue.settle(seq)
    queue.defer(kept[0], now + 5, 4, b"later")
    queue.defer(kept[1], now + 5, 2, b"early")
    commit(queue)
    queue.defer(kept[1], now + 9, 3, b"newer")
    tidy(queue, commit)
    stats = queue.stats()
    assert stats["disk_bytes"] < 180_000
    assert stats["entries"] == stats["bodies"] == len(kept)
    for _ in range(2):
        assert list(queue.seqs()) == kept
        assert all(queue.read(kept))
        assert queue.read(kept[:2]) == [
            Loaded(b"meta", b"e", bytes(1000), b"later"),
            Loaded(b"meta", b"e", bytes(1000), b"newer"),
        ]
        assert queue.attempts(kept[0]) == 4
        assert queue.due(kept[1]) == now + 9
        queue.close()
        queue = opened(disk, CONFIG)


def test_deferrals_move_without_unmarking(opened: Opened, put: Put, commit: Any) -> None:
    """A segment full of deferrals of live entries elsewhere is emptied by moving the last ones."""
    disk = SimDisk()
    config = QueueConfig(segment_bytes=3000)
    queue = opened(disk, config)
    seq = put(queue, bytes(2990))
    commit(queue)
    for attempt in range(1, 40):
        queue.defer(seq, 0.0, attempt, b"%d" % attempt * 20)
        commit(queue)
    queue.mark(seq)
    first = put(queue, bytes(3000))
    commit(queue)
    queue.settle(first)
    commit(queue)
    tidy(queue, commit)
    assert queue.stats()["inflight"] == 1
    queue.close()
    again = opened(disk, config)
    assert again.attempts(seq) == 39
    loaded = again.read([seq])[0]
    assert loaded is not None
    assert loaded.note == b"39" * 20


def test_work_that_changed_meanwhile_is_left_for_later(
    opened: Opened, put: Put, commit: Any
) -> None:
    disk = SimDisk()
    queue = opened(disk, CONFIG)
    seqs = fill(queue, put, commit, 40)
    for seq in seqs[3:]:
        queue.settle(seq)
    commit(queue)
    while True:
        chore = queue.begin_chore()
        assert chore is not None
        assert queue.begin_chore() is None, "one at a time"
        chore.run()
        if not chore.delete:
            break
        queue.end_chore(chore)
    assert len(chore.candidates) == 3
    queue.settle(seqs[0])
    queue.defer(seqs[1], 0.0, 1)
    queue.end_chore(chore)
    assert commit(queue) is None
    tidy(queue, commit)
    queue.close()
    again = opened(disk, CONFIG)
    assert list(again.seqs()) == seqs[1:3]
    assert again.attempts(seqs[1]) == 1
    assert all(again.read(seqs[1:3]))


def test_settled_while_its_copy_is_written(opened: Opened, put: Put, commit: Any) -> None:
    disk = SimDisk()
    queue = opened(disk, CONFIG)
    seqs = fill(queue, put, commit, 40)
    for seq in seqs[3:]:
        queue.settle(seq)
    commit(queue)
    while not queue.pending:
        assert queue.compact_step()
    batch = queue.begin_commit()
    assert batch is not None
    queue.settle(seqs[0])
    batch.run()
    queue.end_commit(batch)
    tidy(queue, commit)
    queue.close()
    assert list(opened(disk, CONFIG).seqs()) == seqs[1:3]


def test_a_read_follows_a_message_that_moved(opened: Opened, put: Put, commit: Any) -> None:
    disk = SimDisk()
    queue = opened(disk, CONFIG)
    seqs = fill(queue, put, commit, 40)
    stale = queue._index.place(seqs[0])
    for seq in seqs[1:]:
        queue.settle(seq)
    commit(queue)
    tidy(queue, commit)
    assert stale is not None
    reader = queue._state.reader
    loaded = reader._retry(seqs[0], stale, reader._message)
    assert loaded is not None
    assert loaded.body == bytes(1000)
    fresh = queue._index.place(seqs[0])
    assert fresh is not None
    assert fresh.segment != stale.segment
    assert reader._retry(seqs[0], fresh, reader._message) is None


def test_trouble_with_the_disk_stops_only_the_chore(opened: Opened, put: Put, commit: Any) -> None:
    disk = SimDisk()
    queue = opened(disk, CONFIG)
    seqs = fill(queue, put, commit, 60)
    for seq in seqs[2:]:
        queue.settle(seq)
    commit(queue)
    disk.failing["delete"] = errno.EIO
    before = queue.stats()["segments"]
    assert queue.compact_step()
    assert queue.stats()["segments"] == before
    disk.failing = {"sync_directory": errno.EIO}
    assert queue.compact_step()
    assert queue.stats()["segments"] == before, "not durable, so not gone"
    disk.failing.clear()
    assert queue.compact_step()
    assert queue.stats()["segments"] < before
    disk.failing["open"] = errno.EIO
    while queue.compact_step():
        pass
    assert queue.stats()["stuck_segments"] == 1
    disk.failing.clear()
    assert all(queue.read(seqs[:2]))


def test_damage_is_copied_around(opened: Opened, put: Put, commit: Any) -> None:
    disk = SimDisk()
    queue = opened(disk, CONFIG)
    seqs = fill(queue, put, commit, 40)
    queue.close()
    path = min(path for path in disk.names if "segment" in path)
    disk.names[path].view[500] ^= 1
    queue = opened(disk, CONFIG)
    alive = [seq for seq in seqs if queue.exists(seq)]
    assert len(alive) == 39
    for seq in alive[3:]:
        queue.settle(seq)
    commit(queue)
    tidy(queue, commit)
    assert path not in disk.names
    assert list(queue.seqs()) == alive[:3]
    assert all(queue.read(alive[:3]))
    assert queue.recovery.quarantine_files[0] in [name.split("/")[1] for name in disk.names]


def test_a_settlement_moves_before_its_segment_goes(opened: Opened, put: Put, commit: Any) -> None:
    """The first segment stays, as most of it is alive; the second settles one entry of it."""
    disk = SimDisk()
    queue = opened(disk, CONFIG)
    first = fill(queue, put, commit, 20, 3500)
    second = fill(queue, put, commit, 14)
    for seq in (first[3], *second):
        queue.settle(seq)
    fill(queue, put, commit, 8)
    third = [seq for seq in queue.seqs() if seq > second[-1]]
    names = [path for path in disk.names if "segment" in path]
    assert len(names) == 3
    tidy(queue, commit)
    assert names[0] in disk.names
    assert names[1] not in disk.names
    for _ in range(2):
        assert list(queue.seqs()) == sorted({*first, *third} - {first[3]})
        queue.close()
        disk.kill()
        queue = opened(disk, CONFIG)
    for seq in first:
        queue.settle(seq)
    commit(queue)
    tidy(queue, commit)
    assert names[0] not in disk.names


def test_copies_have_their_room_before_they_are_read(opened: Opened, put: Put, commit: Any) -> None:
    """What comes in while a chore reads may not fill up what its copies will take."""
    tight = replace(CONFIG, uncommitted_bytes_max=12_000)
    queue = opened(SimDisk(), tight)
    seqs = fill(queue, put, commit, 40)
    for seq in seqs[3:]:
        queue.settle(seq)
    commit(queue)
    chore = read_ahead(queue)
    with suppress(QueueFull):
        for _ in range(100):
            put(queue, bytes(1000))
    queue.end_chore(chore)
    assert queue.uncommitted_bytes <= tight.uncommitted_bytes_max


def test_a_copy_larger_than_its_room_waits(opened: Opened, put: Put, commit: Any) -> None:
    """The last message that a chore reads may be larger than what was left of its room."""
    tight = replace(CONFIG, segment_bytes=20_000, uncommitted_bytes_max=12_000)
    queue = opened(SimDisk(), tight)
    seqs = []
    for _ in range(8):
        seqs.append(put(queue, bytes(5000)))
        commit(queue)
    for seq in seqs[2:]:
        queue.settle(seq)
    commit(queue)
    chore = read_ahead(queue)
    put(queue, bytes(5000))
    queue.end_chore(chore)
    assert queue.uncommitted_bytes <= tight.uncommitted_bytes_max
    tidy(queue, commit)
    assert all(queue.read(seqs[:2]))


def test_what_was_refused_stays_away_when_its_settlement_moves(
    opened: Opened, put: Put, commit: Any, now: float
) -> None:
    """It lies in a segment that is needed for another message, and could not be cut off."""
    disk = SimDisk()
    queue = opened(disk, CONFIG)
    kept = [put(queue, bytes(9000)), put(queue, bytes(9000))]
    commit(queue)
    queue.reserve(1 << BITS, now)  # so that it shares nothing with them in memory
    refused = put(queue, bytes(1000))
    disk.failing = {"sync": errno.EIO, "truncate": errno.EIO}
    assert commit(queue) is not None
    disk.failing.clear()
    others = fill(queue, put, commit, 40)
    names = [path for path in disk.names if "segment" in path]
    for seq in others:
        queue.settle(seq)
    commit(queue)
    tidy(queue, commit)
    kept.append(put(queue))
    commit(queue)
    tidy(queue, commit)
    assert names[0] in disk.names
    assert names[1] not in disk.names, "where the settlement was"
    queue.close()
    disk.kill()
    again = opened(disk, CONFIG)
    assert not again.exists(refused)
    assert list(again.seqs()) == kept
