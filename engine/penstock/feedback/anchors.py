"""What a text must hold for an expression to match it: found once, when the rules are compiled.

An anchor is a piece of literal text. It *starts a word* where the expression itself says that no
letter or digit stands before it, and such anchors are all found in one pass over a reply
(``gate``). Every match of an expression holds at least one of its anchors; one for which none can
be told is always tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from penstock.policy.patterns import parsed

CHARS_MIN, CHARS_MAX = 3, 14
WORD = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


class Anchor(NamedTuple):
    text: str
    starts_word: bool


def anchors(pattern: re.Pattern[str]) -> frozenset[Anchor]:
    """Of which one at least is in every text that ``pattern`` matches; none: nobody knows."""
    if pattern.flags & re.IGNORECASE:
        return frozenset()
    try:
        walk = _Walk()
        walk.sequence(parsed(pattern))
        return walk.best()
    except (TypeError, ValueError, IndexError, RecursionError):
        return frozenset()  # a syntax tree of a later Python: slower, and no less right


class _Walk:
    """One sequence of an expression. ``run`` is the literal text up to here; ``clean``: whether
    what stands before ``run`` is no letter or digit."""

    def __init__(self, clean: bool = False) -> None:
        self.run, self.clean = "", clean
        self.found: list[frozenset[Anchor]] = []

    def sequence(self, tree: Iterable[tuple[str, Any]]) -> None:
        for op, argument in tree:
            if op == "LITERAL":
                self.run += chr(argument)
            elif op == "SUBPATTERN" and not argument[1] and not argument[2]:
                self.sequence(_named(argument[3]))
            elif op == "AT":
                self._at(str(argument))
            elif op == "BRANCH":
                self._branch(argument[1])
            elif op in _REPEATS:
                self._repeat(*argument)
            else:
                self._end(clean=_no_word(op, argument))

    def best(self) -> frozenset[Anchor]:
        self._end(clean=False)
        return max(self.found, key=_worth, default=frozenset())

    def _end(self, clean: bool) -> None:
        """What follows is not literal; ``clean``: and is neither letter nor digit."""
        if self.run:
            piece = _piece(self.run, self.clean)
            if piece is not None:
                self.found.append(frozenset((piece,)))
        self.run, self.clean = "", clean

    def _at(self, where: str) -> None:
        """A place takes no text. In front of a literal it may say that a word starts there."""
        if not self.run and (where == "AT_BOUNDARY" or where.startswith("AT_BEGINNING")):
            self.clean = True

    def _repeat(self, low: int, high: int, inner: Any) -> None:
        tree = _named(inner)
        clean = int(low) > 0 and len(tree) == 1 and _no_word(*tree[0])
        if low and not clean:
            self.sequence(tree)
        self._end(clean=clean)

    def _branch(self, branches: Iterable[Any]) -> None:
        """One of several: each must have an anchor. What stands before leads into each."""
        before, clean = self.run, self.clean
        self._end(clean=False)
        together: set[Anchor] = set()
        for branch in branches:
            walk = _Walk(clean)
            walk.run = before
            walk.sequence(_named(branch))
            best = walk.best()
            if not best:
                return
            together |= best
        self.found.append(frozenset(together))


def _named(tree: Any) -> list[tuple[str, Any]]:
    return [(str(op), argument) for op, argument in tree]


def _no_word(op: str, argument: Any) -> bool:
    """Whether this one character can be neither letter nor digit."""
    if op == "LITERAL":
        return chr(argument) not in WORD
    if op == "CATEGORY":
        return str(argument) in ("CATEGORY_SPACE", "CATEGORY_NOT_WORD")
    if op == "IN":
        return all(_no_word(str(inner), value) for inner, value in argument)
    return False


def _piece(run: str, clean: bool) -> Anchor | None:
    """The most telling part of a literal text."""
    starts = [
        i
        for i, char in enumerate(run)
        if char in WORD and (run[i - 1] not in WORD if i else clean) and len(run) - i >= CHARS_MIN
    ]
    if starts:
        # the longest up to what is worth looking at; of equals the last, which is rarer
        start = max(starts, key=lambda i: (min(len(run) - i, CHARS_MAX), i))
        return Anchor(run[start : start + CHARS_MAX], True)
    return Anchor(run[:CHARS_MAX], False) if len(run) >= CHARS_MIN else None


def _worth(anchors: frozenset[Anchor]) -> tuple[int, int]:
    loose = sum(not one.starts_word for one in anchors)
    return -loose, min(len(one.text) for one in anchors) * 4 - len(anchors)
