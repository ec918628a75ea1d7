"""What a text must hold for an expression to match it: found once, when the rules are compiled.

An expression is a few *ways*, its alternatives. Each way has clauses, and a text that it matches
holds, for each clause, one of the clause's pieces: literal text without white space, hence inside
one word of the text. ``user (?:is )?unknown|no such (?:user|box) here`` is two ways: the first must
hold ``user`` and ``unknown``, the second ``such`` and ``here``. A way without a clause may match
anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from penstock.policy.patterns import parsed

Clause = frozenset[str]
CLAUSES_MAX = 2  # of a way; the most telling ones
PIECE_CHARS_MIN, PIECE_CHARS_MAX = 3, 16
_PIECES_MAX = 24
_REFERS = re.compile(r"\\[1-9]|\(\?P|\(\?\(|\(\?[a-zA-Z]+[):-]")
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
# In many replies whatever they mean: telling only where there is nothing better.
_COMMON = frozenset(
    {
        *("account", "address", "client", "domain", "email", "for"),
        *("from", "has", "have", "host", "mail", "mailbox"),
        *("message", "not", "recipient", "rejected", "sender", "sent"),
        *("server", "the", "this", "user", "with", "your"),
    }
)


class Way(NamedTuple):
    """One alternative: an expression of its own, and what a text must hold for it."""

    expression: str
    clauses: tuple[Clause, ...]


def ways(pattern: re.Pattern[str]) -> list[Way]:
    """All of them, at least one, with their most telling clauses."""
    return [Way(text, _telling(text)) for text in alternatives(pattern.pattern)]


def alternatives(text: str) -> list[str]:
    """The outermost alternatives of an expression. One whose parts refer to each other, or that
    begins with flags, is left whole."""
    if _REFERS.search(text):
        return [text]
    parts, start, depth, place = list[str](), 0, 0, 0
    while place < len(text):
        char = text[place]
        if char == "\\":
            place += 1
        elif char == "[":
            place = _end_of_class(text, place)
        elif char in "()":
            depth += 1 if char == "(" else -1
        elif char == "|" and not depth:
            parts.append(text[start:place])
            start = place + 1
        place += 1
    return [*parts, text[start:]]


def _end_of_class(text: str, place: int) -> int:
    """Where the ``]`` stands that ends the class which begins at ``place``."""
    place += 2 if text.startswith("[^", place) else 1
    if text.startswith("]", place):  # the first one is a character
        place += 1
    while place < len(text) and text[place] != "]":
        place += 2 if text[place] == "\\" else 1
    return place


def _telling(text: str) -> tuple[Clause, ...]:
    try:
        tree = parsed(re.compile(text))
        if re.compile(text).flags & re.IGNORECASE:
            return ()
        clauses = _clauses(tree)
    except (re.error, TypeError, ValueError, IndexError, RecursionError):
        return ()  # a syntax tree of a later Python: slower, and no less right
    return tuple(sorted(dict.fromkeys(clauses), key=_worth, reverse=True)[:CLAUSES_MAX])


def _worth(clause: Clause) -> float:
    """More for long pieces that are not common, less for many of them."""
    return min(map(_weight, clause)) - 0.3 * len(clause)


def _weight(piece: str) -> float:
    return 2.5 if piece in _COMMON else min(len(piece), 9)


def _clauses(tree: Iterable[tuple[str, Any]]) -> list[Clause]:
    walk = _Walk()
    walk.sequence(tree)
    walk.end()
    return walk.found


class _Walk:
    """Along one sequence. ``run`` is the literal text that stands together up to here."""

    def __init__(self) -> None:
        self.run = ""
        self.found: list[Clause] = []

    def sequence(self, tree: Iterable[tuple[str, Any]]) -> None:
        for op, argument in tree:
            if op == "LITERAL":
                self.run += chr(argument)
            elif op == "SUBPATTERN" and not argument[1] and not argument[2]:
                self.sequence(_named(argument[3]))
            elif op == "AT":
                continue  # a place takes no text
            elif op == "BRANCH":
                self._branch(argument[1])
            elif op in _REPEATS:
                low, _, inner = argument
                self.end()
                if low:
                    self.sequence(_named(inner))
                    self.end()
            else:
                self.end()

    def end(self) -> None:
        """What follows is not literal."""
        for piece in self.run.split():
            if len(piece) >= PIECE_CHARS_MIN:
                self.found.append(frozenset((piece[:PIECE_CHARS_MAX],)))
        self.run = ""

    def _branch(self, branches: Iterable[Any]) -> None:
        """One of several: a piece of each, if each has one."""
        self.end()
        each = [_clauses(_named(branch)) for branch in branches]
        if not all(each):
            return
        together = frozenset[str]().union(*(max(one, key=_worth) for one in each))
        if len(together) <= _PIECES_MAX:
            self.found.append(together)


def _named(tree: Any) -> list[tuple[str, Any]]:
    return [(str(op), argument) for op, argument in tree]
