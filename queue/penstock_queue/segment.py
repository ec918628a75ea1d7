"""Segments: their names, their header, and what the queue keeps in mind about each.

A segment may be deleted when nothing in it is needed any more. That is more than "no live message":
a settlement must outlive every record of the entry that it finishes, or a restart would bring the
entry back. So each segment knows which other segments it ``settles``, and which older segments may
``also`` hold stale copies of its entries (between a compaction and the deletion of its source).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

import google_crc32c

from penstock_queue.errors import FormatTooNew

MAGIC: Final = b"penstkQ\n"
FORMAT: Final = 2
HEADER: Final = struct.Struct("<8sHHIQQQ8sI")
HEADER_BYTES: Final = 64
_NAME: Final = re.compile(r"^segment-([0-9a-f]{16})\.log$")
# What one live deferral, and one settlement that others need, count for in the share of a segment
# that is alive.
AGAIN_BYTES: Final = 64
DONE_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Header:
    """``next_seq``: no smaller number was unused at creation. ``created``: seconds."""

    number: int
    next_seq: int
    created: int
    token: bytes

    @property
    def salt(self) -> int:
        """The value that every CRC of this segment is XORed with."""
        return int(google_crc32c.value(self.token + self.number.to_bytes(8, "little")))

    def encode(self) -> bytes:
        fields = (MAGIC, FORMAT, HEADER_BYTES, 0, self.number, self.next_seq, self.created)
        head = HEADER.pack(*fields, self.token, 0)[:-4]
        crc: int = google_crc32c.value(head)
        head += crc.to_bytes(4, "little")
        return head.ljust(HEADER_BYTES, b"\0")

    @classmethod
    def decode(cls, data: bytes, path: str) -> Header | None:
        """``None`` for what is not a whole header; raises ``FormatTooNew``."""
        if len(data) < HEADER_BYTES or not data.startswith(MAGIC):
            return None
        _, version, _, _, number, next_seq, created, token, crc = HEADER.unpack_from(data)
        if version > FORMAT:
            raise FormatTooNew(path, version, FORMAT)
        if google_crc32c.value(data[: HEADER.size - 4]) != crc:
            return None
        return cls(number, next_seq, created, token)


def file_name(number: int) -> str:
    return f"segment-{number:016x}.log"


def file_number(name: str) -> int | None:
    found = _NAME.match(name)
    return int(found.group(1), 16) if found else None


class Segment:
    """``size``: bytes up to the last good commit. ``bodies``, ``live_bytes``: live messages.
    ``agains``: entries whose last deferral is recorded here. ``chunks``: chunk numbers of the
    entries recorded here. ``done``: settlements for good recorded here. ``damaged``: holds a
    range that cannot be read. ``stuck``: compaction cannot empty it. ``rest``: the group whose
    commit makes it worth looking at again. ``moved``: the group with which all its settlements
    are recorded elsewhere too."""

    __slots__ = (
        "agains",
        "also",
        "bodies",
        "chunks",
        "damaged",
        "done",
        "header",
        "live_bytes",
        "moved",
        "number",
        "rest",
        "salt",
        "settles",
        "size",
        "stuck",
    )

    def __init__(self, header: Header) -> None:
        self.header = header
        self.number = header.number
        self.salt = header.salt
        self.size = HEADER_BYTES
        self.bodies = 0
        self.live_bytes = 0
        self.agains = 0
        self.done = 0
        self.chunks: set[int] = set()
        self.settles: set[int] = set()
        self.also: set[int] = set()
        self.damaged = False
        self.stuck = False
        self.rest = 0
        self.moved = 0

    @property
    def dead_share(self) -> float:
        used = self.size - HEADER_BYTES
        alive = self.live_bytes + AGAIN_BYTES * self.agains
        if self.done and self.settles_others():
            alive += DONE_BYTES * self.done
        return max(0.0, 1.0 - alive / used) if used > 0 else 1.0

    def settles_others(self) -> set[int]:
        """The other segments that still need the settlements recorded here."""
        return self.settles - {self.number}


class Segments(dict[int, Segment]):
    """All segments of a queue by number; ``active`` is the one that is written."""

    def __init__(self) -> None:
        super().__init__()
        self.active: Segment | None = None
        self.next_number = 1

    def holders(self, number: int) -> set[int]:
        """The segments that may hold a record of an entry that lives in ``number``."""
        segment = self.get(number)
        return {number} | segment.also if segment is not None else set()

    def note_copy(self, source: int, target: int) -> None:
        """Entries of ``source`` were recorded again in ``target``."""
        if source != target:
            self[target].also |= self.holders(source)

    def deletable(self, committed_group: int) -> list[int]:
        """Segments that nothing needs. Deleting them may make others deletable, but only once
        the deletion is durable: ask again then. The newest stays: it knows the next numbers."""
        newest = max(self, default=0)
        return [
            number
            for number, segment in self.items()
            if number != newest
            and segment is not self.active
            and not segment.bodies
            and not segment.agains
            and (
                not segment.settles_others()
                or 0 < segment.moved <= committed_group
            )
        ]  # fmt: skip

    def forget(self, numbers: list[int]) -> None:
        """After the deletion of ``numbers`` is durable."""
        gone = set(numbers)
        for number in numbers:
            self.pop(number, None)
        for segment in self.values():
            segment.settles -= gone
            segment.also -= gone
