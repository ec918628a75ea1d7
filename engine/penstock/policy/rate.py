"""A rate as people write it, ``"100/min"`` or ``"100/min burst 20"``, as a value.

A rate is a count in a period and a burst: how many may pass at once after a quiet time. Without a
burst given it is one second's worth, at least one, so that a minute's allowance is spread over the
minute and not spent in its first second. ``ByteRate`` counts bytes, ``"5 MiB/s"``.
The arithmetic of obeying a rate is in ``schedule``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Self

from penstock.policy.units import parse_size, size_text

RATE_PATTERN = (
    r"\s*(?P<count>\d[\d_]{0,14})\s*/\s*(?P<number>\d{1,6})?\s*(?P<unit>[a-zA-Z]+)"
    r"(?:\s+burst\s+(?P<burst>\d[\d_]{0,14}))?\s*"
)
BYTE_RATE_PATTERN = (
    r"\s*(?P<count>\d[\d_]{0,14}(?:\.\d{1,6})?\s*[a-zA-Z]*)\s*/\s*(?P<number>\d{1,6})?\s*"
    r"(?P<unit>[a-zA-Z]+)(?:\s+burst\s+(?P<burst>\d[\d_]{0,14}(?:\.\d{1,6})?\s*[a-zA-Z]*))?\s*"
)
_PERIOD_S = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "m": 60.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
}
_CANONICAL = ((86400.0, "day"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
UNITS = "s, min, h, day"
COUNT_MAX = 10**12


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` in every ``period_s`` seconds, ``burst`` of them at once; all at least 1."""

    counts_bytes: ClassVar[bool] = False

    count: int
    period_s: float
    burst: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """``text`` is ``COUNT/[N]UNIT [burst B]``; ``ValueError`` says what is wrong with it."""
        found = re.fullmatch(RATE_PATTERN, text)
        if found is None:
            raise ValueError(f'not a rate: {text!r}; write "100/min" or "100/min burst 20"')
        return cls._of(found, int)

    @classmethod
    def _of(cls, found: re.Match[str], number_of: Callable[[str], int]) -> Self:
        unit = _PERIOD_S.get(found["unit"].lower())
        if unit is None:
            raise ValueError(f"unknown unit {found['unit']!r} in the rate; units: {UNITS}")
        count = number_of(found["count"])
        number = int(found["number"] or 1)
        if count == 0:
            raise ValueError("a rate of 0 would never send; suspend the queue instead")
        if number == 0:
            raise ValueError("a rate needs a period longer than 0")
        if count > COUNT_MAX:
            raise ValueError(f"a rate counts to {COUNT_MAX} at most")
        period_s = unit * number
        if found["burst"] is None:
            return cls(count, period_s, default_burst(count, period_s))
        burst = number_of(found["burst"])
        if burst == 0:
            raise ValueError("a burst of 0 would never send; the least is 1")
        if burst > COUNT_MAX:
            raise ValueError(f"a burst counts to {COUNT_MAX} at most")
        return cls(count, period_s, burst)

    @property
    def per_s(self) -> float:
        return self.count / self.period_s

    def __str__(self) -> str:
        """The shortest text that parses to this rate again (whole seconds)."""
        size, unit = next(
            ((size, unit) for size, unit in _CANONICAL if self.period_s % size == 0), (1.0, "s")
        )
        number = int(self.period_s // size)
        text = f"{self._number(self.count)}/{'' if number == 1 else number}{unit}"
        if self.burst != default_burst(self.count, self.period_s):
            text += f" burst {self._number(self.burst)}"
        return text

    def _number(self, count: int) -> str:
        return str(count)


@dataclass(frozen=True, slots=True)
class ByteRate(Rate):
    """A rate that counts bytes; never equal to one that counts messages. What a message weighs is
    known only when it was taken, and charged then."""

    counts_bytes: ClassVar[bool] = True

    @classmethod
    def parse(cls, text: str) -> Self:
        """``text`` is ``SIZE/[N]UNIT [burst SIZE]``, the sizes like ``5 MiB``."""
        found = re.fullmatch(BYTE_RATE_PATTERN, text)
        if found is None:
            raise ValueError(
                f'not a rate of bytes: {text!r}; write "5 MiB/s" or "5 MiB/s burst 20 MiB"'
            )
        return cls._of(found, parse_size)

    def _number(self, count: int) -> str:
        return size_text(count)


def default_burst(count: int, period_s: float) -> int:
    """One second's worth, at least 1."""
    return max(1, int(count / period_s))
