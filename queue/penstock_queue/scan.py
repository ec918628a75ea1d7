"""Reading a segment from front to back, past damage.

Groups are the landmarks: a group is written only after the one before it is durable. So a bad
record with a good group after it is damage, and the reading resumes at that group; a bad record
with no group after it is the torn tail of a write that nobody was told of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeAlias

from penstock_queue.disk import File
from penstock_queue.record import (
    BODY,
    GROUP,
    GROUP_BYTES,
    GROUP_MAGIC,
    HEAD,
    HEAD_BYTES,
    PAD,
    SEED,
    crc_extend,
    split,
)

# What is looked at three times (copied, cut, checked) had better fit into the cache of a core.
WINDOW_BYTES: Final = 256 << 10

# A good record: type, offset, end (of its last byte, excluded), payload. A plain tuple, because
# there may be millions of them.
Found: TypeAlias = tuple[int, int, int, bytes]
# ``take(data, at, base)``, called where a body seems to begin: uses up as many good records as it
# likes from ``at`` on and returns where the next one begins, ``at`` itself for none. ``base`` is
# the offset of ``data`` in the file. What it leaves is looked at here.
Take: TypeAlias = Callable[[bytes, int, int], int]


class Damage(NamedTuple):
    """Bytes from ``offset`` up to ``end`` that are no records. ``tail``: nothing good follows.
    ``blank``: a tail of zeros only, as room that was made ahead is."""

    offset: int
    end: int
    tail: bool
    blank: bool = False


def scan(
    file: File,
    salt: int,
    start: int,
    size: int,
    window: int = WINDOW_BYTES,
    take: Take | None = None,
) -> Iterator[Found | Damage]:
    """Everything from ``start`` up to ``size``, in order, but for what ``take`` uses up. Memory:
    one window and one record."""
    base, data, at = start, b"", 0
    unpack, head_bytes = HEAD.unpack_from, HEAD_BYTES
    while base + at < size:
        available = len(data)
        if at + head_bytes <= available:
            length, kind, crc = unpack(data, at)
            end = at + head_bytes + length
            if end <= available:
                if take is not None and kind == BODY:
                    after = take(data, at, base)
                    if after != at:
                        at = after
                        continue
                payload = data[at + head_bytes : end]
                if GROUP <= kind <= PAD and crc_extend(SEED[kind], payload) ^ salt == crc:
                    yield (kind, base + at, base + end, payload)
                    at = end
                    continue
                wanted = 0
            else:
                wanted = end - at
        else:
            wanted = head_bytes
        left = size - base - at
        if 0 < wanted <= left:
            base, at = base + at, 0
            data = file.read(base, min(left, max(wanted, window)))
            if len(data) >= wanted:
                continue
        bad = base + at
        if is_blank(file, bad, size):
            yield Damage(bad, size, True, True)
            return
        resume = next_group(file, salt, bad + 1, size)
        yield Damage(bad, size if resume is None else resume, resume is None)
        if resume is None:
            return
        base, data, at = resume, b"", 0


def is_blank(file: File, start: int, size: int) -> bool:
    """Nothing but zeros from ``start`` up to ``size``."""
    for at in range(start, size, WINDOW_BYTES):
        data = file.read(at, min(size - at, WINDOW_BYTES))
        if data != bytes(len(data)):
            return False
    return True


def next_group(file: File, salt: int, start: int, size: int) -> int | None:
    """The offset of the first good group record from ``start`` on, or ``None``."""
    base = start
    while base < size:
        data = file.read(base, min(size - base, WINDOW_BYTES))
        hit = data.find(GROUP_MAGIC)
        while hit >= 0:
            offset = base + hit - HEAD_BYTES
            if offset >= start:
                found = split(file.read(offset, GROUP_BYTES), 0, salt)
                if found is not None and found[0] == GROUP:
                    return offset
            hit = data.find(GROUP_MAGIC, hit + 1)
        if base + len(data) >= size or len(data) < GROUP_BYTES:
            return None
        base += len(data) - GROUP_BYTES
    return None
