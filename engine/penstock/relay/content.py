"""Message content in the form that DATA takes: dot-stuffed, ended by CRLF (RFC 5321 section 4.5.2).

Content is cut into chunks wherever its owner liked, so a line may begin with the first byte of a
chunk. Large content goes through in slices: no second copy of a whole message ever exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

SLICE_BYTES = 64 << 10


def stuffed(chunks: Sequence[bytes], dotted: bool = True) -> bytes:
    """The whole content at once, without the final dot; for what is small. ``dotted``: a line may
    begin with a dot."""
    content = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    if dotted:
        if b"\n." in content:
            content = content.replace(b"\n.", b"\n..")
        if content.startswith(b"."):
            content = b"." + content
    return content if content.endswith(b"\r\n") or not content else content + _end(content[-1:])


def stuffed_slices(chunks: Iterable[bytes], slice_bytes: int = SLICE_BYTES) -> Iterator[bytes]:
    """The same bytes as :func:`stuffed`, in pieces of about ``slice_bytes``."""
    last = b"\n"
    for piece in _sliced(chunks, slice_bytes):
        out = piece.replace(b"\n.", b"\n..")
        if last[-1:] == b"\n" and piece.startswith(b"."):
            out = b"." + out
        yield out
        last = piece if len(piece) > 1 else last[-1:] + piece
    if last != b"\n" and not last.endswith(b"\r\n"):
        yield _end(last[-1:])


def _sliced(chunks: Iterable[bytes], slice_bytes: int) -> Iterator[bytes]:
    for chunk in chunks:
        if len(chunk) <= slice_bytes:
            if chunk:
                yield chunk
        else:
            view = memoryview(chunk)
            for start in range(0, len(chunk), slice_bytes):
                yield bytes(view[start : start + slice_bytes])


def _end(last: bytes) -> bytes:
    return b"\n" if last == b"\r" else b"\r\n"
