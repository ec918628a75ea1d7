"""Messages back from disk, for any thread.

Places are looked up in the index while its owner goes on changing it, so a place may be out of
date by the time it is read: compaction moved the message and deleted the segment. Then the place
is looked up again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from penstock_queue.config import Loaded
from penstock_queue.files import Files
from penstock_queue.index import Index, Place
from penstock_queue.record import (
    BODY,
    BODY_PREFIX,
    ENTRIES,
    HEAD_BYTES,
    SETTLE,
    Again,
    Entries,
    read_body,
    read_entries,
    read_settle,
    split,
)
from penstock_queue.segment import Segments

# A deferral's record is read with one call if it is no longer than this.
AGAIN_READ_BYTES = 1024
# What comes before a body (an envelope) is read with one call if it is no longer than this.
HEAD_READ_BYTES = 1024
TRIES = 3


class Parsed(NamedTuple):
    seq: int
    meta: bytes
    body: bytes
    entries: Entries


class Reader:
    def __init__(
        self, index: Index, segments: Segments, files: Files, path: Callable[[int], str]
    ) -> None:
        self._index = index
        self._segments = segments
        self._files = files
        self._path = path

    def read(self, seqs: Sequence[int], bodies: bool = True) -> list[Loaded | None]:
        """See ``Queue.read`` and ``Queue.read_heads``."""
        message = self._message if bodies else self._head
        places = [(self._index.place(seq), position) for position, seq in enumerate(seqs)]
        wanted = [(place, position) for place, position in places if place and place.segment]
        wanted.sort(key=lambda item: item[0][1:3])
        out: list[Loaded | None] = [None] * len(seqs)
        last: tuple[Place, Parsed | None] | None = None
        for place, position in wanted:
            if last is None or last[0][:3] != place[:3]:
                last = place, message(place)
            parsed = last[1]
            seq = seqs[position]
            loaded = self._entry(seq, place, parsed) if parsed else self._retry(seq, place, message)
            out[position] = loaded
        return out

    def _retry(
        self, seq: int, stale: Place, message: Callable[[Place], Parsed | None]
    ) -> Loaded | None:
        """The message is not where it was; perhaps it is elsewhere by now."""
        for _ in range(TRIES):
            place = self._index.place(seq)
            if place is None or place[:3] == stale[:3]:
                return None
            parsed = message(place)
            if parsed is not None:
                return self._entry(seq, place, parsed)
            stale = place
        return None

    def _message(self, place: Place) -> Parsed | None:
        segment = self._segments.get(place.segment)
        if segment is None:
            return None
        try:
            data = self._files.read(self._path(place.segment), place.offset, place.size)
        except FileNotFoundError:
            return None
        first = split(data, 0, segment.salt)
        if first is None or first[0] != BODY:
            return None
        second = split(data, HEAD_BYTES + len(first[1]), segment.salt)
        if second is None or second[0] != ENTRIES:
            return None
        seq, meta, start = read_body(first[1])
        if seq != place.body:
            return None
        return Parsed(seq, meta, first[1][start:], read_entries(second[1]))

    def _head(self, place: Place) -> Parsed | None:
        """As ``_message`` with an empty body: what is before and behind it is read and no more. The
        head cannot be checked by its CRC, which goes over the body too; its number can."""
        segment = self._segments.get(place.segment)
        if segment is None:
            return None
        path = self._path(place.segment)
        try:
            data = self._files.read(path, place.offset, min(place.size, HEAD_READ_BYTES))
            if len(data) < HEAD_BYTES + BODY_PREFIX.size or data[4] != BODY:
                return None
            length = int.from_bytes(data[:4], "little")
            (head,) = BODY_PREFIX.unpack_from(data, HEAD_BYTES)
            start = HEAD_BYTES + BODY_PREFIX.size + head
            if start > place.size:
                return None
            if start > len(data):
                data = self._files.read(path, place.offset, start)
            behind = HEAD_BYTES + length
            rest = (
                data[behind:]
                if len(data) == place.size
                else self._files.read(path, place.offset + behind, place.size - behind)
            )
        except FileNotFoundError:
            return None
        second = split(rest, 0, segment.salt)
        if second is None or second[0] != ENTRIES:
            return None
        seq, meta, _ = read_body(data[HEAD_BYTES:start])
        if seq != place.body:
            return None
        return Parsed(seq, meta, b"", read_entries(second[1]))

    def _entry(self, seq: int, place: Place, parsed: Parsed) -> Loaded | None:
        try:
            row = parsed.entries.rows[parsed.entries.seqs.index(seq)]
        except ValueError:
            return None
        note = row[5] if len(row) > 5 else b""
        if place.note[0]:
            again = self.again(*place.note)
            if again is not None and again.seq == seq:
                note = again.note
        return Loaded(parsed.meta, row[3], parsed.body, note)

    def again(self, number: int, offset: int) -> Again | None:
        """The deferral recorded there; ``None`` if it is not readable (any more)."""
        segment = self._segments.get(number)
        if segment is None:
            return None
        try:
            data = self._files.read(self._path(number), offset, AGAIN_READ_BYTES)
            if len(data) >= HEAD_BYTES:
                size = HEAD_BYTES + int.from_bytes(data[:4], "little")
                if AGAIN_READ_BYTES < size <= segment.size - offset:
                    data = self._files.read(self._path(number), offset, size)
        except FileNotFoundError:
            return None
        found = split(data, 0, segment.salt)
        if found is None or found[0] != SETTLE:
            return None
        settlement = read_settle(found[1])
        return settlement if isinstance(settlement, Again) else None
