"""One SMTP reply, as a value shared by both roles.

A reply is a three-digit code and one or more lines of text (RFC 5321 section 4.2); the text may
open with an enhanced status code (RFC 3463, RFC 2034). Providers repeat that code on every line, so
``text`` is normalised: lines joined by one space, enhanced codes stripped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_ENHANCED = re.compile(r"^([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")


@dataclass(frozen=True, slots=True)
class Reply:
    """``code`` 200-599; ``lines``: the text of each line, code and separator removed."""

    code: int
    lines: tuple[str, ...] = ("",)

    @classmethod
    def of(cls, code: int, text: str) -> Reply:
        """A one-line reply: ``Reply.of(452, "4.3.1 Insufficient system storage")``."""
        return cls(code, (text,))

    @property
    def enhanced(self) -> str:
        """The enhanced status code of the first line, or ``""``."""
        return _enhanced(self.lines[0])

    @property
    def text(self) -> str:
        return " ".join(_ENHANCED.sub("", line) for line in self.lines).strip()

    @property
    def positive(self) -> bool:
        return 200 <= self.code < 400

    @property
    def transient(self) -> bool:
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        return self.code >= 500

    def __str__(self) -> str:
        return f"{self.code} {' '.join(self.lines)}".strip()

    def wire(self) -> bytes:
        """The bytes to send, each line ended by CRLF."""
        last = len(self.lines) - 1
        return b"".join(
            f"{self.code}{' ' if i == last else '-'}{line}\r\n".encode("utf-8", "replace")
            for i, line in enumerate(self.lines)
        )


@lru_cache(maxsize=256)  # the same few lines come over and over
def _enhanced(line: str) -> str:
    found = _ENHANCED.match(line)
    return found.group(1) if found else ""
