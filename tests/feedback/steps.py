"""How many steps a search takes: a plain backtracking matcher over an expression's syntax tree.

``re`` tells nothing of its work, and a stopwatch tells of the machine. This one goes the same way
slowly and counts: each element that is tried at a place is a step. It knows what rules are made of.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from penstock.policy.patterns import parsed

Tree = list[tuple[str, Any]]
Then = Callable[[int], bool]
_SINGLE = ("LITERAL", "NOT_LITERAL", "ANY", "IN")
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT")


class Steps:
    """Counts over one text; ``taken`` is what :meth:`match` has cost since it was made."""

    def __init__(self, pattern: re.Pattern[str], text: str) -> None:
        self._tree = parsed(pattern)
        self._text = text
        self.taken = 0

    def match(self, start: int) -> bool:
        return self._from(self._tree, 0, start, lambda _: True)

    def _from(self, tree: Tree, index: int, at: int, then: Then) -> bool:
        while index < len(tree):
            op, argument = tree[index]
            self.taken += 1
            if op in _SINGLE:
                if not self._is(op, argument, at):
                    return False
                at += 1
            elif op == "AT":
                if not self._stands(str(argument), at):
                    return False
            else:
                rest = partial(self._from, tree, index + 1, then=then)
                return self._more(op, argument, at, rest)
            index += 1
        return then(at)

    def _more(self, op: str, argument: Any, at: int, then: Then) -> bool:
        if op == "SUBPATTERN":
            return self._from(_named(argument[3]), 0, at, then)
        if op == "BRANCH":
            return any(self._from(_named(one), 0, at, then) for one in argument[1])
        if op in _REPEATS:
            low, high, inner = argument
            return self._repeat(_named(inner), int(low), int(high), at, then)
        if op in ("ASSERT", "ASSERT_NOT"):
            start = at if argument[0] > 0 else max(at - _width(argument[1]), 0)
            found = self._from(_named(argument[1]), 0, start, lambda _: True)
            return found == (op == "ASSERT") and then(at)
        raise AssertionError(f"the counter does not know {op}")

    def _repeat(self, inner: Tree, low: int, high: int, at: int, then: Then) -> bool:
        if len(inner) == 1 and inner[0][0] in _SINGLE:
            many = 0
            while many < high and self._is(*inner[0], at + many):
                self.taken += 1
                many += 1
            return any(then(at + one) for one in range(many, low - 1, -1))

        def again(count: int, place: int) -> bool:
            deeper = count < high and self._from(
                inner, 0, place, lambda end: end > place and again(count + 1, end)
            )
            return deeper or (count >= low and then(place))

        return again(0, at)

    def _is(self, op: str, argument: Any, at: int) -> bool:
        if at >= len(self._text):
            return False
        char = self._text[at]
        if op == "LITERAL":
            return char == chr(argument)
        if op == "NOT_LITERAL":
            return char != chr(argument)
        return op == "ANY" or _within(char, argument)

    def _stands(self, where: str, at: int) -> bool:
        if where.startswith("AT_BEGINNING"):
            return at == 0
        if where.startswith("AT_END"):
            return at == len(self._text)
        before = at > 0 and _word(self._text[at - 1])
        after = at < len(self._text) and _word(self._text[at])
        return (before != after) == (where == "AT_BOUNDARY")


def _named(tree: Any) -> Tree:
    return [(str(op), argument) for op, argument in tree]


def _width(tree: Any) -> int:
    """Of what stands behind: literal text only."""
    return len(_named(tree))


def _word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _within(char: str, argument: Any) -> bool:
    wanted, found = True, False
    for op, value in _named(argument):
        if op == "NEGATE":
            wanted = False
        elif op == "LITERAL":
            found |= char == chr(value)
        elif op == "RANGE":
            found |= value[0] <= ord(char) <= value[1]
        else:
            found |= _of_kind(char, str(value))
    return found == wanted


def _of_kind(char: str, kind: str) -> bool:
    name = kind.removeprefix("CATEGORY_")
    known = {"DIGIT": char.isdigit(), "SPACE": char.isspace(), "WORD": _word(char)}
    return known[name] if name in known else not known[name.removeprefix("NOT_")]
