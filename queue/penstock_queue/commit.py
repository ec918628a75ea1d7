"""The bookkeeping around group commits: what waits, what is under way, what became of it."""

from __future__ import annotations

import errno
from typing import Final

from penstock_queue.batch import Batch, Copy, Pending, Sealed
from penstock_queue.cache import Cache
from penstock_queue.chunk import BITS, Chunk
from penstock_queue.disk import File
from penstock_queue.errors import CommitFailed
from penstock_queue.record import Again, Message
from penstock_queue.segment import HEADER_BYTES, Header, Segment
from penstock_queue.state import State

NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
# Deferrals that may wait for the disk.
AGAINS_MAX: Final = 1 << 16
# Room is made ahead for this part of a segment.
ROOM_SHARE: Final = 16
# Files kept open because the disk would not take back their room.
SEALED_MAX: Final = 16


class Commits:
    """``pending``: for the next group. ``full``: the last group found no room on the disk.
    ``succeeded`` and ``failed``: groups since the queue was opened. ``agains_dropped``: deferrals
    that were not recorded because too many waited."""

    def __init__(self, state: State, cache: Cache) -> None:
        self._state = state
        self._index = state.index
        self._segments = state.segments
        self._cache = cache
        self.pending = Pending()
        self.full = False
        self.succeeded = 0
        self.failed = 0
        self.agains_dropped = 0
        self._running: Batch | None = None
        self._running_bytes = 0
        self.reserved_bytes = 0  # for copies that a chore is reading
        self._file: File | None = None
        self._room = 0  # of the file
        self._sealed: list[Sealed] = []
        if state.implied:
            self.pending.done.extend(state.implied)
            self.pending.settles.update(state.segments)

    @property
    def uncommitted_bytes(self) -> int:
        return self.pending.bytes + self._running_bytes + self.reserved_bytes

    def append(self, message: Message) -> None:
        self.pending.messages.append(message)
        self.pending.bytes += message.size

    def copy(self, copy: Copy) -> None:
        self.pending.copies.append(copy)
        self.pending.bytes += copy.message.size

    def settle(self, seq: int, chunk: Chunk, row: int) -> None:
        """Take a live entry out of the index and remember to say so on disk."""
        pending = self.pending
        pending.done.append(seq)
        pending.agains.pop(seq, None)
        self._state.keys.release(chunk.key[row])
        if chunk.note_segment is not None:
            self._move_note(chunk, row, 0, 0)
        index = self._index
        owner = index.owner(seq, chunk, row)
        segment = self._segments.get(owner[0].segment[owner[1]])
        if segment is not None:
            pending.settles.add(segment.number)
            if segment.also:
                pending.settles |= segment.also
        if index.drop_entry(chunk, row, owner):
            body = seq - chunk.delta[row]
            self._cache.drop(body)
            if segment is not None:
                segment.bodies -= 1
                segment.live_bytes -= owner[0].size[owner[1]]
            if body >> BITS != seq >> BITS:
                index.tidy(body >> BITS)
        if chunk.live <= chunk.fold_at and seq >> BITS != index.newest:
            index.tidy(seq >> BITS)

    def defer(self, settlement: Again, chunk: Chunk, row: int) -> None:
        """A live entry is due again. Its message is not wanted soon: no need to cache it."""
        owner = self._index.owner(settlement.seq, chunk, row)
        if owner[0].refs[owner[1]] == 1:
            self._cache.drop(settlement.seq - chunk.delta[row])
        agains = self.pending.agains
        if len(agains) >= AGAINS_MAX and settlement.seq not in agains:
            # The index has it; only a restart would find the entry due earlier than it should be.
            oldest = next(iter(agains))
            del agains[oldest]
            self._state.inflight.settled(oldest)
            self.agains_dropped += 1
        agains[settlement.seq] = settlement, False

    def deferring(self, seq: int) -> bool:
        """A deferral of ``seq`` is not on disk yet."""
        running = self._running
        return seq in self.pending.agains or (running is not None and seq in running.work.agains)

    def _move_note(self, chunk: Chunk, row: int, number: int, offset: int) -> None:
        old = self._segments.get(chunk.note(row)[0])
        if old is not None:
            old.agains -= 1
        chunk.set_note(row, number, offset)
        if number:
            self._segments[number].agains += 1

    # A group from its beginning to its end

    def begin(self, now: float) -> Batch | None:
        """While the disk is full an empty group is tried, to find out when it no longer is."""
        if self._running is not None or not (self.pending or self.full):
            return None
        state, segments = self._state, self._segments
        active = segments.active
        if active is not None and active.size >= state.config.segment_bytes:
            self.seal(active.size)
            active = None
        work, self.pending = self.pending, Pending()
        state.group += 1
        if active is None:
            number = segments.next_number
            segments.next_number += 1
            header = Header(number, state.next_seq, int(now), state.disk.token())
            offset = HEADER_BYTES
        else:
            header, offset = active.header, active.size
        batch = Batch(
            work,
            state.group,
            state.next_seq,
            state.disk,
            state.directory,
            state.path(header.number),
            header,
            self._file,
            offset,
            self._room,
            state.config.segment_bytes // ROOM_SHARE,
            self._sealed,
        )
        self._running, self._running_bytes = batch, work.bytes
        return batch

    def end(self, batch: Batch) -> CommitFailed | None:
        if batch is not self._running:
            raise ValueError("not the batch under way")
        self._running, self._running_bytes = None, 0
        if batch.created and batch.file is not None:
            segment = Segment(batch.header)
            self._segments[segment.number] = segment
            self._segments.active = segment
            self._file = batch.file
        self._room = batch.room
        self._sealed = list(batch.sealed)
        while len(self._sealed) > SEALED_MAX:
            self._sealed.pop(0).file.close()
        if batch.error is not None:
            self._fail(batch, batch.error)
            return CommitFailed(batch.error)
        self.full = False
        self.succeeded += 1
        segment = self._segments[batch.header.number]
        segment.size = batch.end
        work = batch.work
        for message in work.messages:
            self._place_message(message, segment)
        for copy in work.copies:
            self._place_copy(copy, segment)
        segment.settles.update(n for n in work.settles if n in self._segments)
        segment.done += len(work.done) + len(work.tombs)
        self._place_agains(batch, segment)
        settled = self._state.inflight.settled
        for seq in work.done:
            settled(seq)
        return None

    def _place_message(self, message: Message, segment: Segment) -> None:
        chunks, seqs = segment.chunks, message.seqs
        chunks.update(range(seqs[0] >> BITS, (seqs[-1] >> BITS) + 1))
        found = self._index.message(message.seq)
        refs = 0
        if found is not None:
            chunk, row = found
            refs = chunk.refs[row]
            chunk.segment[row] = segment.number
            chunk.offset[row] = message.offset
            segment.bodies += 1
            segment.live_bytes += message.size
        if refs < len(seqs):
            # Settled while it was written: the settlement comes with a later group.
            self.pending.settles.add(segment.number)

    def _place_copy(self, copy: Copy, segment: Segment) -> None:
        message = copy.message
        self._segments.note_copy(copy.source, segment.number)
        segment.chunks.update(seq >> BITS for seq in message.seqs)
        for seq, note in copy.notes.items():
            found = self._index.find(seq)
            if found is None:
                # Settled meanwhile: its settlement must outlive this copy as well.
                self.pending.settles.add(segment.number)
            elif note[0] and found[0].note(found[1]) == note:
                self._move_note(*found, 0, 0)
        owner = self._index.message(message.seq)
        if owner is None:
            return
        chunk, row = owner
        source = self._segments.get(copy.source)
        if source is not None:
            source.bodies -= 1
            source.live_bytes -= chunk.size[row]
        chunk.segment[row] = segment.number
        chunk.offset[row] = message.offset
        chunk.size[row] = message.size
        segment.bodies += 1
        segment.live_bytes += message.size

    def _place_agains(self, batch: Batch, segment: Segment) -> None:
        settled = self._state.inflight.settled
        entries = zip(batch.work.agains.values(), batch.again_offsets, strict=True)
        for (settlement, moved), offset in entries:
            seq = settlement.seq
            if not moved:
                settled(seq)
            found = self._index.find(seq)
            if found is not None:
                self._move_note(*found, segment.number, offset)

    def _fail(self, batch: Batch, error: OSError) -> None:
        """The messages of the group vanish, its settlements wait again, its segment is closed."""
        self.failed += 1
        if error.errno in NO_ROOM:
            self.full = True
        self.seal(max(batch.offset, HEADER_BYTES))
        work, pending = batch.work, self.pending
        for message in work.messages:
            self._vanish(message)
        if not batch.cut:
            self._disown(batch)
            segment = self._segments.get(batch.header.number)
            if segment is not None:
                # Copies may still be there to be read after a crash: settlements must outlive them.
                for copy in work.copies:
                    if copy.source in self._segments:
                        self._segments[copy.source].also.add(segment.number)
                        segment.chunks.update(seq >> BITS for seq in copy.message.seqs)
        pending.done.extend(work.done)
        pending.tombs.extend(work.tombs)
        pending.settles |= work.settles
        for seq, again in work.agains.items():
            if self._index.find(seq) is not None:
                pending.agains.setdefault(seq, again)

    def _disown(self, batch: Batch) -> None:
        """Its messages were refused, and may be there to be read after a crash: settled, they do
        not come back."""
        segment = self._segments.get(batch.header.number)
        if segment is not None and batch.size:
            for message in batch.work.messages:
                self.pending.done.extend(message.seqs)
                self.pending.settles.add(segment.number)
                segment.chunks.update(seq >> BITS for seq in message.seqs)

    def _vanish(self, message: Message) -> None:
        index = self._index
        self._cache.drop(message.seq)
        for seq in message.seqs:
            found = index.find(seq)
            if found is not None:
                self._state.keys.release(found[0].key[found[1]])
                index.drop_entry(*found, index.owner(seq, *found))
                self._state.inflight.unmark(seq)
                self.pending.agains.pop(seq, None)
        for number in {seq >> BITS for seq in message.seqs}:
            index.tidy(number)

    def seal(self, size: int) -> None:
        """Write no more to the active segment; the next group makes a new one, and gives back what
        the file has behind ``size`` before."""
        if self._file is not None:
            self._sealed.append(Sealed(self._file, size))
        self._file, self._room = None, 0
        self._segments.active = None

    def close(self) -> None:
        """Blocking where there is room to give back."""
        if self._segments.active is not None:
            self.seal(self._segments.active.size)
        for sealed in self._sealed:
            if not sealed.close():
                sealed.file.close()
        self._sealed.clear()
