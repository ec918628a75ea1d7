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
from typing import Any

from penstock.policy.patterns import parsed

Clause = frozenset[str]
CLAUSES_MAX = 2  # of a way; the most telling ones
PIECE_CHARS_MIN, PIECE_CHARS_MAX = 3, 16
_PIECES_MAX = 24
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


def ways(pattern: re.Pattern[str]) -> list[tuple[Clause, ...]]:
    """The clauses of each way, the most telling ones; at least one way."""
    if pattern.flags & re.IGNORECASE:
        return [()]
    try:
        return [_telling(_clauses(tree)) for tree in _alternatives(parsed(pattern))]
    except (TypeError, ValueError, IndexError, RecursionError):
        return [()]  # a syntax tree of a later Python: slower, and no less right


def _alternatives(tree: list[tuple[str, Any]]) -> list[list[tuple[str, Any]]]:
    """The outermost alternatives, with what the parser has taken out of all of them in front."""
    if tree:
        op, argument = tree[-1]
        front = tree[:-1]
        if op == "BRANCH" and all(one in ("LITERAL", "AT") for one, _ in front):
            return [front + _named(branch) for branch in argument[1]]
        if op == "SUBPATTERN" and not front and not argument[1] and not argument[2]:
            return _alternatives(_named(argument[3]))
    return [tree]


def _telling(clauses: Iterable[Clause]) -> tuple[Clause, ...]:
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
