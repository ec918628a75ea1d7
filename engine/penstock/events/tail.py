"""All event logs of a spool as one stream that can be left and taken up again.

A *cursor* is how far each log was read, as text: ``00.12.88123-01.9.0-collector.3.512`` is log,
segment and offset, for every log. It says nothing of what is read, so that it holds for any filter,
and it is good until retention deletes what it points at; then the stream goes on with the oldest
that is left. Blocking, for threads.
"""

from __future__ import annotations

import heapq
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from penstock.events.reading import LogReader, Position, log_directories
from penstock.events.segments import time_of

CURSOR_CHARS_MAX = 4000
LOGS_MAX = 128  # of one cursor
_PIECE_BYTES = 64 << 10
_PART = re.compile(r"([a-z0-9]{1,20})\.(\d{1,12})\.(\d{1,15})")


class BadCursor(ValueError):
    """No cursor of ours."""


class Found(NamedTuple):
    """``cursor`` is behind the event."""

    line: bytes
    cursor: str


class Taken(NamedTuple):
    """``end``: there is nothing more now; ``lost``: segments that retention had deleted before."""

    found: list[Found]
    cursor: str
    end: bool
    lost: int


class _Log:
    """One log: its reader, and lines of it that were read ahead, each with where it ends."""

    def __init__(self, reader: LogReader, position: Position) -> None:
        self.reader, self.position = reader, position
        self.ahead: deque[tuple[bytes, Position]] = deque()
        self._read_to = position

    def fill(self) -> bool:
        """Whether there is a line."""
        if self.ahead:
            return True
        begin = self._read_to
        lines, end = self.reader.read(begin, _PIECE_BYTES)
        self._read_to = end
        if not lines:
            self.position = end
            return False
        offset = begin.offset if begin.segment == end.segment else 0
        if offset + sum(map(len, lines)) + len(lines) != end.offset:
            # lines between them are damaged: none but the last is known to end anywhere
            ends = [begin] * (len(lines) - 1) + [end]
        else:
            ends = []
            for line in lines:
                offset += len(line) + 1
                ends.append(Position(end.segment, offset))
        self.ahead.extend(zip(lines, ends, strict=True))
        return True


class Tail:
    """``places``: from there on, where a log is named in it, else from its beginning; without them
    from ``since`` (seconds since the epoch) on, 0: the beginning, ``None``: the end. One thread at
    a time; :meth:`close` may come from another."""

    def __init__(
        self, spool: str, places: Mapping[str, Position] | None, since: float | None = 0.0
    ) -> None:
        self._spool, self._logs = spool, dict[str, _Log]()
        self._lock, self._closed = threading.Lock(), False
        for name, directory in log_directories(spool).items():
            reader = LogReader(directory)
            if places is not None:
                position = places.get(name) or reader.start()
            elif since is None:
                position = reader.end()
            else:
                position = reader.at(since) if since else reader.start()
            self._logs[name] = _Log(reader, position)

    def take(
        self, wanted: Callable[[bytes], bool], events_max: int, found_bytes_max: int, read_max: int
    ) -> Taken:
        """What there is of what is ``wanted``, in the order of time: at most ``events_max`` of
        about ``found_bytes_max`` in all, and no more than ``read_max`` bytes looked through."""
        with self._lock:
            if self._closed:
                return Taken([], "", True, 0)
            return self._take(wanted, events_max, found_bytes_max, read_max)

    def _take(
        self, wanted: Callable[[bytes], bool], events_max: int, found_bytes_max: int, read_max: int
    ) -> Taken:
        lost = self._lost()
        heap = [(time_of(log.ahead[0][0]), name) for name, log in self._logs.items() if log.fill()]
        heapq.heapify(heap)
        found: list[Found] = []
        while heap and events_max and found_bytes_max > 0 and read_max > 0:
            log = self._logs[heap[0][1]]
            line, log.position = log.ahead.popleft()
            read_max -= len(line)
            if wanted(line):
                found.append(Found(line, self.cursor()))
                events_max -= 1
                found_bytes_max -= len(line)
            if log.fill():
                heapq.heapreplace(heap, (time_of(log.ahead[0][0]), heap[0][1]))
            else:
                heapq.heappop(heap)
        return Taken(found, self.cursor(), not heap, self._lost() - lost)

    def look(self) -> None:
        """Logs that were not there before are read too, from their beginning."""
        with self._lock:
            for name, directory in log_directories(self._spool).items():
                if name not in self._logs and not self._closed:
                    reader = LogReader(directory)
                    self._logs[name] = _Log(reader, reader.start())

    def cursor(self) -> str:
        return "-".join(
            f"{name}.{log.position.segment}.{log.position.offset}"
            for name, log in self._logs.items()
        )

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for log in self._logs.values():
                log.reader.close()
            self._logs.clear()

    def _lost(self) -> int:
        return sum(log.reader.lost for log in self._logs.values())


def places_of(cursor: str) -> dict[str, Position]:
    """Raises :class:`BadCursor`."""
    parts = cursor.split("-")
    if len(cursor) > CURSOR_CHARS_MAX or len(parts) > LOGS_MAX:
        raise BadCursor("no cursor of ours: it is too long")
    found: dict[str, Position] = {}
    for part in parts:
        read = _PART.fullmatch(part)
        if read is None:
            raise BadCursor("no cursor of ours; give one as it was answered")
        found[read[1]] = Position(int(read[2]), int(read[3]))
    return found
