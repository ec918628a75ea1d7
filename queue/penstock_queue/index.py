"""The index: which entries are alive, where their messages are, and when they are due.

A dict of chunks by ``seq >> 12``. A message and its live entries always lie in one segment, so
only the message has a place on disk; an entry names its message by the difference of their
numbers. Reading methods may be called from any thread; writing ones only by the owner of the
queue.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from math import ceil
from typing import Final, NamedTuple

from penstock_queue.chunk import ARMED, BITS, BODY, EXPIRED, LIVE, MASK, NEVER, Chunk
from penstock_queue.timers import Expiries

TICKS_PER_S: Final = 16
TICK_MAX: Final = (1 << 32) - 1
_WAITING: Final = LIVE | ARMED


class Place(NamedTuple):
    """Where a message is on disk (``segment`` 0: not yet), and the last deferral of an entry."""

    body: int
    segment: int
    offset: int
    size: int
    note: tuple[int, int]


class Index:
    """``epoch``: the second that due times are counted from, in ticks of 1/16 s. ``live``: entries
    that are alive; ``armed``: those of them that the timers hold."""

    def __init__(self, now: float) -> None:
        self.chunks: dict[int, Chunk] = {}
        self.newest = -1
        self.live = 0
        self.armed = 0
        self.bodies = 0
        self.epoch = int(now) - (1 << 27)
        self.expiries = Expiries()

    def tick(self, at: float) -> int:
        """The first tick not before ``at``."""
        return min(max(ceil((at - self.epoch) * TICKS_PER_S), 0), TICK_MAX)

    def ticks_passed(self, now: float) -> int:
        """The last tick that is not after ``now``."""
        return min(max(int((now - self.epoch) * TICKS_PER_S), 0), TICK_MAX)

    def time(self, tick: int) -> float:
        return self.epoch + tick / TICKS_PER_S

    def find(self, seq: int) -> tuple[Chunk, int] | None:
        """Chunk and row of a live entry."""
        chunk = self.chunks.get(seq >> BITS)
        if chunk is None:
            return None
        row = seq & MASK if chunk.slots is None else chunk.row(seq & MASK)
        return (chunk, row) if row >= 0 and chunk.state[row] & LIVE else None

    def entry(self, seq: int) -> tuple[Chunk, int]:
        """As ``find``; raises ``KeyError``."""
        found = self.find(seq)
        if found is None:
            raise KeyError(seq)
        return found

    def message(self, body: int) -> tuple[Chunk, int] | None:
        """Chunk and row of a message that has live entries."""
        chunk = self.chunks.get(body >> BITS)
        if chunk is None:
            return None
        row = chunk.row(body & MASK)
        return (chunk, row) if row >= 0 and chunk.state[row] & BODY else None

    def place(self, seq: int) -> Place | None:
        found = self.find(seq)
        if found is None:
            return None
        chunk, row = found
        body = seq - chunk.delta[row]
        note = chunk.note(row)
        message = self.message(body)
        if message is None:
            return None
        chunk, row = message
        return Place(body, chunk.segment[row], chunk.offset[row], chunk.size[row], note)

    def writable(self, number: int) -> Chunk:
        """The chunk of that number, made or unfolded where needed."""
        chunk = self.chunks.get(number)
        if chunk is None:
            chunk = self.chunks[number] = Chunk()
            if number > self.newest:
                self.newest = number
                for older in (number - 1, number - 2):
                    self.tidy(older)
        elif chunk.slots is not None:
            chunk = self.chunks[number] = chunk.unfolded()
        return chunk

    def tidy(self, number: int) -> None:
        """Free or fold a chunk that few entries are left in."""
        chunk = self.chunks.get(number)
        if chunk is None or number >= self.newest:
            return
        if not chunk.live and not chunk.bodies:
            del self.chunks[number]
        elif chunk.live <= chunk.fold_at and number < self.newest - 1:
            self.chunks[number] = chunk.folded()

    def add_message(self, seq: int, created: int, refs: int, size: int) -> None:
        chunk = self.writable(seq >> BITS)
        row = seq & MASK
        chunk.state[row] |= BODY
        chunk.created[row] = created
        chunk.refs[row] = refs
        chunk.size[row] = size
        chunk.segment[row] = 0
        chunk.bodies += 1
        self.bodies += 1

    def add_entry(self, seq: int, body: int, key: int, tick: int, expires: float) -> Chunk:
        chunk = self.chunks.get(seq >> BITS)
        if chunk is None or chunk.slots is not None:
            chunk = self.writable(seq >> BITS)
        row = seq & MASK
        chunk.state[row] |= LIVE
        chunk.attempts[row] = 0
        chunk.delta[row] = seq - body
        chunk.key[row] = key
        chunk.due[row] = tick
        chunk.live += 1
        self.live += 1
        if expires > 0:
            second = min(ceil(expires), NEVER - 1)
            chunk.expires[row] = second
            if second < chunk.expires_min:
                chunk.expires_min = second
                self.expiries.push(second, seq >> BITS)
        else:
            chunk.expires[row] = 0
        return chunk

    def owner(self, seq: int, chunk: Chunk, row: int) -> tuple[Chunk, int]:
        """Chunk and row of the message of a live entry."""
        delta = chunk.delta[row]
        if not delta:
            return chunk, row
        found = self.message(seq - delta)
        if found is None:
            raise AssertionError(f"entry {seq} is alive, its message is not")
        return found

    def drop_entry(self, chunk: Chunk, row: int, owner: tuple[Chunk, int]) -> bool:
        """Take a live entry out; whether it was the last of its message. The columns of the message
        stay readable until ``tidy``."""
        if chunk.state[row] & ARMED:
            self.armed -= 1
        chunk.state[row] &= BODY
        chunk.live -= 1
        self.live -= 1
        at, body_row = owner
        at.refs[body_row] = left = at.refs[body_row] - 1
        if left:
            return False
        at.state[body_row] &= ~BODY
        at.bodies -= 1
        self.bodies -= 1
        return True

    def seqs(self, after: int = 0) -> Iterator[int]:
        """Live entries in order; those added or settled meanwhile may or may not be among them."""
        for number in sorted(n for n in self.chunks if n >= after >> BITS):
            chunk = self.chunks.get(number)
            if chunk is None:
                continue
            for row in chunk.rows_in_use():
                seq = (number << BITS) + chunk.slot(row)
                if seq > after and chunk.state[row] & LIVE:
                    yield seq

    def seqs_of(self, wanted: Callable[[int], bool]) -> Iterator[int]:
        """Live entries with a key that is ``wanted``, which is asked once a key; as ``seqs``
        otherwise."""
        known: dict[int, bool] = {}
        for number in sorted(self.chunks):
            chunk = self.chunks.get(number)
            if chunk is None:
                continue
            for key in set(chunk.key) - known.keys():
                known[key] = wanted(key)
            for row, key in enumerate(chunk.key):
                if known.get(key) and chunk.state[row] & LIVE:
                    yield (number << BITS) + chunk.slot(row)

    def seqs_of_key(self, key: int) -> Iterator[int]:
        """The same for one key: what the columns are searched for, not walked."""
        wanted = key.to_bytes(4, sys.byteorder)
        for number in sorted(self.chunks):
            chunk = self.chunks.get(number)
            if chunk is None:
                continue
            column = chunk.key.tobytes()
            at = column.find(wanted)
            while at >= 0:
                row, astray = divmod(at, 4)
                if not astray and chunk.state[row] & LIVE:
                    yield (number << BITS) + chunk.slot(row)
                at = column.find(wanted, at + (1 if astray else 4))

    def expire_at(self, seq: int, expires: float) -> None:
        """Another expiry for a live entry, until a restart; 0 for never."""
        found = self.find(seq)
        if found is None:
            return
        chunk, row = found
        second = min(ceil(expires), NEVER - 1) if expires > 0 else 0
        chunk.expires[row] = second
        chunk.state[row] &= ~EXPIRED
        if 0 < second < chunk.expires_min:
            chunk.expires_min = second
            self.expiries.push(second, seq >> BITS)

    def ready(self, seq: int, tick: int) -> bool:
        """Whether a timer of ``tick`` still means this entry; if so it is disarmed."""
        chunk = self.chunks.get(seq >> BITS)
        if chunk is None:
            return False
        row = seq & MASK if chunk.slots is None else chunk.row(seq & MASK)
        if row < 0 or chunk.state[row] & _WAITING != _WAITING or chunk.due[row] != tick:
            return False
        chunk.state[row] &= ~ARMED
        self.armed -= 1
        return True

    def armed_tick(self, seq: int) -> int | None:
        """The due tick of an entry that the timers should hold."""
        found = self.find(seq)
        if found is None or not found[0].state[found[1]] & ARMED:
            return None
        return found[0].due[found[1]]

    def pop_expired(self, second: int, limit: int, out: list[int]) -> None:
        """Append to ``out`` up to ``limit`` entries in all whose expiry came, each once."""
        while len(out) < limit and (number := self.expiries.pop(second, self.chunks)) is not None:
            chunk = self.chunks[number]
            earliest = NEVER
            for row, state in enumerate(chunk.state):
                expires = chunk.expires[row]
                if not expires or state & (LIVE | EXPIRED) != LIVE:
                    continue
                if expires <= second and len(out) < limit:
                    chunk.state[row] |= EXPIRED
                    out.append((number << BITS) + chunk.slot(row))
                elif expires < earliest:
                    earliest = expires
            chunk.expires_min = earliest
            if earliest != NEVER:
                self.expiries.push(earliest, number)

    def oldest_created(self) -> int:
        """Seconds; 0 where nothing is queued."""
        for number in sorted(self.chunks):
            chunk = self.chunks[number]
            rows = [r for r, state in enumerate(chunk.state) if state & BODY]
            if rows:
                return min(chunk.created[row] for row in rows)
        return 0
