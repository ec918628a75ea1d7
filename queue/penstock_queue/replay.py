"""Applying records to an empty index, in the order of the log.

The body of a message is checked, but never looked into. Plain messages, the bulk of every log, go
by ``take`` (see ``bulk``); everything else comes as a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from math import ceil
from typing import Any

from penstock_queue.bulk import take_plain
from penstock_queue.chunk import BITS, BODY, FOLD_AT, LIVE, MASK, NEVER, Chunk
from penstock_queue.record import BODY as BODY_RECORD
from penstock_queue.record import (
    ENTRIES,
    GROUP,
    GROUP_PAYLOAD,
    SETTLE,
    Again,
    Entries,
    read_body,
    read_entries,
    read_settle,
)
from penstock_queue.scan import Found
from penstock_queue.segment import Segment
from penstock_queue.state import State


class Replay:
    """``orphans``: entries found without their message in front of them. ``implied``: entries that
    were settled, as a copy without them shows, but whose settlement did not reach the disk."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._index = state.index
        self._segments = state.segments
        self._intern = state.keys.load
        self._body_at = self._body = -1
        self._body_end = -1
        self.group_at = 0  # where the last group of the segment at hand begins
        self.orphans = 0
        self.implied: set[int] = set()

    def start(self, segment: Segment) -> None:
        self._segment = segment
        self._number = segment.number
        self._body_end = -1
        self.group_at = segment.size
        self._state.next_seq = max(self._state.next_seq, segment.header.next_seq)

    def take(self, data: bytes, at: int, base: int) -> int:
        """See ``scan.Take``."""
        return take_plain(self._state, self._segment, data, at, base)

    def record(self, found: Found) -> None:
        kind = found[0]
        if kind == BODY_RECORD:
            self._body_at, self._body_end = found[1], found[2]
            self._body = read_body(found[3])[0]
        elif kind == ENTRIES:
            entries = read_entries(found[3])
            if self._body_end == found[1] and self._body == entries.body:
                self._message(entries, self._body_at, found[2])
            else:
                self.orphans += len(entries.rows)
        elif kind == SETTLE:
            settlement = read_settle(found[3])
            if isinstance(settlement, Again):
                self._again(settlement, found[1])
            else:
                self._segment.done += len(settlement)
                for seq in settlement:
                    self._done(seq)
        elif kind == GROUP:
            self.group_at = found[1]
            _, group, next_seq = GROUP_PAYLOAD.unpack(found[3])
            self._state.group = max(self._state.group, group)
            self._state.next_seq = max(self._state.next_seq, next_seq)

    def _message(self, entries: Entries, offset: int, end: int) -> None:
        body, created, seqs, rows = entries
        index = self._index
        chunk = index.chunks.get(body >> BITS)
        if chunk is None:
            chunk = index.chunks[body >> BITS] = Chunk()
        at = body & MASK
        size = end - offset
        segment = self._segment
        if chunk.state[at] & BODY:
            # Recorded again by compaction: the older copy is dead from here on.
            old = self._segments.get(chunk.segment[at])
            if old is not None and old is not segment:
                self._segments.note_copy(old.number, segment.number)
            if old is not None:
                old.bodies -= 1
                old.live_bytes -= chunk.size[at]
        else:
            chunk.state[at] |= BODY
            chunk.bodies += 1
            chunk.refs[at] = 0
            index.bodies += 1
        chunk.segment[at] = self._number
        chunk.offset[at] = offset
        chunk.size[at] = size
        chunk.created[at] = created
        segment.bodies += 1
        segment.live_bytes += size
        fresh = 0
        for seq, row in zip(seqs, rows, strict=True):
            fresh += self._entry(seq, body, row)
        chunk.refs[at] += fresh
        if chunk.refs[at] > len(seqs):
            self._imply(body, seqs, chunk.refs[at] - len(seqs))
        self._state.next_seq = max(self._state.next_seq, seqs[-1] + 1)

    def _imply(self, body: int, kept: Sequence[int], missing: int) -> None:
        """A copy holds every live entry of its message. ``missing`` others are still known: they
        were settled before the copy was made."""
        seq, known = body, set(kept)
        while missing:
            found = self._index.find(seq)
            if found is not None and seq - found[0].delta[found[1]] == body and seq not in known:
                self._done(seq)
                self.implied.add(seq)
                missing -= 1
            seq += 1

    def _entry(self, seq: int, body: int, row: Sequence[Any]) -> int:
        """1 for an entry that was not known before."""
        index = self._index
        number = seq >> BITS
        chunk = index.chunks.get(number)
        if chunk is None:
            chunk = index.chunks[number] = Chunk()
        at = seq & MASK
        self._segment.chunks.add(number)
        due, expires = row[1], row[2]
        chunk.due[at] = index.tick(due) if due > 0 else 0
        if len(row) > 4:
            chunk.attempts[at] = row[4]
            if chunk.note_segment is not None:
                self._set_note(chunk, at, 0, 0)
        if chunk.state[at] & LIVE:
            return 0
        chunk.state[at] |= LIVE
        chunk.delta[at] = seq - body
        chunk.live += 1
        index.live += 1
        chunk.expires[at] = min(ceil(expires), NEVER - 1) if expires > 0 else 0
        key = self._intern(row[0])
        chunk.key[at] = key
        return 1

    def _set_note(self, chunk: Chunk, row: int, number: int, offset: int) -> None:
        old = self._segments.get(chunk.note(row)[0])
        if old is not None:
            old.agains -= 1
        chunk.set_note(row, number, offset)
        if number:
            self._segment.agains += 1

    def _again(self, settlement: Again, offset: int) -> None:
        found = self._index.find(settlement.seq)
        if found is None:
            return
        chunk, row = found
        chunk.due[row] = self._index.tick(settlement.due)
        chunk.attempts[row] = settlement.attempts
        self._set_note(chunk, row, self._number, offset)

    def _done(self, seq: int) -> None:
        found = self._index.find(seq)
        if found is None:
            self.implied.discard(seq)
            return
        chunk, row = found
        self._set_note(chunk, row, 0, 0)
        # The row may be filled again, by a copy in a damaged log: then it starts from nothing.
        chunk.attempts[row] = 0
        owner = self._index.owner(seq, chunk, row)
        last = self._index.drop_entry(chunk, row, owner)
        segment = self._segments.get(owner[0].segment[owner[1]])
        if segment is not None:
            self._segment.settles |= self._segments.holders(segment.number)
            if last:
                segment.bodies -= 1
                segment.live_bytes -= owner[0].size[owner[1]]

    def finish(self) -> None:
        """Free what is empty, fold what is sparse, count the keys, put the expiries in order."""
        index = self._index
        for number, full in list(index.chunks.items()):
            if not full.live and not full.bodies:
                del index.chunks[number]
                continue
            chunk = full.folded() if full.live <= FOLD_AT else full
            index.chunks[number] = chunk
            alive = chunk.alive()
            self._state.keys.count(compress(chunk.key, alive))
            earliest = min(filter(None, compress(chunk.expires, alive)), default=NEVER)
            chunk.expires_min = earliest
            if earliest != NEVER:
                index.expiries.push(earliest, number)
        index.newest = self._state.next_seq >> BITS
