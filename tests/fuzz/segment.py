"""Segments that were damaged, cut, shifted or overwritten in any way, read back.

Invariants: reading never raises, covers every byte once and gives the same with any window; what a
naive reader finds that resumes at the next group, byte by byte, is found; a queue opens from what
is left with exactly the messages whose records are good and that no good settlement finished, byte
for byte, the same at every start; the quarantine holds what was damaged. Only a version that is too
new is refused, and then nothing is touched. (A record with a good CRC is one that we wrote: its
CRC depends on the segment's secret token, so no message content can forge one.)
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

from penstock_queue import FormatTooNew, NewEntry, Queue, QueueConfig, SimDisk
from penstock_queue import check as checked
from penstock_queue.record import (
    BODY,
    ENTRIES,
    GROUP,
    HEAD_BYTES,
    SETTLE,
    Again,
    read_body,
    read_entries,
    read_settle,
    split,
)
from penstock_queue.scan import Damage, Found, scan
from penstock_queue.segment import HEADER_BYTES, Header, file_number

TOKENS = (
    b"PSQgroup", b"penstkQ\n", bytes(33), b"\xff\xff\xff\xff\x02", b"\x18\0\0\0\x01PSQg",
    b"\0\0\0\0\x04", b"\x01\x00", b"\x02\x40\x00", b"\x00\x40\x20\x10",
)  # fmt: skip
BYTES_MAX = 512
BASES = 6
NOW = 1_700_000_000.0
CONFIG = QueueConfig(
    segment_bytes=16_384, cache_bytes=0, uncommitted_bytes_max=1 << 16, inflight_slots=8
)
Log = dict[str, bytes]
Messages = dict[int, tuple[bytes, bytes, bytes]]


def check(data: bytes) -> None:
    """``data``: which log (1 byte), then what happens to it: see ``_spoiled``."""
    log, content = _written(data[0] % BASES if data else 0)
    log = _spoiled(log, data[1:])
    window = 64 + 40 * (data[0] // BASES if data else 0)
    disk = SimDisk()
    live: set[int] | None = set()
    applied: list[Found] = []
    for name, raw in log.items():
        disk.create(f"q/{name}").write([raw], 0)
    try:
        for name, raw in log.items():
            applied += _check_scan(name, raw, disk, window)
    except FormatTooNew:
        live = None
    if live is not None:
        live = _replayed(applied)
    _check_opening(disk, log, live, content)


def _check_scan(name: str, raw: bytes, disk: SimDisk, window: int) -> list[Found]:
    header = Header.decode(raw[:HEADER_BYTES], name)
    if header is None or header.number != file_number(name):
        return []
    file = disk.open(f"q/{name}")
    items = list(scan(file, header.salt, HEADER_BYTES, len(raw)))
    assert list(scan(file, header.salt, HEADER_BYTES, len(raw), window)) == items
    at = HEADER_BYTES
    for item in items:
        start, end = (item.offset, item.end) if isinstance(item, Damage) else item[1:3]
        assert start == at < end
        at = end
    assert at == max(len(raw), HEADER_BYTES)
    found = [item for item in items if not isinstance(item, Damage)]
    assert found == list(_read_naively(raw, header.salt))
    return found


def _read_naively(raw: bytes, salt: int) -> Iterator[Found]:
    at, lost = HEADER_BYTES, False
    while at < len(raw):
        record = split(raw, at, salt)
        if record is None or (lost and record[0] != GROUP):
            at, lost = at + 1, True
            continue
        end = at + HEAD_BYTES + len(record[1])
        yield record[0], at, end, record[1]
        at, lost = end, False


def _replayed(found: list[Found]) -> set[int]:
    """The entries that are alive after these records, told without an index."""
    live: set[int] = set()
    body = body_end = -1
    for kind, start, end, payload in found:
        if kind == BODY:
            body, body_end = read_body(payload)[0], end
            continue
        if kind == ENTRIES and start == body_end:
            entries = read_entries(payload)
            if entries.body == body:
                live.update(entries.seqs)
        elif kind == SETTLE:
            settled = read_settle(payload)
            if not isinstance(settled, Again):
                live.difference_update(settled)
        body_end = -1
    return live


def _check_opening(disk: SimDisk, log: Log, live: set[int] | None, content: Messages) -> None:
    try:
        report = checked("q", disk)
        queue = Queue.open("q", CONFIG, disk=disk, now=NOW)
    except FormatTooNew:
        assert live is None
        assert {f"q/{name}": raw for name, raw in log.items()} == {
            path: bytes(inode.view) for path, inode in disk.names.items()
        }
        return
    assert live is not None
    seqs = list(queue.seqs())
    assert set(seqs) == live
    assert report.live_entries == len(live)
    assert report.ok == (not queue.recovery.quarantined and not queue.recovery.orphans)
    for seq, loaded in zip(seqs, queue.read(seqs), strict=True):
        assert loaded is not None
        assert loaded[:3] == content[seq]
    for cut in queue.recovery.quarantined:
        copies = [bytes(i.view) for path, i in disk.names.items() if "quarantine" in path]
        assert log[cut.file][cut.offset : cut.offset + cut.bytes] in copies
    queue.close()
    again = Queue.open("q", CONFIG, disk=disk, now=NOW)
    assert list(again.seqs()) == seqs
    assert not again.recovery.torn or queue.recovery.quarantined
    again.close()


def _spoiled(log: Log, plan: bytes) -> Log:
    """Steps of 4 bytes: what to do, where (2 bytes), and an argument."""
    files = {name: bytearray(raw) for name, raw in log.items()}
    names = list(files)
    for i in range(0, len(plan) - 3, 4):
        what, where, size = plan[i] % 8, int.from_bytes(plan[i + 1 : i + 3], "little"), plan[i + 3]
        raw = files[names[plan[i] // 8 % len(names)]]
        at = where % (len(raw) + 1)
        if what == 0 and at < len(raw):
            raw[at] ^= size or 1
        elif what == 1:
            del raw[at:]
        elif what == 2:
            raw[at:at] = plan[i + 4 : i + 4 + size]
        elif what == 3:
            del raw[at : at + size]
        elif what == 4:
            raw[at : at + size] = bytes(len(raw[at : at + size]))
        elif what == 5:  # a stale block
            raw[at : at + size] = raw[at // 2 : at // 2 + size]
        elif what == 6:
            raw += plan[i + 4 : i + 4 + size]
        elif what == 7:  # a block of another file
            other = files[names[size % len(names)]]
            raw[at : at + 4 * size] = other[at : at + 4 * size]
    return {name: bytes(raw) for name, raw in files.items()}


@cache
def _written(seed: int) -> tuple[Log, Messages]:
    """A log as a queue writes it: some groups with messages, deferrals and settlements."""
    rng = random.Random(seed)
    disk = SimDisk(seed)
    queue = Queue.open("q", CONFIG, disk=disk, now=NOW)
    content: Messages = {}
    for _ in range(3 + 2 * seed):
        for _ in range(rng.randrange(1, 4)):
            count = rng.choice((1, 1, 2))
            seq = queue.reserve(count, NOW)
            body = rng.choice((rng.randbytes(200), b"PSQgroup" * 9, b"", bytes(120)))
            rows = [NewEntry(b"k", NOW + 9.0, 0.0, b"e%d" % i) for i in range(count)]
            queue.append(seq, b"m", [body], rows)
            content |= {seq + i: (b"m", b"e%d" % i, body) for i in range(count)}
        for seq in rng.sample(list(queue.seqs()), min(2, len(list(queue.seqs())))):
            if rng.random() < 0.5:
                queue.settle(seq)
            else:
                queue.defer(seq, NOW + 5.0, 1, b"note")
        batch = queue.begin_commit()
        if batch is not None:
            batch.run()
            assert queue.end_commit(batch) is None
    queue.close()
    logs = {path[2:]: bytes(i.view) for path, i in disk.names.items() if "segment-" in path}
    return dict(sorted(logs.items())), content
