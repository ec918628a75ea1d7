"""Incremental readers of message bytes: DATA (RFC 5321 4.5.2) and BDAT (RFC 3030).

The end of DATA is CR LF ``.`` CR LF and nothing else, whatever looks like it. Chunks are searched
as they come, in bulk; lines do not exist here. A message that breaks a rule is read to its end
first and refused then, since a client does not listen before; what is over the size limit is
dropped as it comes.

Both readers have the same face: ``feed(data, pos)`` takes what belongs to the message and returns
the offset behind it, ``done`` says that it is complete, ``held`` how many bytes are kept in memory,
``result()`` is the content or the refusal, ``dotted`` whether a line of that content may begin with
a dot: where none does, nobody need look for one again when it is sent on.
"""

from __future__ import annotations

import re
from typing import Final

from penstock.smtp.content import CRLF, TOO_BIG, ContentRules, check, normalise
from penstock.smtp.reply import Reply

END: Final = b"\r\n.\r\n"
_DOT: Final = b"\r\n."
_BDAT = re.compile(rb"BDAT +([0-9]{1,18})( +LAST)? *\r\n", re.IGNORECASE)

BDAT_SYNTAX: Final = Reply.of(501, "5.5.4 Syntax: BDAT size [LAST]")


class DataReader:
    """One message sent with DATA; ``size`` counts its bytes on the wire."""

    __slots__ = ("_content", "_refusal", "_rules", "_stuffed", "_tail", "_wire_max", "done", "size")

    def __init__(self, rules: ContentRules) -> None:
        self.done = False
        self.size = 0
        self._rules = rules
        # Dot-stuffing adds at most one byte to three; the exact limit is checked at the end.
        self._wire_max = rules.size_bytes_max * 4 // 3 + len(END)
        self._content = bytearray()  # not a list: a byte a packet must cost a byte
        self._tail = CRLF  # up to four bytes of what came before; DATA itself ends a line
        self._stuffed = False
        self._refusal: Reply | None = None

    @property
    def held(self) -> int:
        return 0 if self._refusal is not None else self.size

    @property
    def dotted(self) -> bool:
        return self._stuffed or self._rules.bare_newlines == "accept"

    def feed(self, data: bytes, pos: int = 0) -> int:
        """Take from ``data[pos:]``; the offset behind what belongs to this message."""
        tail = self._tail
        seam = tail + data[pos : pos + 4]
        at = seam.find(_DOT)
        stop = -1
        if at >= 0:
            self._stuffed = True  # maybe only the end marker: then unstuffing finds nothing
            at = seam.find(END)
            if at >= 0:
                stop = pos + at + len(END) - len(tail)
        if stop < 0:
            at = data.find(END if self._stuffed else _DOT, pos)
            if at >= 0 and not self._stuffed and data[at + 3 : at + 5] != CRLF:
                self._stuffed = True
                at = data.find(END, at)
            stop = at + len(END) if at >= 0 else len(data)
        self.done = at >= 0
        piece = data if pos == 0 and stop == len(data) else data[pos:stop]
        self._tail = piece[-4:] if len(piece) >= 4 else (tail + piece)[-4:]
        self.size += len(piece)
        if self.size > self._wire_max:
            self.refuse(TOO_BIG)
        elif self._refusal is None:
            self._content += piece
        return stop

    def refuse(self, reply: Reply) -> None:
        """Keep nothing more of this message; ``reply`` will be its result."""
        if self._refusal is None:
            self._refusal = reply
            self._content = bytearray()

    def result(self) -> bytes | Reply:
        """Once ``done``: the content without stuffing and end marker, or why it is refused."""
        if self._refusal is not None:
            return self._refusal
        with memoryview(self._content) as view:
            content = bytes(view[:-3])
        lenient = self._rules.bare_newlines == "accept"
        if lenient:  # who takes LF for a line end has put dots after it too
            content = normalise(content)
        if self._stuffed or lenient:
            if content[:1] == b".":
                content = content[1:]
            content = content.replace(_DOT, CRLF)
        return check(content, self._rules)


class ChunkReader:
    """One message sent with BDAT: any number of ``begin`` and ``feed`` until ``last``.

    ``size`` counts the bytes of the message so far, ``chunk`` those of the current chunk.
    """

    __slots__ = ("_content", "_left", "_refusal", "_rules", "chunk", "last", "size")

    def __init__(self, rules: ContentRules) -> None:
        self.size = 0
        self.chunk = 0
        self.last = False
        self._left = 0
        self._rules = rules
        self._content = bytearray()
        self._refusal: Reply | None = None

    dotted = True  # nobody has looked

    @property
    def done(self) -> bool:
        """The current chunk is complete."""
        return self._left == 0

    @property
    def held(self) -> int:
        return 0 if self._refusal is not None else self.size - self._left

    @property
    def refusal(self) -> Reply | None:
        return self._refusal

    def begin(self, size: int, last: bool) -> None:
        self.chunk = self._left = size
        self.last = last
        self.size += size
        if self.size > self._rules.size_bytes_max:
            self.refuse(TOO_BIG)

    def feed(self, data: bytes, pos: int = 0) -> int:
        """Take from ``data[pos:]``; the offset behind what belongs to this chunk."""
        stop = min(len(data), pos + self._left)
        self._left -= stop - pos
        if self._refusal is None:
            self._content += data[pos:stop]
        return stop

    def refuse(self, reply: Reply) -> None:
        """Keep nothing more of this message; ``reply`` will be its result."""
        if self._refusal is None:
            self._refusal = reply
            self._content = bytearray()

    def result(self) -> bytes | Reply:
        """Once ``done`` and ``last``. A missing CRLF at the very end is put there."""
        if self._refusal is not None:
            return self._refusal
        if self._content and not self._content.endswith(CRLF):
            self._content += CRLF
        content = bytes(self._content)
        if self._rules.bare_newlines == "accept":
            content = normalise(content)
        return check(content, self._rules)


def parse_bdat(line: bytes) -> tuple[int, bool] | Reply:
    """Size and LAST of a BDAT command, ``line`` with its CRLF."""
    found = _BDAT.fullmatch(line)
    return BDAT_SYNTAX if found is None else (int(found[1]), found[2] is not None)
