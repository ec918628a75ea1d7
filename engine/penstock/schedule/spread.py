"""A weighted choice that is the same for a message every time it is asked for.

A message must keep its source when it is tried again (a greylisting peer knows it by address), and
a million queued messages have no room for a note of it. So the choice is a function of the
message's number: multiples of the golden ratio, cut to their fraction, fill the interval from 0 to
1 more evenly than chance would (Weyl; Knuth, volume 3, 6.4), and each choice owns a stretch of
it as long as its weight. Of any run of numbers, also of every second or tenth one, each choice gets
its share to within a few.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import accumulate

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_SECOND = 0xD1B54A32D192ED03  # for those whose first choice cannot be had: another even sequence
_THIRD = 0xAEF17502108EF2D9  # and one more, for a part of a choice


def fraction(number: int) -> float:
    """From 0 to 1, always the same for ``number``, spread evenly and apart from all choices."""
    return (number * _THIRD & _MASK) / 2.0**64


class Spread:
    """``weights``: integers of at least 1, one a choice."""

    __slots__ = ("_edges", "_weights", "total")

    def __init__(self, weights: Sequence[int]) -> None:
        self._weights = tuple(weights)
        self._edges = list(accumulate(self._weights))
        self.total = self._edges[-1] if self._edges else 0

    def __len__(self) -> int:
        return len(self._weights)

    def weight(self, choice: int) -> int:
        return self._weights[choice]

    def pick(self, number: int) -> int:
        """Which choice ``number`` gets; there must be one."""
        spot = (number * _GOLDEN & _MASK) * self.total >> 64
        return bisect_right(self._edges, spot)

    def pick_among(
        self, number: int, usable: Collection[int], rather: Collection[int] = ()
    ) -> int | None:
        """The same, of those that are ``usable``: only who would have got another moves, and those
        are spread over the rest by weight, or over those of it that are ``rather`` to take them;
        ``None`` where none is usable."""
        if not usable:
            return None
        first = self.pick(number)
        if first in usable:
            return first
        left = sorted(rather or usable)
        edges = list(accumulate(self._weights[one] for one in left))
        spot = (number * _SECOND & _MASK) * edges[-1] >> 64
        return left[bisect_right(edges, spot)]
