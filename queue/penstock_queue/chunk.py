"""One chunk of the index: the columns of 4096 consecutive sequence numbers.

Columns are arrays, so an entry costs about 40 bytes and no Python object. A chunk in which few
entries are left is folded: the same columns, but only of the rows in use, with their slots in a
sorted column. A fold makes a new ``Chunk`` and never changes the old one, so another thread that
still looks at the old one sees a consistent past.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from itertools import compress
from typing import Final

BITS: Final = 12
SPAN: Final = 1 << BITS
MASK: Final = SPAN - 1
# A chunk is folded when half of its rows are free, and again at each half of what is left: so no
# entry ever takes more than twice its bytes, and every row is copied twice at most.
FOLD_AT: Final = SPAN // 2

# Flags of the state column.
LIVE: Final = 1  # the entry is not settled
ARMED: Final = 2  # the timers hold it for its present due time
EXPIRED: Final = 4  # its expiry was handed out
BODY: Final = 8  # the row carries the columns of a message with live entries

_FLAGS: Final = bytes(SPAN)
_HALVES: Final = bytes(2 * SPAN)
_WORDS: Final = bytes(4 * SPAN)
_COLUMNS: Final = (
    "state", "attempts", "delta", "key", "due", "expires",
    "segment", "offset", "size", "refs", "created",
)  # fmt: skip
NEVER: Final = (1 << 32) - 1
# Rows in use mostly stand together; where they do not, single items are quicker than slices.
_USED: Final = re.compile(rb"[^\0]+")
_RUNS_MAX: Final = SPAN // 16
_ALIVE: Final = bytes(flags & LIVE for flags in range(256))
_HELD: Final = bytes(flags & (LIVE | ARMED) == LIVE | ARMED for flags in range(256))
_ARMED: Final = bytes(flags | ARMED if flags & LIVE else flags for flags in range(256))


def _picked(column: array[int], used: bytes, runs: list[tuple[int, int]]) -> array[int]:
    """The rows in use, in an array that is exactly as long (one grown item by item is longer)."""
    if len(runs) > _RUNS_MAX:
        return array(column.typecode, list(compress(column, used)))
    return array(column.typecode, b"".join(column[start:end].tobytes() for start, end in runs))


class Chunk:
    """Per entry: ``state``, ``attempts``, ``delta`` (to the message's first number), ``key``,
    ``due`` (ticks), ``expires`` (seconds, 0 never), ``note_segment`` and ``note_offset`` (of the
    last deferral's record; columns made when first needed). Per message, in the row of its first
    number: ``segment`` (0: not committed), ``offset``, ``size``, ``refs`` (live entries),
    ``created``."""

    __slots__ = (*_COLUMNS, "bodies", "expires_min", "fold_at", "live", "note_offset",
                 "note_segment", "slots")  # fmt: skip

    def __init__(self) -> None:
        self.slots: array[int] | None = None
        self.live = 0
        self.bodies = 0
        self.expires_min = NEVER
        self.fold_at = FOLD_AT
        self.state: array[int] = array("B", _FLAGS)
        self.attempts: array[int] = array("H", _HALVES)
        self.delta: array[int] = array("I", _WORDS)
        self.key: array[int] = array("I", _WORDS)
        self.due: array[int] = array("I", _WORDS)
        self.expires: array[int] = array("I", _WORDS)
        self.segment: array[int] = array("I", _WORDS)
        self.offset: array[int] = array("I", _WORDS)
        self.size: array[int] = array("I", _WORDS)
        self.refs: array[int] = array("I", _WORDS)
        self.created: array[int] = array("I", _WORDS)
        self.note_segment: array[int] | None = None
        self.note_offset: array[int] | None = None

    def row(self, slot: int) -> int:
        """The row of ``slot``; -1 where this chunk has none."""
        slots = self.slots
        if slots is None:
            return slot
        row = bisect_left(slots, slot)
        return row if row < len(slots) and slots[row] == slot else -1

    def note(self, row: int) -> tuple[int, int]:
        """``(segment, offset)`` of the last deferral's record; ``(0, 0)`` for none."""
        segments, offsets = self.note_segment, self.note_offset
        if segments is None or offsets is None:
            return 0, 0
        return segments[row], offsets[row]

    def set_note(self, row: int, segment: int, offset: int) -> None:
        if self.note_segment is None or self.note_offset is None:
            if not segment:
                return
            empty = bytes(4 * len(self.state))
            self.note_offset = array("I", empty)
            self.note_segment = array("I", empty)
        self.note_segment[row] = segment
        self.note_offset[row] = offset

    def alive(self) -> bytes:
        """For each row 1 where its entry is alive, 0 elsewhere; to pick from columns with."""
        return self.state.tobytes().translate(_ALIVE)

    def arm_all(self) -> None:
        """Say of every live entry that the timers hold it."""
        self.state = array("B", self.state.tobytes().translate(_ARMED))

    def count_armed(self) -> tuple[int, int]:
        """Entries that the timers hold, and how many of them were attempted before."""
        held = self.state.tobytes().translate(_HELD)
        armed = held.count(1)
        if not armed:
            return 0, 0
        return armed, sum(map(bool, compress(self.attempts, held)))

    def slot(self, row: int) -> int:
        return row if self.slots is None else self.slots[row]

    def rows_in_use(self) -> list[int]:
        return list(compress(range(len(self.state)), self.state))

    def folded(self) -> Chunk:
        """A copy with the rows in use only."""
        used = self.state.tobytes()
        runs = [found.span() for found in _USED.finditer(used)]
        new = Chunk.__new__(Chunk)
        slots = range(SPAN) if self.slots is None else self.slots
        new.slots = array("H", list(compress(slots, used)))
        for name in _COLUMNS:
            setattr(new, name, _picked(getattr(self, name), used, runs))
        rows = len(new.slots)
        new.fold_at = rows // 2 if rows >= 32 else 0
        self._share(new)
        if self.note_segment is not None and self.note_offset is not None:
            new.note_segment = _picked(self.note_segment, used, runs)
            new.note_offset = _picked(self.note_offset, used, runs)
        return new

    def unfolded(self) -> Chunk:
        """A copy with room for every slot again."""
        new = Chunk()
        for row, slot in enumerate(self.slots or ()):
            for name in _COLUMNS:
                getattr(new, name)[slot] = getattr(self, name)[row]
            new.set_note(slot, *self.note(row))
        fold_at = new.fold_at
        self._share(new)
        new.fold_at = fold_at
        return new

    def _share(self, new: Chunk) -> None:
        new.live, new.bodies, new.expires_min = self.live, self.bodies, self.expires_min
        if not hasattr(new, "note_segment"):
            new.note_segment = new.note_offset = None

    def bytes(self) -> int:
        """What the columns take in memory."""
        columns = [getattr(self, name) for name in _COLUMNS]
        columns += [c for c in (self.slots, self.note_segment, self.note_offset) if c is not None]
        return sum(len(column) * column.itemsize for column in columns)
