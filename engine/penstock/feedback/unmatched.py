"""Replies that no rule knows, counted by what they say: which rules to write next.

Bounded: of the texts the one unheard for longest makes room, and is counted as forgotten. Those
heard often are heard again soon, so they stay.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from penstock.mail.verdict import Category

TEXT_CHARS_MAX = 300


@dataclass(frozen=True, slots=True)
class Unmatched:
    """``reply``: with what differs from message to message masked; ``category``: what its codes
    say, for want of a rule."""

    provider: str
    reply: str
    category: str
    count: int


class UnmatchedReplies:
    """``texts_max``: how many are kept; ``forgot()`` is called for each that made room."""

    def __init__(self, texts_max: int = 1000, forgot: Callable[[], None] | None = None) -> None:
        self._max, self._forgot = texts_max, forgot
        self._counts: OrderedDict[tuple[str, str, str], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, provider: str, reply: str, category: Category) -> None:
        """One more; ``reply`` is masked already."""
        key = provider, reply[:TEXT_CHARS_MAX], category.value
        counts = self._counts
        counts[key] = counts.pop(key, 0) + 1
        if len(counts) > self._max:
            counts.popitem(last=False)
            if self._forgot is not None:
                self._forgot()

    def clear(self) -> None:
        """Other rules are in force: what they do not know is counted anew."""
        self._counts.clear()

    def rows(self) -> list[Unmatched]:
        return [Unmatched(*key, count) for key, count in self._counts.items()]
