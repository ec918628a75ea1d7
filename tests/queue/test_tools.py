"""Looking at a queue from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penstock_queue import Queue, QueueLocked, SimDisk, check, dump
from penstock_queue.segment import HEADER_BYTES, file_name

Opened = Callable[..., Queue]
Put = Callable[..., int]


def test_a_sound_queue(opened: Opened, put: Put, commit: Any, now: float) -> None:
    disk = SimDisk()
    queue = opened(disk)
    seq, done = put(queue, b"hello", (b"a", b"b")), put(queue)
    commit(queue)
    queue.defer(seq, now + 9, 1, b"later \xff")
    queue.settle(done)
    commit(queue)
    with pytest.raises(QueueLocked):
        check("q", disk)
    with pytest.raises(QueueLocked):
        list(dump("q", disk))
    queue.close()
    before = {path: bytes(inode.view) for path, inode in disk.names.items()}

    report = check("q", disk)
    assert report.ok
    assert report.records == {
        "groups": 2,
        "bodies": 2,
        "messages": 2,
        "settlements": 2,
        "padding": 2,
    }
    assert (report.live_entries, report.live_bodies, report.segments) == (2, 1, 1)
    assert report.bytes == len(before[f"q/{file_name(1)}"])
    assert 0 < report.live_bytes < report.bytes

    shown = list(dump("q", disk))
    first = ["segment", "group", "body", "entries", "body", "entries", "padding"]
    assert [item["type"] for item in shown] == [*first, "group", "done", "again", "padding"]
    assert shown[2]["seq"] == seq
    assert shown[2]["body_bytes"] == 5
    assert "body" not in shown[2]
    assert [row["key"] for row in shown[3]["entries"]] == ["a", "b"]
    assert shown[8]["seqs"] == [done]
    assert shown[9]["note"] == "later \\xff"
    assert [item["body"] for item in dump("q", disk, bodies=True) if item["type"] == "body"] == [
        "hello",
        "body",
    ]
    assert {path: bytes(inode.view) for path, inode in disk.names.items()} == before


def test_what_is_wrong_is_said(opened: Opened, put: Put, commit: Any) -> None:
    disk = SimDisk()
    queue = opened(disk)
    for _ in range(3):
        put(queue, b"hello")
        commit(queue)
    queue.close()
    first = f"q/{file_name(1)}"
    disk.create("q/stranger")
    disk.create("q/quarantine-x.bin")
    disk.create(f"q/{file_name(2)}").write([b"short"], 0)
    disk.create(f"q/{file_name(3)}").write([bytes(500)], 0)
    disk.names[first].view[disk.names[first].view.find(b"hello")] ^= 1
    report = check("q", disk)
    assert not report.ok
    assert report.foreign == ["stranger"]
    assert report.quarantine_files == ["quarantine-x.bin"]
    assert [cut.file for cut in report.torn] == [file_name(2)]
    assert [cut.file for cut in report.damaged] == [file_name(1), file_name(3)]
    assert report.live_entries == 2
    assert "damage" in [item["type"] for item in dump("q", disk)]


def test_a_torn_tail_is_lawful(opened: Opened, put: Put, commit: Any) -> None:
    disk = SimDisk()
    queue = opened(disk)
    put(queue)
    commit(queue)
    queue.close()
    view = disk.names[f"q/{file_name(1)}"].view
    size = len(view)
    view += b"half a record"
    report = check("q", disk)
    assert report.ok
    assert [(cut.offset, cut.bytes) for cut in report.torn] == [(size, 13)]
    last = list(dump("q", disk))[-1]
    assert last == {"file": file_name(1), "offset": size, "bytes": 13, "type": "torn tail"}
    assert size > HEADER_BYTES
