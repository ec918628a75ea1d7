"""The time and the id of an event.

Both are made for every event, so both are cheap: the text of a second is made once and kept, and an
id is a number behind what names this run of this writer for good.
"""

from __future__ import annotations

import time
from datetime import datetime

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_MILLISECONDS = [f".{number:03d}Z" for number in range(1000)]
_RUN_TIME_CHARS = 7  # of seconds since the epoch: until the year 3058
_RUN_LUCK_CHARS = 8


class Stamps:
    """``text(now)``: seconds since the epoch as RFC 3339 in UTC, with milliseconds."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def text(self, now: float) -> str:
        second, millisecond = divmod(int(now * 1000), 1000)
        if second != self._second:
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return self._text + _MILLISECONDS[millisecond]


def seconds_of(text: str) -> float:
    """The inverse of :meth:`Stamps.text`; raises ``ValueError`` for anything else."""
    return datetime.fromisoformat(text).timestamp()


def run_name(now: float, luck: bytes) -> str:
    """What the ids of one run of a writer begin with: when it began, and 40 bits of chance, so that
    no other run has it, here or on another machine. ``luck``: at least 5 bytes."""
    number = int(now) << 8 * 5 | int.from_bytes(luck[:5], "big")
    chars = _RUN_TIME_CHARS + _RUN_LUCK_CHARS
    return "".join(_DIGITS[number >> 5 * place & 31] for place in range(chars - 1, -1, -1))
