"""Records: the only thing a segment holds after its header.

A record is ``length u32, type u8, crc u32, payload`` (little-endian); ``length`` counts the
payload. The CRC32C covers type and payload and is then XORed with the salt of its segment, so
that neither stale blocks of another file nor bytes inside a message body can pass for a record.
``queue/FORMAT.md`` describes every payload.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import google_crc32c
import msgpack

GROUP: Final = 1
BODY: Final = 2
ENTRIES: Final = 3
SETTLE: Final = 4
PAD: Final = 5

DONE: Final = 0
AGAIN: Final = 1

HEAD: Final = struct.Struct("<IBI")
HEAD_BYTES: Final = HEAD.size
BODY_PREFIX: Final = struct.Struct("<I")
GROUP_PAYLOAD: Final = struct.Struct("<8sQQ")
GROUP_MAGIC: Final = b"PSQgroup"
GROUP_BYTES: Final = HEAD_BYTES + GROUP_PAYLOAD.size
# Each group ends at a multiple of this, so that the next may be written past the page cache.
ALIGN: Final = 4096
_ZEROS: Final = bytes(ALIGN + HEAD_BYTES)

crc_extend = google_crc32c.extend
# CRC32C of each type byte: the value that a payload's CRC goes on from.
SEED: Final[tuple[int, ...]] = tuple(google_crc32c.value(bytes([kind])) for kind in range(6))

_pack = msgpack.Packer(autoreset=True).pack
_unpack = msgpack.unpackb


class Row(NamedTuple):
    """One entry as a record of entries holds it."""

    key: bytes
    due: float
    expires: float
    meta: bytes
    attempts: int = 0
    note: bytes = b""


class Entries(NamedTuple):
    """``seqs`` are the entries' numbers; ``body`` is the number of the message's first entry."""

    body: int
    created: int
    seqs: Sequence[int]
    rows: Sequence[Sequence[Any]]


class Again(NamedTuple):
    """A deferral: due again at ``due``, after ``attempts`` attempts."""

    seq: int
    due: float
    attempts: int
    note: bytes


class Message:
    """A message ready to be written: its two payloads with their CRCs, bodies not copied.

    ``size`` is what both records take on disk; ``offset`` is set when they are laid out.
    """

    __slots__ = ("body", "body_crc", "body_length", "head", "offset", "rows", "rows_crc", "seq",
                 "seqs", "size")  # fmt: skip

    def __init__(
        self,
        seq: int,
        meta: bytes,
        body: Sequence[bytes],
        created: int,
        rows: Sequence[Sequence[Any]],
        seqs: Sequence[int],
        *,
        sparse: bool = False,
    ) -> None:
        self.seq = seq
        self.seqs = seqs
        head = _pack((seq, meta))
        self.head = head = BODY_PREFIX.pack(len(head)) + head
        crc = crc_extend(SEED[BODY], head)
        length = len(head)
        for part in body:
            crc = crc_extend(crc, part)
            length += len(part)
        self.body = body
        self.body_crc = crc
        self.body_length = length
        offsets = struct.pack(f"<{len(seqs)}I", *(s - seq for s in seqs)) if sparse else b""
        self.rows = entries = _pack((seq, created, rows, offsets))
        self.rows_crc = crc_extend(SEED[ENTRIES], entries)
        self.size = 2 * HEAD_BYTES + length + len(entries)
        self.offset = 0


def chunks_of(body: Sequence[bytes]) -> list[bytes]:
    """``body`` as a list of ``bytes``; many small pieces become one, other buffers are copied."""
    if len(body) == 1 and type(body[0]) is bytes:
        return [body[0]]
    if len(body) > 64:
        return [b"".join(body)]
    return [part if type(part) is bytes else bytes(part) for part in body]


def record(kind: int, payload: bytes, salt: int) -> bytes:
    return HEAD.pack(len(payload), kind, crc_extend(SEED[kind], payload) ^ salt) + payload


def group(number: int, next_seq: int, salt: int) -> bytes:
    return record(GROUP, GROUP_PAYLOAD.pack(GROUP_MAGIC, number, next_seq), salt)


def done(seqs: Sequence[int], salt: int) -> bytes:
    return record(SETTLE, _pack((DONE, struct.pack(f"<{len(seqs)}Q", *seqs))), salt)


def again(settlement: Again, salt: int) -> bytes:
    return record(SETTLE, _pack((AGAIN, *settlement)), salt)


def padding(end: int, salt: int) -> bytes:
    """What leads from ``end``, where records end, to a multiple of ``ALIGN``; empty at one."""
    missing = -end % ALIGN
    if 0 < missing < HEAD_BYTES:
        missing += ALIGN
    return record(PAD, _ZEROS[: missing - HEAD_BYTES], salt) if missing else b""


def read_entries(payload: bytes) -> Entries:
    body, created, rows, offsets = _unpack(payload, use_list=False)
    if not offsets:
        seqs = (body,) if len(rows) == 1 else range(body, body + len(rows))
        return Entries(body, created, seqs, rows)
    deltas = struct.unpack(f"<{len(offsets) // 4}I", offsets)
    return Entries(body, created, [body + delta for delta in deltas], rows)


def read_settle(payload: bytes) -> Again | tuple[int, ...]:
    """A deferral, or the numbers of entries that are done."""
    fields = _unpack(payload, use_list=False)
    if fields[0] == AGAIN:
        return Again(*fields[1:5])
    packed = fields[1]
    return struct.unpack(f"<{len(packed) // 8}Q", packed)


def read_body(payload: bytes) -> tuple[int, bytes, int]:
    """``(number, meta, offset of the raw body within the payload)``."""
    (length,) = BODY_PREFIX.unpack_from(payload)
    start = BODY_PREFIX.size
    seq, meta = _unpack(payload[start : start + length], use_list=False)
    return seq, meta, start + length


def split(data: bytes, at: int, salt: int) -> tuple[int, bytes] | None:
    """``(type, payload)`` of the whole record at ``at``, or ``None`` where there is none."""
    if at + HEAD_BYTES > len(data):
        return None
    length, kind, crc = HEAD.unpack_from(data, at)
    start = at + HEAD_BYTES
    if not GROUP <= kind <= PAD or start + length > len(data):
        return None
    payload = data[start : start + length]
    if crc_extend(SEED[kind], payload) ^ salt != crc:
        return None
    return kind, payload
