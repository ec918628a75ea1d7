"""Looking at a queue that no process has open: ``check`` verifies it, ``dump`` prints it.
Neither changes anything in it; both hold its lock meanwhile and raise ``QueueLocked`` where they
cannot have it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from penstock_queue.config import QueueConfig
from penstock_queue.disk import Disk
from penstock_queue.record import (
    BODY,
    ENTRIES,
    GROUP,
    GROUP_PAYLOAD,
    PAD,
    SETTLE,
    Again,
    Row,
    read_body,
    read_entries,
    read_settle,
)
from penstock_queue.recovery import INFLIGHT_NAME, LOCK_NAME, QUARANTINE_PREFIX, Cut, last_used
from penstock_queue.replay import Replay
from penstock_queue.scan import Damage, Found, scan
from penstock_queue.segment import HEADER_BYTES, Header, Segment, file_name, file_number
from penstock_queue.state import State

_KINDS: Final = {
    GROUP: "groups",
    BODY: "bodies",
    ENTRIES: "messages",
    SETTLE: "settlements",
    PAD: "padding",
}


@dataclass(slots=True)
class Report:
    """``records``: by type. ``live_*``: what a start would find. ``torn``: a tail that the next
    start will cut, a lawful state. ``damaged``: what it will set aside. ``ok``: nothing is
    damaged."""

    segments: int = 0
    bytes: int = 0
    records: dict[str, int] = field(default_factory=dict)
    live_entries: int = 0
    live_bodies: int = 0
    live_bytes: int = 0
    orphans: int = 0
    torn: list[Cut] = field(default_factory=list)
    damaged: list[Cut] = field(default_factory=list)
    quarantine_files: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.damaged and not self.orphans


def check(directory: str, disk: Disk) -> Report:
    """Read everything, check every CRC, replay it. Raises ``QueueLocked``, ``FormatTooNew``,
    ``OSError``."""
    names = disk.list(directory)
    lock = disk.lock(f"{directory}/{LOCK_NAME}")
    try:
        return _check(State(directory, QueueConfig(), disk, lock, 0.0), names)
    finally:
        lock.close()


def _check(state: State, names: list[str]) -> Report:
    report = Report()
    replay = Replay(state)
    counts: Counter[str] = Counter()
    numbers = sorted(number for name in names if (number := file_number(name)) is not None)
    for name in names:
        if name.startswith(QUARANTINE_PREFIX):
            report.quarantine_files.append(name)
        elif file_number(name) is None and name not in (LOCK_NAME, INFLIGHT_NAME):
            report.foreign.append(name)
    last = last_used(state, numbers)
    for number in numbers:
        name = file_name(number)
        size, header, found = _read(state.disk, state.path(number))
        report.segments += 1
        report.bytes += size
        if header is None or header.number != number:
            where = report.torn if size <= HEADER_BYTES else report.damaged
            where.append(Cut(name, 0, size))
            continue
        segment = state.segments[number] = Segment(header)
        replay.start(segment)
        for item in found:
            if isinstance(item, Damage):
                lawful = item.tail and number == last
                if lawful and item.blank:
                    continue
                where = report.torn if lawful else report.damaged
                where.append(Cut(name, item.offset, item.end - item.offset))
            else:
                counts[_KINDS[item[0]]] += 1
                replay.record(item)
    report.records = dict(counts)
    report.live_entries, report.live_bodies = state.index.live, state.index.bodies
    report.live_bytes = sum(segment.live_bytes for segment in state.segments.values())
    report.orphans = replay.orphans
    return report


def _read(disk: Disk, path: str) -> tuple[int, Header | None, Iterator[Found | Damage]]:
    file = disk.open(path)
    size = file.size()
    header = Header.decode(file.read(0, HEADER_BYTES), path)
    if header is None:
        file.close()
        return size, None, iter(())
    salt = header.salt

    def items() -> Iterator[Found | Damage]:
        try:
            yield from scan(file, salt, HEADER_BYTES, size)
        finally:
            file.close()

    return size, header, items()


def dump(directory: str, disk: Disk, *, bodies: bool = False) -> Iterator[dict[str, Any]]:
    """Every record as a dict of numbers, strings and lists, in the order of the log; message bodies
    only where asked for. Raises as ``check``."""
    names = disk.list(directory)
    lock = disk.lock(f"{directory}/{LOCK_NAME}")
    try:
        for name in names:
            number = file_number(name)
            if number is None:
                continue
            size, header, found = _read(disk, f"{directory}/{name}")
            head: dict[str, Any] = {"file": name, "offset": 0, "type": "segment", "bytes": size}
            if header is not None:
                head |= {"number": header.number, "created": header.created}
            yield head
            for item in found:
                start, end = (item[0], item[1]) if isinstance(item, Damage) else item[1:3]
                place = {"file": name, "offset": start, "bytes": end - start}
                yield place | (_damage(item) if isinstance(item, Damage) else _shown(item, bodies))
    finally:
        lock.close()


def _damage(item: Damage) -> dict[str, Any]:
    if item.blank:
        return {"type": "room"}
    return {"type": "torn tail" if item.tail else "damage"}


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _shown(item: Found, bodies: bool) -> dict[str, Any]:
    kind, _, _, payload = item
    if kind == GROUP:
        _, group, next_seq = GROUP_PAYLOAD.unpack(payload)
        return {"type": "group", "group": group, "next_seq": next_seq}
    if kind == BODY:
        seq, meta, start = read_body(payload)
        shown: dict[str, Any] = {"type": "body", "seq": seq, "meta": _text(meta)}
        shown["body_bytes"] = len(payload) - start
        if bodies:
            shown["body"] = _text(payload[start:])
        return shown
    if kind == ENTRIES:
        entries = read_entries(payload)
        rows = [
            {
                "seq": seq,
                "key": _text(row.key),
                "due": row.due,
                "expires": row.expires,
                "meta": _text(row.meta),
                "attempts": row.attempts,
                "note": _text(row.note),
            }
            for seq, row in zip(entries.seqs, (Row(*row) for row in entries.rows), strict=True)
        ]
        created = entries.created
        return {"type": "entries", "body": entries.body, "created": created, "entries": rows}
    if kind == PAD:
        return {"type": "padding"}
    settlement = read_settle(payload)
    if isinstance(settlement, Again):
        again = settlement._asdict() | {"note": _text(settlement.note)}
        return {"type": "again", **again}
    return {"type": "done", "seqs": list(settlement)}
