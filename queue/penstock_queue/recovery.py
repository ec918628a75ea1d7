"""From files to a running queue: replay, cut what was never acknowledged, set damage aside.

The log is one line of time: segments by number, records by offset, later ones win. A crash may
happen at any point of this too: every step leaves a state from which the next start comes to the
same result.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import compress
from typing import Final, NamedTuple

from penstock_queue.chunk import BITS, SPAN
from penstock_queue.config import QueueConfig
from penstock_queue.disk import Disk, File
from penstock_queue.errors import QueueLocked
from penstock_queue.inflight import Inflight
from penstock_queue.replay import Replay
from penstock_queue.scan import Damage, scan
from penstock_queue.segment import HEADER_BYTES, Header, Segment, file_name, file_number
from penstock_queue.state import State

LOCK_NAME: Final = "lock"
INFLIGHT_NAME: Final = "inflight"
QUARANTINE_PREFIX: Final = "quarantine-"
SEQ_GAP: Final = 1 << 20
_COPY_BYTES: Final = 4 << 20


class Cut(NamedTuple):
    """A range of a file; ``offset`` and ``bytes`` as it was found."""

    file: str
    offset: int
    bytes: int


@dataclass(slots=True)
class Recovery:
    """What opening a queue found. ``torn``: tails of writes that were never acknowledged, cut
    off. ``quarantined``: damaged ranges, copied to ``quarantine-*`` files, which stay until
    somebody deletes them (``quarantine_files``). ``in_flight``: live entries whose delivery was
    under way and may have happened. ``orphans``: entries whose message is lost in a damaged
    range. ``foreign``: files that are not of this queue, left alone."""

    entries: int = 0
    bodies: int = 0
    segments: int = 0
    orphans: int = 0
    torn: list[Cut] = field(default_factory=list)
    quarantined: list[Cut] = field(default_factory=list)
    in_flight: list[int] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    quarantine_files: list[str] = field(default_factory=list)


def recover(directory: str, config: QueueConfig, disk: Disk, now: float) -> tuple[State, Recovery]:
    """Lock ``directory`` and replay it. Raises ``QueueLocked``, ``FormatTooNew``, ``OSError``."""
    disk.make_directory(directory)
    try:
        lock = disk.lock(f"{directory}/{LOCK_NAME}")
    except QueueLocked:
        raise QueueLocked(directory) from None
    try:
        state = State(directory, config, disk, lock, now)
        recovery = Recovery()
        _replay_all(state, recovery, now)
        state.inflight = Inflight(disk, f"{directory}/{INFLIGHT_NAME}", config.inflight_slots)
        try:
            _finish(state, recovery, now)
        except OSError:
            state.inflight.close()
            raise
    except BaseException:
        lock.close()
        raise
    return state, recovery


def _replay_all(state: State, recovery: Recovery, now: float) -> None:
    disk, directory = state.disk, state.directory
    numbers: list[int] = []
    for name in disk.list(directory):
        number = file_number(name)
        if number is not None:
            numbers.append(number)
        elif name.startswith(QUARANTINE_PREFIX):
            recovery.quarantine_files.append(name)
        elif name not in (LOCK_NAME, INFLIGHT_NAME):
            recovery.foreign.append(name)
    numbers.sort()
    headers = _headers(state, numbers)
    if numbers:
        state.segments.next_number = numbers[-1] + 1
    last = last_used(state, numbers)
    replay = Replay(state)
    for number in numbers:
        header = headers[number]
        if header is None:
            _set_aside_whole(state, number, recovery)
        else:
            _replay(state, header, replay, recovery, last=number == last)
    if numbers:
        # Numbers that were given out and lost with the crash are not given to others.
        state.next_seq += SEQ_GAP
    # Nor are those of a queue that was here before and was removed whole.
    state.next_seq = max(state.next_seq, int(now) << 16)
    replay.finish()
    recovery.orphans = replay.orphans
    state.implied = sorted(replay.implied)


def _headers(state: State, numbers: list[int]) -> dict[int, Header | None]:
    """All headers before anything is changed, so that a newer format is refused untouched."""
    headers: dict[int, Header | None] = {}
    for number in numbers:
        path = state.path(number)
        file = state.disk.open(path)
        try:
            header = Header.decode(file.read(0, HEADER_BYTES), path)
        finally:
            file.close()
        headers[number] = header if header is not None and header.number == number else None
    return headers


def last_used(state: State, numbers: list[int]) -> int:
    """The newest segment that may hold a group, 0 where none does. Only its tail may be torn: a
    group goes to a segment once those in the segments before it are durable."""
    for number in reversed(numbers):
        file = state.disk.open(state.path(number))
        try:
            head = file.read(0, HEADER_BYTES)
            if file.size() > HEADER_BYTES or Header.decode(head, state.path(number)) is not None:
                return number
        finally:
            file.close()
    return 0


def _set_aside_whole(state: State, number: int, recovery: Recovery) -> None:
    """A segment without a good header. No group is written before the header is durable, so a file
    that is no longer than a header was never used."""
    disk, path, name = state.disk, state.path(number), file_name(number)
    file = disk.open(path)
    size = file.size()
    file.close()
    if size <= HEADER_BYTES:
        disk.delete(path)
        recovery.torn.append(Cut(name, 0, size))
    else:
        target = f"{QUARANTINE_PREFIX}{name}"
        disk.rename(path, f"{state.directory}/{target}")
        recovery.quarantined.append(Cut(name, 0, size))
        recovery.quarantine_files.append(target)
    disk.sync_directory(state.directory)


def _replay(
    state: State, header: Header, replay: Replay, recovery: Recovery, *, last: bool
) -> None:
    segment = Segment(header)
    state.segments[segment.number] = segment
    path, name = state.path(segment.number), file_name(segment.number)
    file = state.disk.open(path, write=True)
    try:
        size = segment.size = file.size()
        replay.start(segment)
        for item in scan(file, segment.salt, HEADER_BYTES, size, take=replay.take):
            if not isinstance(item, Damage):
                replay.record(item)
            elif last and item.tail:
                file.truncate(item.offset)
                file.sync()
                segment.size = item.offset
                if not item.blank:
                    recovery.torn.append(Cut(name, item.offset, item.end - item.offset))
            else:
                segment.damaged = True
                recovery.quarantined.append(Cut(name, item.offset, item.end - item.offset))
                _copy_aside(state, file, segment.number, item, recovery)
        # A killed process may have left records that are only in the page cache. What is decided
        # from them must not outlast them.
        _write_again(file, replay.group_at, segment.size)
        file.sync()
    finally:
        file.close()


def _write_again(file: File, start: int, end: int) -> None:
    """The last group in place, byte by byte the same. After a sync that failed, the kernel may hold
    its pages for clean: they can be read, another sync writes nothing, and a power cut takes them.
    Groups before the last were synced with success, or there would be none behind them."""
    for at in range(start, end, _COPY_BYTES):
        file.write([file.read(at, min(_COPY_BYTES, end - at))], at)


def _copy_aside(state: State, file: File, number: int, damage: Damage, recovery: Recovery) -> None:
    """The damaged bytes under a name of their own. The segment stays as it is: what is good in it
    is still used, and every start finds the same damage until the segment is deleted."""
    target = f"{QUARANTINE_PREFIX}{number:016x}-{damage.offset:08x}.bin"
    if target in recovery.quarantine_files:
        return
    disk, partial = state.disk, f"{state.directory}/{QUARANTINE_PREFIX}partial"
    with suppress(FileNotFoundError):
        disk.delete(partial)
    copy = disk.create(partial)
    try:
        for at in range(damage.offset, damage.end, _COPY_BYTES):
            data = file.read(at, min(_COPY_BYTES, damage.end - at))
            copy.write([data], at - damage.offset)
        copy.sync()
    finally:
        copy.close()
    disk.rename(partial, f"{state.directory}/{target}")
    disk.sync_directory(state.directory)
    recovery.quarantine_files.append(target)


def _finish(state: State, recovery: Recovery, now: float) -> None:
    """Timers, deliveries under way, segments that nothing needs."""
    index = state.index
    present = index.ticks_passed(now)
    for number in sorted(index.chunks):
        chunk = index.chunks[number]
        alive, slots = chunk.alive(), range(SPAN) if chunk.slots is None else chunk.slots
        first = number << BITS
        seqs = [first + slot for slot in compress(slots, alive)]
        state.timers.load(compress(chunk.due, alive), seqs, present)
        chunk.arm_all()
    index.armed = index.live
    in_flight = state.inflight.found()
    recovery.in_flight = [seq for seq in in_flight if index.find(seq) is not None]
    state.disk.sync_directory(state.directory)
    while delete := state.segments.deletable(state.group):
        for number in delete:
            state.disk.delete(state.path(number))
        state.disk.sync_directory(state.directory)
        state.segments.forget(delete)
    recovery.entries, recovery.bodies = index.live, index.bodies
    recovery.segments = len(state.segments)
