"""What a start makes of torn, damaged, strange and newer files."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from penstock_queue import Cut, FormatTooNew, Queue, QueueConfig, QueueLocked, SimDisk, check
from penstock_queue.record import HEAD_BYTES
from penstock_queue.segment import HEADER_BYTES, Header, file_name

Opened = Callable[..., Queue]
Put = Callable[..., int]
FIRST = f"q/{file_name(1)}"
BIG = QueueConfig()


def spoil(disk: SimDisk, path: str, offset: int) -> None:
    disk.names[path].view[offset] ^= 0x55


def filled(
    disk: SimDisk, put: Put, commit: Any, groups: int, config: QueueConfig = BIG
) -> list[int]:
    """A closed queue with one message in each group."""
    queue = Queue.open("q", config, disk=disk, now=1_700_000_000.0)
    seqs = []
    for i in range(groups):
        seqs.append(put(queue, b"body %d" % i))
        commit(queue)
    queue.close()
    return seqs


def test_only_one_process_may_open_it(opened: Opened) -> None:
    disk = SimDisk()
    opened(disk)
    with pytest.raises(QueueLocked, match="queue in q is open") as caught:
        opened(disk)
    assert caught.value.directory == "q"


@pytest.mark.parametrize("left", [1, 8, 20, 33, 60])
def test_a_torn_tail_is_cut_and_reported(opened: Opened, put: Put, commit: Any, left: int) -> None:
    disk = SimDisk()
    queue = opened(disk, BIG)
    seqs = []
    for _ in range(3):
        seqs.append(put(queue))
        commit(queue)
    whole = int(queue.stats()["disk_bytes"])
    put(queue, b"torn")
    commit(queue)
    queue.close()
    inode = disk.names[FIRST]
    del inode.view[whole + left :]
    again = opened(disk, BIG)
    offset = whole if left < 33 else whole + 33  # the group's own record is 33 bytes
    assert again.recovery.torn == (
        [Cut(file_name(1), offset, left - (offset - whole))] if left != 33 else []
    )
    assert again.recovery.quarantined == []
    assert list(again.seqs()) == seqs
    again.close()
    assert opened(disk, BIG).recovery.torn == []


def test_zeros_and_stale_blocks_are_no_records(opened: Opened, put: Put, commit: Any) -> None:
    disk = SimDisk()
    seqs = filled(disk, put, commit, 3)
    inode = disk.names[FIRST]
    stale = bytes(inode.view[HEADER_BYTES:])
    filled(other := SimDisk(5), put, commit, 3)
    foreign = bytes(other.names[FIRST].view[HEADER_BYTES:])
    assert stale != foreign
    inode.view += foreign + bytes(5000)
    again = opened(disk, BIG)
    assert again.recovery.torn[0].bytes == len(foreign) + 5000
    assert list(again.seqs()) == seqs


def test_damage_in_the_middle_loses_one_group_and_says_so(
    opened: Opened, put: Put, commit: Any
) -> None:
    disk = SimDisk()
    seqs = filled(disk, put, commit, 5)
    at = disk.names[FIRST].view.find(b"body 1")
    spoil(disk, FIRST, at)
    assert not check("q", disk).ok
    for _ in range(2):
        queue = opened(disk, BIG)
        (cut,) = queue.recovery.quarantined
        assert cut.file == file_name(1)
        assert cut.offset <= at < cut.offset + cut.bytes
        assert queue.recovery.torn == []
        assert list(queue.seqs()) == [seqs[0], *seqs[2:]]
        assert all(queue.read(list(queue.seqs())))
        (name,) = queue.recovery.quarantine_files
        assert queue.stats()["damaged_segments"] == 1
        queue.close()
    copy = bytes(disk.names[f"q/{name}"].view)
    assert copy == bytes(disk.names[FIRST].view[cut.offset : cut.offset + cut.bytes])


def test_entries_without_their_message_are_counted(opened: Opened, put: Put, commit: Any) -> None:
    """Damage that ends where a group record inside a body seems to begin is no way in either."""
    disk = SimDisk()
    queue = opened(disk, BIG)
    put(queue, b"first")
    commit(queue)
    group = bytes(disk.names[FIRST].view[HEADER_BYTES : HEADER_BYTES + 33])
    put(queue, b"has a forged group: " + group.replace(group[5:9], b"\0\0\0\0"))
    commit(queue)
    kept = put(queue, b"third")
    commit(queue)
    queue.close()
    spoil(disk, FIRST, HEADER_BYTES + 40)
    spoil(disk, FIRST, disk.names[FIRST].view.find(b"has a forged"))
    again = opened(disk, BIG)
    assert list(again.seqs()) == [kept]
    assert again.recovery.orphans == 0
    assert len(again.recovery.quarantined) == 2


def test_a_bad_end_of_a_closed_segment_is_damage(
    opened: Opened, put: Put, commit: Any, small: QueueConfig
) -> None:
    disk = SimDisk()
    queue = opened(disk)
    first = put(queue, bytes(17_000))
    commit(queue)
    second = put(queue, bytes(17_000))
    commit(queue)
    queue.close()
    records_end = len(disk.names[FIRST].view.rstrip(b"\0")) - HEAD_BYTES
    spoil(disk, FIRST, records_end - 2)
    again = opened(disk)
    assert list(again.seqs()) == [second]
    assert not again.exists(first)
    assert [cut.file for cut in again.recovery.quarantined] == [file_name(1)]


@pytest.mark.parametrize("length", [0, 10, HEADER_BYTES])
def test_a_segment_that_was_never_used_is_removed(opened: Opened, length: int) -> None:
    disk = SimDisk()
    disk.create(FIRST).write([bytes(length)], 0)
    queue = opened(disk)
    assert queue.recovery.torn == [Cut(file_name(1), 0, length)]
    assert FIRST not in disk.names


def test_a_segment_without_its_header_is_set_aside_whole(
    opened: Opened, put: Put, commit: Any
) -> None:
    disk = SimDisk()
    filled(disk, put, commit, 2)
    spoil(disk, FIRST, 30)
    size = len(disk.names[FIRST].view)
    queue = opened(disk)
    assert queue.recovery.quarantined == [Cut(file_name(1), 0, size)]
    assert queue.recovery.quarantine_files == [f"quarantine-{file_name(1)}"]
    assert put(queue)
    assert commit(queue) is None
    assert f"q/{file_name(2)}" in disk.names, "its number is not given to another"


def test_a_newer_format_is_refused_untouched(opened: Opened, put: Put, commit: Any) -> None:
    disk = SimDisk()
    filled(disk, put, commit, 2)
    disk.names[FIRST].view += b"torn"
    newer = bytearray(Header(2, 1, 1, bytes(8)).encode())
    newer[8] = 3
    disk.create(f"q/{file_name(2)}").write([bytes(newer)], 0)
    before = bytes(disk.names[FIRST].view)
    with pytest.raises(FormatTooNew, match="has format 3; this version reads up to format 2"):
        opened(disk)
    with pytest.raises(FormatTooNew):
        check("q", disk)
    assert bytes(disk.names[FIRST].view) == before
    assert not disk.locks


def test_files_of_others_are_left_alone(opened: Opened) -> None:
    disk = SimDisk()
    disk.create("q/README").write([b"hello"], 0)
    disk.create("q/quarantine-old.bin")
    queue = opened(disk)
    assert queue.recovery.foreign == ["README"]
    assert queue.recovery.quarantine_files == ["quarantine-old.bin"]
    assert bytes(disk.names["q/README"].view) == b"hello"


def test_a_queue_that_cannot_be_tidied_gives_the_lock_back(put: Put, commit: Any) -> None:
    disk = SimDisk()
    filled(disk, put, commit, 1)
    disk.failing["sync_directory"] = 5
    with pytest.raises(OSError, match="Input/output"):
        Queue.open("q", BIG, disk=disk, now=0.0)
    disk.failing.clear()
    Queue.open("q", BIG, disk=disk, now=0.0).close()


def test_settlements_that_a_copy_implies_are_kept(opened: Opened, put: Put, commit: Any) -> None:
    """The group with a copy is torn between the copy and the settlements it was made after."""
    disk, config = SimDisk(), QueueConfig(segment_bytes=1000)
    queue = opened(disk, config)
    seq = put(queue, bytes(300), (b"a", b"b", b"c"))
    dead = [put(queue, bytes(600)) for _ in range(3)]
    commit(queue)
    put(queue)
    for number in dead:
        queue.settle(number)
    commit(queue)
    queue.settle(seq)
    queue.settle(seq + 2)
    while queue.compact_step():
        pass
    batch = queue.begin_commit()
    assert batch is not None
    assert len(batch.work.copies) == 1
    batch.run()
    path = f"q/{file_name(batch.header.number)}"
    message = batch.work.copies[0].message
    del disk.names[path].view[message.offset + message.size :]
    disk.kill()
    again = Queue.open("q", config, disk=disk, now=0.0)
    assert again.exists(seq + 1)
    assert not again.exists(seq)
    assert not again.exists(seq + 2)
    assert again.pending, "what was concluded is recorded"
    assert commit(again) is None
    assert all(again.read([seq + 1]))
    again.close()
    disk.crash(random.Random(1))
    assert check("q", disk).live_entries == 2


def two_segments(disk: SimDisk, put: Put, commit: Any, small: QueueConfig) -> tuple[str, str]:
    """A closed queue of two segments, both with groups."""
    queue = Queue.open("q", small, disk=disk, now=1_700_000_000.0)
    while len(disk.names) < 2 or len(disk.names[f"q/{file_name(2)}"].view) < 500:
        put(queue, bytes(300))
        commit(queue)
    queue.close()
    return f"q/{file_name(1)}", f"q/{file_name(2)}"


def test_a_check_calls_torn_what_a_start_calls_torn(
    opened: Opened, put: Put, commit: Any, small: QueueConfig
) -> None:
    """The crash came while the next segment was begun: neither file holds anything promised."""
    disk = SimDisk()
    first, second = two_segments(disk, put, commit, small)
    del disk.names[first].view[-5:]
    del disk.names[second].view[20:]
    report = check("q", disk)
    assert report.ok
    assert [cut.file for cut in report.torn] == [file_name(1), file_name(2)]
    queue = opened(disk)
    assert queue.recovery.quarantined == []
    assert len(queue.recovery.torn) == 2


def test_a_bad_end_before_a_used_segment_is_damage_and_kept(
    opened: Opened, put: Put, commit: Any, small: QueueConfig
) -> None:
    """Also where that segment cannot be read: it was begun after all before it was durable."""
    disk = SimDisk()
    first, second = two_segments(disk, put, commit, small)
    spoil(disk, first, len(disk.names[first].view) - 5)
    spoil(disk, second, 10)
    whole = bytes(disk.names[first].view)
    assert not check("q", disk).ok
    queue = opened(disk)
    assert queue.recovery.torn == []
    assert [cut.file for cut in queue.recovery.quarantined] == [file_name(1), file_name(2)]
    assert bytes(disk.names[first].view) == whole
