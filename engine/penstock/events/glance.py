"""Looks into the segments of an event log, packed or not, and remembers a little of each.

Of a plain segment it learns where what is as far as it has looked, a quarter of a megabyte at a
time; of a packed one it reads the index. Files may be packed and deleted at any moment.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from penstock.events.segments import (
    FRAME_BYTES,
    Frame,
    Index,
    blocks,
    described,
    packed_name,
    plain_name,
    read_frame,
    read_index,
)
from penstock_queue.disk import Disk, File

_KNOWN_MAX = 64  # segments of which is remembered where in them everything is
_HEADS_MAX = 1 << 16  # and those of which only, with what they begin
_FILES_MAX = 4
_R = TypeVar("_R")


class Glances:
    """One reader's. What is not there (any more) is empty; other ``OSError`` is raised."""

    def __init__(self, directory: str, disk: Disk) -> None:
        self._directory, self._disk = directory, disk
        self._files: OrderedDict[str, File] = OrderedDict()
        self._indexes: OrderedDict[int, Index] = OrderedDict()
        self._scanned: OrderedDict[int, tuple[int, list[Frame]]] = OrderedDict()
        self._heads: dict[int, tuple[float, int]] = {}
        self._last: tuple[int, int, bytes] = (-1, -1, b"")

    def close(self) -> None:
        while self._files:
            self._files.popitem()[1].close()

    def forget(self, segment: int) -> None:
        """Nobody reads on there: its files are closed."""
        for name in (plain_name(segment), packed_name(segment)):
            file = self._files.pop(name, None)
            if file is not None:
                file.close()

    def _open(self, name: str) -> File | None:
        file = self._files.get(name)
        if file is None:
            try:
                file = self._disk.open(os.path.join(self._directory, name))
            except FileNotFoundError:
                return None
            self._files[name] = file
            while len(self._files) > _FILES_MAX:
                self._files.popitem(last=False)[1].close()
        return file

    def _look(
        self, segment: int, plain: Callable[[File], _R], packed: Callable[[File], _R]
    ) -> _R | None:
        """By the plain file where there is one, else by the packed one. A plain file that is open
        and was deleted meanwhile still has all its lines."""
        for name, look in ((plain_name(segment), plain), (packed_name(segment), packed)):
            file = self._open(name)
            if file is not None:
                return look(file)
        return None

    def exists(self, segment: int) -> bool:
        return self._look(segment, lambda file: True, lambda file: True) is not None

    def lines(self, segment: int, offset: int, bytes_max: int) -> tuple[bytes, bool]:
        """Whole lines from ``offset`` on, and whether the segment is there at all."""
        found = self._look(
            segment,
            lambda file: _whole(file, offset, bytes_max),
            lambda file: self._unpacked(file, segment, offset, bytes_max),
        )
        return found or b"", found is not None

    def _unpacked(self, file: File, segment: int, offset: int, bytes_max: int) -> bytes:
        index = self._index(file, segment)
        if offset >= index.size:
            return b""
        number = bisect_right([frame.offset for frame in index.frames], offset) - 1
        data = self._frame(file, index, segment, number)[offset - index.frames[number].offset :]
        if len(data) > bytes_max:
            end = data.rfind(b"\n", 0, bytes_max) + 1 or data.find(b"\n", bytes_max) + 1
        else:
            end = data.rfind(b"\n") + 1  # at the very end may be a line that a crash has torn
        return data[:end]

    def _index(self, file: File, segment: int) -> Index:
        index = self._indexes.get(segment)
        if index is None:
            index = self._indexes[segment] = read_index(file)
            self._scanned.pop(segment, None)
            if len(self._indexes) > _KNOWN_MAX:
                self._indexes.popitem(last=False)
        return index

    def _frame(self, file: File, index: Index, segment: int, number: int) -> bytes:
        if self._last[:2] != (segment, number):
            self._last = segment, number, read_frame(file, index, number)
        return self._last[2]

    def size(self, segment: int) -> int:
        """Bytes of its whole lines."""
        return self._look(segment, _size, lambda file: self._index(file, segment).size) or 0

    def head(self, segment: int) -> tuple[float, int] | None:
        """When its first event was, and the ref of the first message that it says was accepted, -1
        where there is none; ``None`` for a segment with nothing in it."""
        head = self._heads.get(segment)
        if head is not None:
            return head
        frames = self.frames(segment)
        if not frames:
            return None
        head = frames[0].at, next((frame.ref for frame in frames if frame.ref >= 0), -1)
        if segment in self._indexes:  # it gets no more lines
            if len(self._heads) >= _HEADS_MAX:
                self._heads.clear()
            self._heads[segment] = head
        return head

    def frames(self, segment: int) -> list[Frame]:
        """Where what is, the last piece of a plain segment included."""
        index = self._indexes.get(segment)
        if index is not None:
            return index.frames
        found = self._look(
            segment,
            lambda file: self._scan(file, segment),
            lambda file: self._index(file, segment).frames,
        )
        return found or []

    def _scan(self, file: File, segment: int) -> list[Frame]:
        upto, frames = self._scanned.get(segment, (0, []))
        for offset, block in blocks(file, upto, whole=False):
            frames.append(described(block, offset, offset, frames[-1].at if frames else 0.0))
            upto = offset + len(block)
        self._scanned[segment] = upto, frames
        if len(self._scanned) > _KNOWN_MAX:
            self._scanned.popitem(last=False)
        rest = _whole(file, upto, FRAME_BYTES)
        if not rest:
            return frames
        return [*frames, described(rest, upto, upto, frames[-1].at if frames else 0.0)]

    def block(self, segment: int, offset: int) -> bytes:
        """The lines of the frame that begins at ``offset``."""
        offsets = [frame.offset for frame in self.frames(segment)]
        following = bisect_right(offsets, offset)
        end = offsets[following] if following < len(offsets) else self.size(segment)
        return self.lines(segment, offset, max(1, end - offset))[0]


def _whole(file: File, offset: int, bytes_max: int) -> bytes:
    """Whole lines; one at least, however long, where there is one."""
    wanted = bytes_max
    while True:
        data = file.read(offset, wanted)
        end = data.rfind(b"\n") + 1
        if end or len(data) < wanted:
            return data[:end]
        wanted *= 2


def _size(file: File) -> int:
    """Up to the last line that is whole."""
    end = file.size()
    while end > 0:
        begin = max(0, end - FRAME_BYTES)
        newline = file.read(begin, end - begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0
