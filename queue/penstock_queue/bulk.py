"""Many plain messages at once, for a start that has millions of them to read.

Nearly all of a log is one thing over and over: a body and behind it its entries, one entry, not
known yet. This takes as many of those as a window holds in one loop over local names, without an
object for each; every other record, and everything that is not good, is left to ``scan`` and
``Replay.record``. Both check the same: no byte counts whose CRC was not verified.
"""

from __future__ import annotations

from math import ceil
from typing import Final

import google_crc32c
import msgpack

from penstock_queue.chunk import BITS, LIVE, MASK, NEVER, Chunk
from penstock_queue.chunk import BODY as HAS_BODY
from penstock_queue.index import TICK_MAX, TICKS_PER_S
from penstock_queue.record import BODY, ENTRIES, HEAD, HEAD_BYTES, SEED
from penstock_queue.segment import Segment
from penstock_queue.state import State

_ALONE: Final = HAS_BODY | LIVE
# How the head of a body begins: two fields, the first a number of eight bytes.
_HEAD_MARK: Final = b"\x92\xcf"
# The offsets of a copy with one entry, which is the first of its message.
_FIRST: Final = bytes(4)


def take_plain(state: State, segment: Segment, data: bytes, at: int, base: int) -> int:
    """See ``scan.Take``. Applies what it takes to the index and to ``segment``."""
    chunks, load, salt, first = state.index.chunks, state.keys.load, segment.salt, at
    up, head_bytes, ticks_per_s, tick_max, alone = ceil, HEAD_BYTES, TICKS_PER_S, TICK_MAX, _ALONE
    number, epoch, available = segment.number, state.index.epoch, len(data)
    unpack, unpack_fields, crc_extend = HEAD.unpack_from, msgpack.unpackb, google_crc32c.extend
    body_seed, entries_seed = SEED[BODY], SEED[ENTRIES]
    current, top, chunk, taken = -1, -1, Chunk.__new__(Chunk), 0
    while at + head_bytes <= available:
        length, kind, body_crc = unpack(data, at)
        middle = at + head_bytes + length
        if kind != BODY or middle + head_bytes > available:
            break
        length, kind, crc = unpack(data, middle)
        start = middle + head_bytes
        end = start + length
        if kind != ENTRIES or end > available:
            break
        payload = data[start:end]
        if crc_extend(entries_seed, payload) ^ salt != crc:
            break
        seq, made, rows, offsets = unpack_fields(payload, use_list=False)
        if len(rows) != 1 or (offsets and offsets != _FIRST):
            break
        if not data.startswith(_HEAD_MARK + seq.to_bytes(8, "big"), at + head_bytes + 4):
            break  # the entries of another message, or a number of another length
        if seq >> BITS != current:
            current = seq >> BITS
            chunk = chunks.get(current) or chunks.setdefault(current, Chunk())
            segment.chunks.add(current)
            flags, attempts, delta, keys = chunk.state, chunk.attempts, chunk.delta, chunk.key
            dues, expiries, segments = chunk.due, chunk.expires, chunk.segment
            places, sizes, refs, created = chunk.offset, chunk.size, chunk.refs, chunk.created
        slot = seq & MASK
        if flags[slot] or crc_extend(body_seed, data[at + head_bytes : middle]) ^ salt != body_crc:
            break
        row = rows[0]
        due, expires = row[1], row[2]
        flags[slot] = alone
        attempts[slot] = row[4] if len(row) > 4 else 0
        delta[slot] = 0
        keys[slot] = load(row[0])
        due = up((due - epoch) * ticks_per_s)
        dues[slot] = 0 if due < 0 else due if due < tick_max else tick_max
        expires = up(expires) if expires > 0 else 0
        expiries[slot] = expires if expires < NEVER else NEVER - 1
        segments[slot] = number
        places[slot] = base + at
        sizes[slot] = end - at
        refs[slot] = 1
        created[slot] = made
        chunk.live += 1
        chunk.bodies += 1
        taken += 1
        if seq > top:
            top = seq
        at = end
    state.index.live += taken
    state.index.bodies += taken
    segment.bodies += taken
    segment.live_bytes += at - first
    state.next_seq = max(state.next_seq, top + 1)
    return at
