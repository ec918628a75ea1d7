"""Message content as it must be before it is stored: lines ended by CRLF, no NUL, bounded.

A bare CR or LF is how one message is smuggled inside another: two systems that disagree on what
ends a line disagree on where DATA ends. So it is refused by default, and where it is accepted it is
turned into CRLF before anything else looks at the content. The check works on the whole content in
a few bulk passes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from penstock.smtp.reply import Reply

CRLF: Final = b"\r\n"
# Bounds what ``split`` may allocate at a time; far above any permitted line.
_BLOCK: Final = 64 << 10
_ANY_NEWLINE = re.compile(rb"\r\n|\r|\n")

BARE_NEWLINE: Final = Reply.of(550, "5.6.11 Bare carriage return or line feed in message")
HAS_NUL: Final = Reply.of(550, "5.6.0 Message contains NUL")
LONG_LINE: Final = Reply.of(550, "5.6.0 Message has a line over the length limit")
TOO_BIG: Final = Reply.of(552, "5.3.4 Message size exceeds fixed maximum message size")


@dataclass(frozen=True, slots=True)
class ContentRules:
    """``line_bytes_max`` counts the CRLF (RFC 5321 4.5.3.1.6: 1000) and stays under 64 KiB."""

    size_bytes_max: int = 32 << 20
    line_bytes_max: int = 1000
    bare_newlines: Literal["refuse", "accept"] = "refuse"

    def __post_init__(self) -> None:
        if self.size_bytes_max <= 0:
            raise ValueError("size_bytes_max must be positive")
        if not 2 < self.line_bytes_max < _BLOCK:
            raise ValueError("line_bytes_max must be between 3 and 65535")


def normalise(content: bytes) -> bytes:
    """Every CR, LF and CRLF made a CRLF."""
    ends = content.count(CRLF)
    if content.count(b"\r") == ends == content.count(b"\n"):
        return content
    return _ANY_NEWLINE.sub(CRLF, content)


def check(content: bytes, rules: ContentRules) -> bytes | Reply:
    """``content`` as it may be stored, or why it may not: dots are unstuffed, and newlines made
    normal where the rules say so."""
    if len(content) > rules.size_bytes_max:
        return TOO_BIG
    if b"\0" in content:
        return HAS_NUL
    if _has_bare_newline(content):
        return BARE_NEWLINE
    return LONG_LINE if _has_long_line(content, rules.line_bytes_max) else content


def _has_bare_newline(content: bytes) -> bool:
    """Splitting and joining is the cheapest way to ask: what is left of CRLFs has no newline."""
    start, total = 0, len(content)
    while start < total:
        stop = total
        if total - start > _BLOCK:
            stop = content.rfind(CRLF, start, start + _BLOCK) + 2
            if stop < start + 2:  # no CRLF in all of the block; do not part one either
                stop = start + _BLOCK - (content[start + _BLOCK - 1] == 13)
        block = content if stop - start == total else content[start:stop]
        text = b"".join(block.split(CRLF))
        if b"\n" in text or b"\r" in text:
            return True
        start = stop
    return False


def _has_long_line(content: bytes, line_bytes_max: int) -> bool:
    """Whether a line, its CRLF included, is longer than that. Goes from line start to the last line
    start within its reach, so that a look takes in a dozen lines."""
    start, total = 0, len(content)
    while start < total:
        end = content.rfind(b"\n", start, start + line_bytes_max)
        if end < 0:
            return total - start > line_bytes_max - 2
        start = end + 1
    return False
