"""Regular expressions as policy files hold them: made lower case once, and bounded in time.

Replies are searched in folded case, so an expression is folded too: that is faster than ignoring
case at every character, and the engine can then skip by first letters. What a stranger's reply
could make run for seconds is refused: repeats within repeats, and too many open-ended ones.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from functools import lru_cache
from re import _parser  # type: ignore[attr-defined]
from typing import Any

TEXT_CHARS_MAX = 1000  # of a normalised reply; what follows is not searched
_STEPS_MAX = 100_000_000  # a second or so, for a reply made for it
_ESCAPED = re.compile(r"\\.|[^\\]+", re.DOTALL)
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


@lru_cache(maxsize=4096)
def compiled(text: str) -> re.Pattern[str]:
    """``text`` for a search in folded text; ``ValueError`` says what is wrong with it."""
    try:
        with warnings.catch_warnings():  # of what another Python may read otherwise
            warnings.simplefilter("error")
            re.compile(text)
            return re.compile(folded(text))
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise ValueError(str(error)) from None


def folded(text: str) -> str:
    """``text`` in lower case, but for what follows a backslash: ``\\S`` is not ``\\s``."""
    parts = _ESCAPED.findall(text)
    return "".join(part if part[0] == "\\" else part.casefold() for part in parts)


def parsed(expression: str | re.Pattern[str]) -> list[tuple[str, Any]]:
    """The syntax tree of an expression: names of operations with their arguments."""
    return _plain(_parser.parse(getattr(expression, "pattern", expression)))


def risk(text: str) -> str:
    """Why a reply could make the search take too long; ``""`` where none can."""
    steps, nested = _cost(parsed(folded(text)), inside=False)
    if nested:
        return "a repeat within a repeat can take for ever; write the inner one with a fixed number"
    if steps * TEXT_CHARS_MAX > _STEPS_MAX:
        return 'too many open repeats: a reply could hold it up; bound them, like ".{0,60}"'
    return ""


def _plain(tree: Iterable[Any]) -> list[tuple[str, Any]]:
    return [(str(op), argument) for op, argument in tree]


def _cost(tree: list[tuple[str, Any]], inside: bool) -> tuple[int, bool]:
    """How many ways there are at most to go through ``tree``, and whether repeats are nested."""
    steps, nested = 1, False
    for op, argument in tree:
        if op in _REPEATS:
            low, high, inner = argument
            width = min(int(high), TEXT_CHARS_MAX) - int(low) + 1
            open_ended = width > 2
            within, deep = _cost(_plain(inner), inside or open_ended)
            nested |= deep or (inside and open_ended)
            steps *= within * (width if open_ended else 1)
        elif op == "BRANCH":
            found = [_cost(_plain(branch), inside) for branch in argument[1]]
            # those that are plain text hardly fit where another does
            steps *= 1 + sum(one - 1 for one, _ in found)
            nested |= any(deep for _, deep in found)
        else:
            for part in _inner(op, argument):
                within, deep = _cost(_plain(part), inside)
                steps, nested = steps * within, nested or deep
    return steps, nested


def _inner(op: str, argument: Any) -> list[Any]:
    """The parts of an operation that are expressions themselves."""
    if op == "SUBPATTERN":
        return [argument[3]]
    if op in ("ASSERT", "ASSERT_NOT"):
        return [argument[1]]
    if op == "ATOMIC_GROUP":
        return [argument]
    return []
