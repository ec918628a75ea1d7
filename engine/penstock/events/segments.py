"""The files of an event log: what they are called, how one is packed, where things are in it.

A segment is written as plain lines, ``00000001.ndjson``. Once it gets no more lines it is packed:
each quarter of a megabyte of lines becomes a zstd frame of its own, so that reading can begin at
any of them, and a last frame, which decompressors skip, says where the others begin and what is in
them. ``zstdcat`` reads such a file as if it were one piece. Offsets are always those of the plain
lines: a reader that stopped somewhere goes on there, whatever became of the file meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator
from struct import Struct
from struct import error as StructError
from typing import NamedTuple

import msgspec
import zstandard

from penstock.events.stamps import seconds_of
from penstock.mail.envelope import id_number
from penstock_queue.disk import Disk, File

FRAME_BYTES = 256 << 10
LEVEL = 1
ACCEPTED = b'{"type":"accepted",'
_NAME = re.compile(r"(\d{8,12})\.ndjson(\.zst)?")
_SKIPPED = 0x184D2A5E  # RFC 8878 section 3.1.2: a frame that decompressors pass over
_LEAD = Struct("<II")
_TAIL = Struct("<I8s")
_MARK = b"EVENTS-1"


class Frame(NamedTuple):
    """``offset`` of its first byte among the plain lines, ``stored`` of the frame in the file.
    ``at``: seconds since the epoch of its first event; ``ref``: that of the first message that an
    event in it says was accepted, -1 where there is none."""

    offset: int
    stored: int
    at: float
    ref: int


class Index(msgspec.Struct, frozen=True):
    """Of a packed segment. ``size``: bytes of its plain lines; ``last``: time of its last event."""

    size: int
    last: float
    frames: list[Frame]


class _When(msgspec.Struct):
    at: str


class _Which(msgspec.Struct):
    message: str


_when = msgspec.json.Decoder(_When).decode
_which = msgspec.json.Decoder(_Which).decode
_index = msgspec.json.Decoder(Index).decode


def plain_name(number: int) -> str:
    return f"{number:08d}.ndjson"


def packed_name(number: int) -> str:
    return f"{number:08d}.ndjson.zst"


def listed(names: list[str]) -> dict[int, bool]:
    """The segments among ``names``, by number in order; whether each is packed. One that is there
    twice is packed: its plain file was about to be deleted."""
    found: dict[int, bool] = {}
    for name in names:
        matched = _NAME.fullmatch(name)
        if matched:
            number = int(matched[1])
            found[number] = bool(matched[2]) or found.get(number, False)
    return dict(sorted(found.items()))


def time_of(line: bytes, otherwise: float = 0.0) -> float:
    """When the event in ``line`` was; ``otherwise`` for what is no event."""
    try:
        return seconds_of(_when(line).at)
    except (msgspec.MsgspecError, ValueError):
        return otherwise


def ref_of(line: bytes) -> int:
    """The ref of an accepted message; -1 for what is no such event."""
    try:
        return id_number(_which(line).message)
    except (msgspec.MsgspecError, ValueError):
        return -1


def accepted_lines(block: bytes) -> Iterator[int]:
    """Where in ``block``, which begins with a line, those stand that say what was accepted."""
    if block.startswith(ACCEPTED):
        yield 0
    at = block.find(b"\n" + ACCEPTED)
    while at >= 0:
        yield at + 1
        at = block.find(b"\n" + ACCEPTED, at + 1)


def line_at(block: bytes, start: int) -> bytes:
    end = block.find(b"\n", start)
    return block[start:] if end < 0 else block[start:end]


def described(block: bytes, offset: int, stored: int, before: float) -> Frame:
    """``block`` as a frame; ``before``: when the events before it were."""
    first = next(accepted_lines(block), None)
    ref = -1 if first is None else ref_of(line_at(block, first))
    return Frame(offset, stored, time_of(line_at(block, 0), before), ref)


def blocks(file: File, offset: int, *, whole: bool) -> Iterator[tuple[int, bytes]]:
    """Pieces of whole lines from ``offset`` on, of about ``FRAME_BYTES``. ``whole``: the last one
    may be smaller, and may end in the middle of a line: the file gets no more."""
    while True:
        wanted = FRAME_BYTES
        while True:
            data = file.read(offset, wanted)
            end = data.rfind(b"\n") + 1
            if end or len(data) < wanted:
                break
            wanted *= 2  # one line is longer than that
        if len(data) < wanted:
            if whole and data:
                yield offset, data
            return
        yield offset, data[:end]
        offset += end


def pack(disk: Disk, directory: str, number: int, go_on: Callable[[], bool]) -> Index | None:
    """Replace a plain segment by its packed form; ``None`` where ``go_on()`` said no before the
    end, and nothing was changed. Raises ``OSError``, and nothing was changed then either."""
    plain = os.path.join(directory, plain_name(number))
    packed = os.path.join(directory, packed_name(number))
    part = f"{packed}.part"
    with contextlib.suppress(FileNotFoundError):
        disk.delete(part)  # of an earlier attempt
    source, target = disk.open(plain), disk.create(part)
    try:
        index = _copy(source, target, go_on)
        if index is not None:
            target.sync()
    finally:
        source.close()
        target.close()
    if index is None:
        disk.delete(part)
        return None
    disk.rename(part, packed)
    disk.sync_directory(directory)
    disk.delete(plain)
    return index


def _copy(source: File, target: File, go_on: Callable[[], bool]) -> Index | None:
    compressor = zstandard.ZstdCompressor(level=LEVEL)
    frames: list[Frame] = []
    at, size, last = 0, 0, 0.0
    for offset, block in blocks(source, 0, whole=True):
        if not go_on():
            return None
        frame = described(block, offset, at, last)
        data = compressor.compress(block)
        target.write([data], at)
        frames.append(frame)
        at, size = at + len(data), offset + len(block)
        last = time_of(line_at(block, block.rfind(b"\n", 0, len(block) - 1) + 1), frame.at)
    index = Index(size, last, frames)
    said = msgspec.json.encode(index)
    tail = _TAIL.pack(len(said), _MARK)
    target.write([_LEAD.pack(_SKIPPED, len(said) + len(tail)), said, tail], at)
    return index


def read_index(file: File) -> Index:
    """Of a packed segment; raises ``OSError`` where it has none."""
    size = file.size()
    tail = file.read(max(0, size - _TAIL.size), _TAIL.size)
    try:
        length, mark = _TAIL.unpack(tail)
        if mark != _MARK:
            raise ValueError("no index")
        return _index(file.read(size - _TAIL.size - length, length))
    except (ValueError, msgspec.MsgspecError, StructError) as error:
        raise OSError(errno.EIO, f"a packed segment of events is damaged: {error}") from None


def read_frame(file: File, index: Index, number: int) -> bytes:
    """The lines of a frame; raises ``OSError`` where they cannot be read."""
    begin = index.frames[number].stored
    following = number + 1
    if following < len(index.frames):
        end = index.frames[following].stored
    else:
        length, _ = _TAIL.unpack(file.read(file.size() - _TAIL.size, _TAIL.size))
        end = file.size() - _TAIL.size - length - _LEAD.size
    try:
        return zstandard.ZstdDecompressor().decompress(file.read(begin, end - begin))
    except zstandard.ZstdError as error:
        raise OSError(errno.EIO, f"a packed segment of events is damaged: {error}") from None
