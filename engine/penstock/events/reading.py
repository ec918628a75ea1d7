"""Reading an event log while it is written, rotated, packed and deleted.

A position is a segment and an offset among its plain lines. Segments come one after the other, and
once there is a next one a segment gets no more lines; so a reader that is at the end of one goes on
in the next, and it is all the same whether a file was packed meanwhile. Blocking, for threads; one
reader is used by one thread.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from typing import NamedTuple

import msgspec

from penstock.events import records
from penstock.events.glance import Glances
from penstock.events.segments import (
    accepted_lines,
    line_at,
    listed,
    ref_of,
    time_of,
)
from penstock.mail.envelope import id_number
from penstock_queue.disk import Disk, RealDisk

EVENTS = "events"  # the directory of all logs in the spool
BYTES_MAX = 1 << 20
_LOOK_AROUND = 64  # times that nothing was found, until somebody may have deleted a file by hand

_accepted = msgspec.json.Decoder(records.Accepted).decode


class Position(NamedTuple):
    """``offset``: in bytes of plain lines, always where a line begins."""

    segment: int
    offset: int


def log_directories(spool: str) -> dict[str, str]:
    """Every log there is, by name."""
    root = os.path.join(spool, EVENTS)
    try:
        names = sorted(os.listdir(root))
    except FileNotFoundError:
        return {}
    paths = {name: os.path.join(root, name) for name in names}
    return {name: path for name, path in paths.items() if os.path.isdir(path)}


def log_directory(spool: str, name: str) -> str:
    return os.path.join(spool, EVENTS, name)


class LogReader:
    """``lost``: segments that were deleted before this reader had come to their end; ``damaged``:
    lines that are no events, as a power loss may leave them, and were passed over."""

    def __init__(self, directory: str, disk: Disk | None = None) -> None:
        self._directory, self._disk = directory, disk or RealDisk()
        self._glances = Glances(directory, self._disk)
        self._idle = 0
        self.lost = self.damaged = 0

    def close(self) -> None:
        self._glances.close()

    # one after the other

    def read(self, position: Position, bytes_max: int = BYTES_MAX) -> tuple[list[bytes], Position]:
        """Whole lines without their ends, of about ``bytes_max`` in all, and where the next ones
        begin. No lines: there are none yet. Where retention has deleted what is at ``position``,
        it goes on at the oldest segment, and ``lost`` counts those in between."""
        while True:
            data, there = self._glances.lines(position.segment, position.offset, bytes_max)
            if not data:
                following = self._following(position.segment, there)
                if following is None:
                    return [], position
                if there:  # sealed by now: what was written before that?
                    data, _ = self._glances.lines(position.segment, position.offset, bytes_max)
                if not data:
                    self._glances.forget(position.segment)
                    position = Position(following, 0)
                    continue
            self._idle = 0
            position = Position(position.segment, position.offset + len(data))
            lines = self._events(data)
            if lines:
                return lines, position

    def _events(self, data: bytes) -> list[bytes]:
        lines = data.split(b"\n")
        del lines[-1]
        whole = [
            line
            for line in lines
            if line.startswith(b'{"type":"') and line.endswith(b"}") and b"\0" not in line
        ]
        self.damaged += len(lines) - len(whole)
        return whole

    def _following(self, segment: int, there: bool) -> int | None:
        """The segment behind this one, ``None`` where there is none."""
        if there and self._glances.exists(segment + 1):
            return segment + 1
        self._idle += 1
        if there and self._idle % _LOOK_AROUND:
            return None
        numbers = self._numbers()
        at = bisect_right(numbers, segment)
        if at == len(numbers):
            return None
        if not there and not at and segment:  # all that is there is newer
            self.lost += numbers[0] - segment
        return numbers[at]

    def _numbers(self) -> list[int]:
        try:
            return list(listed(self._disk.list(self._directory)))
        except FileNotFoundError:
            return []

    def start(self) -> Position:
        """The oldest event there is."""
        numbers = self._numbers()
        return Position(numbers[0] if numbers else 0, 0)

    def end(self) -> Position:
        """Behind the newest."""
        numbers = self._numbers()
        if not numbers:
            return Position(0, 0)
        return Position(numbers[-1], self._glances.size(numbers[-1]))

    # looking something up

    def at(self, time_s: float) -> Position:
        """The first event at ``time_s`` (seconds since the epoch) or later. Where the machine's
        clock was set back meanwhile, some of those may lie before it."""
        numbers = self._numbers()
        firsts = [(head[0], n) for n in numbers if (head := self._glances.head(n)) is not None]
        found = bisect_left(firsts, (time_s, -1)) - 1
        if found < 0:
            return self.start()
        segment = firsts[found][1]
        frames = self._glances.frames(segment)
        number = bisect_left([frame.at for frame in frames], time_s) - 1
        offset, end = frames[max(0, number)].offset, self._glances.size(segment)
        while offset < end:
            data, _ = self._glances.lines(segment, offset, BYTES_MAX)
            if not data:
                break
            for line in data.splitlines(keepends=True):
                if time_of(line) >= time_s:
                    return Position(segment, offset)
                offset += len(line)
        return Position(segment, offset)

    def last_accepted(self) -> int:
        """The ref of the newest message that this log says was accepted, -1 where there is none."""
        for segment in reversed(self._numbers()):
            for frame in reversed(self._glances.frames(segment)):
                if frame.ref >= 0:
                    block = self._glances.block(segment, frame.offset)
                    return max(ref_of(line_at(block, start)) for start in accepted_lines(block))
        return -1

    def accepted(self, ref: int) -> records.Accepted | None:
        """How the message came in that ``ref`` is a recipient of; ``None`` where this log does not
        have it. It is in the log of the worker whose number the shard of ``ref`` has."""
        firsts: list[tuple[int, int]] = []
        for segment in self._numbers():
            head = self._glances.head(segment)
            if head is not None and head[1] >= 0:
                firsts.append((head[1], segment))
        found = bisect_right(firsts, (ref, 1 << 62)) - 1
        if found < 0:
            return None
        segment = firsts[found][1]
        frames = [frame for frame in self._glances.frames(segment) if frame.ref >= 0]
        number = bisect_right([frame.ref for frame in frames], ref) - 1
        block = self._glances.block(segment, frames[number].offset)
        starts = list(accepted_lines(block))
        at = bisect_right(starts, ref, key=lambda start: ref_of(line_at(block, start))) - 1
        if at < 0:
            return None
        try:
            event = _accepted(line_at(block, starts[at]))
            first = id_number(event.message)
        except (msgspec.MsgspecError, ValueError):
            return None
        return event if 0 <= ref - first < len(event.recipients) else None
