"""Bodies as the wire carries them: 7bit, quoted-printable or base64, the smallest that is safe.

Text goes out as 7bit only where no relay and no mailbox file can have a reason to touch it:
printable ASCII, short lines, none that begins with ``From `` or is a lone dot, none that ends in a
blank.
Quoted-printable is made line by line: three times as fast as ``binascii.b2a_qp``, which also lets
lines with a blank at their end grow over 76 characters.
"""

from __future__ import annotations

import re
from binascii import b2a_base64

BOUNDARY_START = b"=_"  # stands in no quoted-printable and no base64 text
LINE_CHARS = 76
_BASE64_BLOCK_BYTES = LINE_CHARS // 4 * 3 * 4096
_PLAIN = re.compile(rb"(?:(?!From |\.\r|--=_)[\t -~]{0,78}+(?<![ \t])\r\n)*+")
_NOT_PRINTABLE = re.compile(rb"[^\t\r\n -~]++")
_ASCII = bytes(range(128))
_PRINTABLE = b"\t\r\n" + bytes(range(32, 127))
_REPLACED_MAX = 24  # so many kinds of bytes are replaced one after the other, which is faster
_KEPT_LINES_MAX = 4096
_KEPT_LINE_CHARS_MAX = 1024
_EQUALS = ord("=")


class TextCoder:
    """Codes one body in many copies, most lines of which are the same in all: a line that was seen
    before is not coded again. Once quoted-printable was right, it is used for all that follow."""

    __slots__ = ("_lines", "_quoted")

    def __init__(self) -> None:
        self._lines: dict[str, bytes] = {}
        self._quoted = False

    def encode(self, text: str) -> tuple[bytes, bytes]:
        """As :func:`encode_text`."""
        if not self._quoted:
            encoding, body = encode_text(text)
            self._quoted = encoding == b"quoted-printable"
            return encoding, body
        lines = self._lines
        pieces = []
        for line in _unix(text).split("\n"):
            coded = lines.get(line)
            if coded is None:
                coded = quoted_printable(line.encode())
                if len(lines) < _KEPT_LINES_MAX and len(line) <= _KEPT_LINE_CHARS_MAX:
                    lines[line] = coded
            pieces.append(coded)
        return b"quoted-printable", b"\r\n".join(pieces)


def encode_text(text: str) -> tuple[bytes, bytes]:
    """The name of the transfer encoding and the body, which ends in CRLF.

    Line ends become CRLF, and one is added where the last is missing. Raises
    ``UnicodeEncodeError`` for lone surrogates.
    """
    data = _unix(text).replace("\n", "\r\n").encode()
    if data.isascii():
        if _PLAIN.fullmatch(data):
            return b"7bit", data
    else:
        high = len(data.translate(None, _ASCII))
        if 2 * high > len(data) * 3 // 8:
            return b"base64", b"".join(base64_lines(data))
    return b"quoted-printable", quoted_printable(data)


def _unix(text: str) -> str:
    """``text`` with LF line ends, also after the last line."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else text + "\n"


def quoted_printable(data: bytes) -> bytes:
    """Text whose line ends are all CRLF as quoted-printable (RFC 2045 6.7); lines stay lines."""
    data = data.replace(b"=", b"=3D")
    other = set(data.translate(None, _PRINTABLE))
    if len(other) <= _REPLACED_MAX:
        for byte in other:
            data = data.replace(b"%c" % byte, b"=%02X" % byte)
    else:
        data = _NOT_PRINTABLE.sub(_coded, data)
    pieces: list[bytes] = []
    for given in data.split(b"\r\n"):
        line = given
        if given.endswith((b" ", b"\t")):
            line = b"%b=%02X" % (given[:-1], given[-1])
        start, size = 0, len(line)
        while size - start > LINE_CHARS:
            end = start + LINE_CHARS - 1
            if line[end - 1] == _EQUALS:
                end -= 1
            elif line[end - 2] == _EQUALS:
                end -= 2
            pieces.append(line[start:end] + b"=")
            start = end
        pieces.append(line[start:] if start else line)
    if b"From " in data or b"." in pieces:
        pieces = [_guarded(piece) for piece in pieces]
    return b"\r\n".join(pieces)


def _coded(found: re.Match[bytes]) -> bytes:
    return b"=" + found[0].hex("=").upper().encode("ascii")


def _guarded(line: bytes) -> bytes:
    """A line that neither a mailbox file nor a careless relay takes for something else."""
    if line.startswith(b"From "):
        if len(line) <= LINE_CHARS - 2:
            return b"=46" + line[1:]
        return b"=46rom =\r\n" + _guarded(line[5:])
    return b"=2E" if line == b"." else line


def base64_lines(data: bytes) -> list[bytes]:
    """``data`` as base64 in lines of 76 characters, each ended by CRLF; in blocks to be joined."""
    blocks = []
    view = memoryview(data)
    for start in range(0, len(data), _BASE64_BLOCK_BYTES):
        coded = b2a_base64(view[start : start + _BASE64_BLOCK_BYTES], newline=False)
        lines = [coded[at : at + LINE_CHARS] for at in range(0, len(coded), LINE_CHARS)]
        lines.append(b"")
        blocks.append(b"\r\n".join(lines))
    return blocks
