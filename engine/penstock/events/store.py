"""The files behind a journal: the segment that is written, those before it, and their end.

Every opening begins a new segment, so a number never means two contents: a reader that was further
than what a power loss left goes on in the next one. What is slow (syncing, packing, deleting) is
done by :meth:`Store.keep`, beside the path of the mail.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from penstock.events import segments
from penstock.events.segments import packed_name, plain_name
from penstock_queue import QueueLocked
from penstock_queue.disk import Disk, File, Lock

_TAIL_BYTES = 64 << 10
_PACK_AGAIN_S = 60.0  # after the disk had no room for it


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """``segment_bytes`` and ``segment_age_s``: a segment that is larger, or began longer ago, is
    ended. Segments go when all in them is older than ``retention_s``, and the oldest when all of
    them take more than ``retention_bytes``. ``sync_s``: how often what was written is synced."""

    segment_bytes: int = 64 << 20
    segment_age_s: float = 86_400.0
    retention_s: float = 30 * 86_400.0
    retention_bytes: int = 4 << 30
    sync_s: float = 1.0


@dataclass(slots=True)
class _Segment:
    """``stored``: bytes of the file. ``first`` and ``last``: when its events were, 0: not known."""

    packed: bool
    stored: int
    first: float = 0.0
    last: float = 0.0


@dataclass(slots=True)
class Found:
    """What an opening came upon. ``torn``: bytes of a line that was cut off, being unfinished."""

    segments: int = 0
    torn: int = 0


@dataclass(slots=True)
class Kept:
    """What :meth:`Store.keep` did, and which errors it met."""

    removed: list[int] = field(default_factory=list)
    errors: list[OSError] = field(default_factory=list)


class Store:
    """One log directory. :meth:`append` and :meth:`roll` are called by one thread at a time;
    :meth:`sync` and :meth:`keep` by any."""

    def __init__(self, directory: str, config: StoreConfig, disk: Disk) -> None:
        self._directory, self._config, self._disk = directory, config, disk
        self._lock: Lock | None = None
        self._file: File | None = None
        self._number = self._end = self._synced = 0
        self._began = 0.0
        self._retired: list[File] = []
        self._syncing, self._keeping = threading.Lock(), threading.Lock()
        self._sealed: dict[int, _Segment] = {}
        self._pack_after = self._sync_after = 0.0
        self.closing = False

    @property
    def is_open(self) -> bool:
        return self._file is not None

    def open(self) -> Found:
        """Take the directory and begin a segment; raises ``OSError``, also where another has it."""
        disk, directory = self._disk, self._directory
        disk.make_directory(directory)
        if self._lock is None:
            try:
                self._lock = disk.lock(os.path.join(directory, "lock"))
            except QueueLocked:
                raise BlockingIOError(errno.EAGAIN, "another process writes this log") from None
        found, names = Found(), disk.list(directory)
        known = segments.listed(names)
        last = max(known, default=0)
        for number, packed in known.items():
            plain = plain_name(number)
            if packed and plain in names:  # a crash came before it was deleted
                disk.delete(os.path.join(directory, plain))
            size = self._size(packed_name(number) if packed else plain)
            if not packed and number == last:
                torn = self._cut(number, size)
                found.torn, size = torn, size - torn
            self._sealed[number] = _Segment(packed, size)
        found.segments = len(self._sealed)
        self._begin(last + 1)
        return found

    def _cut(self, number: int, size: int) -> int:
        """Take the unfinished line off the end of what a crash left; its bytes."""
        file = self._disk.open(os.path.join(self._directory, plain_name(number)), write=True)
        try:
            end = size
            while end > 0:
                begin = max(0, end - _TAIL_BYTES)
                newline = file.read(begin, end - begin).rfind(b"\n")
                if newline >= 0:
                    end = begin + newline + 1
                    break
                end = begin
            if end < size:
                file.truncate(end)
                file.sync()
            return size - end
        finally:
            file.close()

    def _begin(self, number: int) -> None:
        file = self._disk.create(os.path.join(self._directory, plain_name(number)))
        self._disk.sync_directory(self._directory)
        self._file, self._number, self._end, self._synced = file, number, 0, 0
        self._began = 0.0

    # the path of an event

    def append(self, buffers: list[bytes], now: float) -> int:
        """Write whole lines; the number of bytes. Raises ``OSError``, and none of it counts."""
        assert self._file is not None
        self._file.write(buffers, self._end)
        size = sum(map(len, buffers))
        if not self._end:
            self._began = now
        self._end += size
        return size

    def is_due(self, now: float) -> bool:
        """Whether the segment is to be ended."""
        config = self._config
        return self._end >= config.segment_bytes or (
            self._end > 0 and now - self._began >= config.segment_age_s
        )

    def roll(self, now: float) -> None:
        """End the segment and begin the next one. While a directory has the next one, nobody writes
        to those before it: readers rely on that."""
        old, number, end, began = self._file, self._number, self._end, self._began
        self._begin(number + 1)
        if old is not None:
            self._retired.append(old)
        self._sealed[number] = _Segment(False, end, began, now)

    def sync(self) -> None:
        """All that was appended before is durable when this returns; raises ``OSError``."""
        with self._syncing:
            active, number, end = self._file, self._number, self._end
            retired = self._retired[:]
            try:
                for file in retired:
                    file.sync()
                if active is not None and end != self._synced:
                    active.sync()
                    if number == self._number:
                        self._synced = end
            finally:
                for file in retired:  # a failed sync is not to be trusted the second time
                    self._retired.remove(file)
                    file.close()

    # beside it

    def keep(self, now: float) -> Kept:
        """Sync what is due, delete what is too old, pack what is not packed. Blocking."""
        kept = Kept()
        with self._keeping:
            if now >= self._sync_after:
                self._sync_after = now + self._config.sync_s
                _attempt(self.sync, kept)
            _attempt(lambda: self._remove(now, kept), kept)
            if now >= self._pack_after and not _attempt(lambda: self._pack(now), kept):
                self._pack_after = now + _PACK_AGAIN_S
        return kept

    def _remove(self, now: float, kept: Kept) -> None:
        config = self._config
        total = self._end + sum(one.stored for one in [*self._sealed.values()])
        for number, one in [*self._sealed.items()]:
            old = 0 < one.last < now - config.retention_s
            if not old and total <= config.retention_bytes:
                break  # those behind it are younger
            name = packed_name(number) if one.packed else plain_name(number)
            self._disk.delete(os.path.join(self._directory, name))
            del self._sealed[number]
            total -= one.stored
            kept.removed.append(number)

    def _pack(self, now: float) -> None:
        for number, one in [*self._sealed.items()]:
            if self.closing:
                return
            if one.packed and not one.last:  # of an earlier run
                self._look_into(number, one, now)
            elif not one.packed:
                index = segments.pack(self._disk, self._directory, number, lambda: not self.closing)
                if index is None:
                    return
                one.packed, one.last = True, index.last
                one.first = index.frames[0].at if index.frames else index.last
                one.stored = self._size(packed_name(number))
                one.last = one.last or now  # it holds nothing: as if that were of now

    def _look_into(self, number: int, one: _Segment, now: float) -> None:
        file = self._disk.open(os.path.join(self._directory, packed_name(number)))
        try:
            index = segments.read_index(file)
        finally:
            file.close()
        one.first = index.frames[0].at if index.frames else index.last
        one.last = index.last or now

    def _size(self, name: str) -> int:
        file = self._disk.open(os.path.join(self._directory, name))
        try:
            return file.size()
        finally:
            file.close()

    def stats(self, now: float) -> dict[str, float]:
        sealed = [*self._sealed.values()]
        first = next((one.first for one in sealed if one.first), self._began)
        return {
            "segments": len(sealed) + self.is_open,
            "log_bytes": self._end + sum(one.stored for one in sealed),
            "oldest_age_s": max(0.0, now - first) if first else 0.0,
        }

    def close(self) -> None:
        """The files; what was appended is synced first. Raises ``OSError`` of that sync."""
        self.closing = True
        try:
            if self._file is not None:
                self.sync()
        finally:
            with self._keeping, self._syncing:
                if self._file is not None:
                    self._file.close()
                    self._file = None
                if self._lock is not None:
                    self._lock.close()
                    self._lock = None


def _attempt(do: Callable[[], None], kept: Kept) -> bool:
    try:
        do()
    except OSError as error:
        kept.errors.append(error)
        return False
    return True
