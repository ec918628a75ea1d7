"""Giving disk space back: dead segments are deleted, mostly dead ones are emptied first.

To compact is to append: what is still needed of an old segment goes through the ordinary group
commit, so the log stays one line of time and recovery needs no rule of its own for it. A
``Chore`` is a bounded piece of that work; what it read is checked again before it is used,
because the queue went on meanwhile.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from penstock_queue.batch import Copy
from penstock_queue.chunk import BITS
from penstock_queue.commit import Commits
from penstock_queue.disk import File
from penstock_queue.record import (
    BODY,
    ENTRIES,
    SETTLE,
    Again,
    Message,
    Row,
    read_body,
    read_entries,
    read_settle,
)
from penstock_queue.scan import WINDOW_BYTES, Damage, Found, scan
from penstock_queue.segment import HEADER_BYTES, Segment
from penstock_queue.state import State


class Candidate(NamedTuple):
    """A message that was alive when it was read, and the deferral noted at ``offset``."""

    copy: Copy
    offset: int


class Chore:
    """Either a deletion of ``delete``, or a look at ``segment`` from ``start`` on."""

    def __init__(
        self, state: State, delete: Sequence[int], segment: Segment | None, start: int, limit: int
    ) -> None:
        self.delete = delete
        self.segment = segment
        self.start = start
        self.end = start
        self.finished = False
        self.damaged = False
        self.error: OSError | None = None
        self.deleted: list[int] = []
        self.candidates: list[Candidate] = []
        self.agains: list[tuple[Again, int]] = []
        self.done: array[int] = array("Q")
        self._limit = limit
        self._state = state

    def run(self) -> None:
        """The I/O. Blocking; any thread; no exception for ``OSError``: ``error`` has it."""
        try:
            if self.delete:
                self._delete()
            elif self.segment is not None:
                file = self._state.disk.open(self._state.path(self.segment.number))
                try:
                    self._look(file, self.segment)
                finally:
                    file.close()
        except OSError as error:
            self.error = error

    def _delete(self) -> None:
        for number in self.delete:
            path = self._state.path(number)
            self._state.files.drop(path)
            with suppress(FileNotFoundError):
                self._state.disk.delete(path)
        self._state.disk.sync_directory(self._state.directory)
        self.deleted = list(self.delete)

    def _look(self, file: File, segment: Segment) -> None:
        body: Found | None = None
        window = min(self._limit, WINDOW_BYTES)
        for item in scan(file, segment.salt, self.start, segment.size, window):
            if isinstance(item, Damage):
                self.damaged = True
                self.end = item.end
            else:
                kind, _, end, _ = item
                if kind == BODY:
                    body = item
                    continue
                if kind == ENTRIES and body is not None:
                    self._message(segment, body, item)
                elif kind == SETTLE:
                    self._settlement(item)
                self.end = end
            body = None
            if self.end - self.start >= self._limit:
                break
        else:
            self.end = segment.size
        self.finished = self.end >= segment.size

    def _message(self, segment: Segment, body: Found, entries: Found) -> None:
        index = self._state.index
        first, created, seqs, rows = read_entries(entries[3])
        owner = index.message(first)
        if owner is None:
            return
        if (owner[0].segment[owner[1]], owner[0].offset[owner[1]]) != (segment.number, body[1]):
            return
        kept: list[Row] = []
        notes: dict[int, tuple[int, int]] = {}
        for seq, old in zip(seqs, rows, strict=True):
            found = index.find(seq)
            if found is None:
                continue
            chunk, row = found
            where = chunk.note(row)
            note = Row(*old).note
            if where[0]:
                again = self._state.reader.again(*where)
                note = again.note if again is not None else note
            due = index.time(chunk.due[row])
            kept.append(Row(old[0], due, old[2], old[3], chunk.attempts[row], note))
            notes[seq] = where
        if not kept:
            return
        seq, meta, start = read_body(body[3])
        raw = [body[3][start:]]
        message = Message(seq, meta, raw, created, kept, list(notes), sparse=True)
        self.candidates.append(Candidate(Copy(message, segment.number, notes), body[1]))

    def _settlement(self, item: Found) -> None:
        settlement = read_settle(item[3])
        if isinstance(settlement, Again):
            self.agains.append((settlement, item[1]))
        else:
            self.done.extend(settlement)


class Compactor:
    """Decides which chore is next and applies what came of it."""

    def __init__(self, state: State, commits: Commits) -> None:
        self._state = state
        self._segments = state.segments
        self._index = state.index
        self._commits = commits
        self._running: Chore | None = None
        self._victim: Segment | None = None
        self._at = 0
        self._useful = False  # another look may find more to do
        self._committed = state.group

    def committed(self, group: int, success: bool) -> None:
        if success:
            self._committed = group

    def begin(self, bytes_max: int) -> Chore | None:
        if self._running is not None:
            return None
        delete = self._segments.deletable(self._committed)
        if delete:
            self._running = Chore(self._state, delete, None, 0, 0)
            return self._running
        room = self._state.config.uncommitted_bytes_max // 2 - self._commits.uncommitted_bytes
        if self._commits.full or room <= 0:
            return None
        if self._victim is None:
            self._victim = self._choose()
            self._at = HEADER_BYTES
            self._useful = False
        if self._victim is None:
            return None
        limit = min(bytes_max, room)
        self._running = Chore(self._state, (), self._victim, self._at, limit)
        self._commits.reserved_bytes = limit
        return self._running

    def _choose(self) -> Segment | None:
        """The oldest one that is dead enough: older segments are what others have to wait for."""
        share = self._state.config.compact_dead_share
        for number in sorted(self._segments):
            segment = self._segments[number]
            if (
                segment is not self._segments.active
                and not segment.stuck
                and segment.rest <= self._committed
                and segment.dead_share >= share
            ):
                return segment
        return None

    def end(self, chore: Chore) -> int:
        if chore is not self._running:
            raise ValueError("not the chore under way")
        self._running = None
        self._commits.reserved_bytes = 0
        if chore.delete:
            self._segments.forget(chore.deleted)
            return 0
        segment = chore.segment
        if segment is None:
            return 0
        if chore.error is not None:
            segment.stuck = True
            self._victim = None
            return 0
        for candidate in chore.candidates:
            self._copy(candidate, segment)
        for again, offset in chore.agains:
            self._move_again(again, segment, offset)
        self._move_done(chore.done, segment)
        segment.damaged |= chore.damaged
        self._at = chore.end
        if chore.finished:
            self._finish(segment)
        return chore.end - chore.start

    def _copy(self, candidate: Candidate, segment: Segment) -> None:
        """Only if nothing changed: every live entry is in the copy, with its last deferral; and if
        there is room, since the last one read may be larger than what was left. Otherwise the next
        look at this segment finds it."""
        copy = candidate.copy
        owner = self._index.message(copy.message.seq)
        if owner is None:
            return
        chunk, row = owner
        place = chunk.segment[row], chunk.offset[row]
        unchanged = place == (segment.number, candidate.offset)
        unchanged &= chunk.refs[row] == len(copy.notes)
        for seq, note in copy.notes.items():
            found = self._index.find(seq)
            unchanged &= found is not None and found[0].note(found[1]) == note
            unchanged &= not self._commits.deferring(seq)
        waits = self._commits.uncommitted_bytes + copy.message.size
        if unchanged and waits <= self._state.config.uncommitted_bytes_max:
            self._commits.copy(copy)
        self._useful = True

    def _move_again(self, again: Again, segment: Segment, offset: int) -> None:
        found = self._index.find(again.seq)
        if found is not None and found[0].note(found[1]) == (segment.number, offset):
            self._commits.pending.agains.setdefault(again.seq, (again, True))
            self._useful = True

    def _move_done(self, done: array[int], segment: Segment) -> None:
        others = segment.settles_others()
        if not others or not done:
            return
        chunks = set().union(*(self._segments[n].chunks for n in others if n in self._segments))
        kept = [seq for seq in done if seq >> BITS in chunks]
        pending = self._commits.pending
        pending.tombs.extend(kept)
        pending.settles |= others
        self._useful = True

    def _finish(self, segment: Segment) -> None:
        """All that is needed of it waits for the next group, or is there already."""
        self._victim = None
        segment.rest = self._state.group + 1
        if not segment.damaged:
            segment.moved = segment.rest
        segment.stuck = not self._useful

    def close(self) -> None:
        self._victim = None
