"""One pass over a reply that tells which of many expressions can match it at all.

Each way of each expression (``anchors``) has a bit, and asks for a piece of text or two. Which of
these are in a word is found by one expression, a tree of their letters, and remembered: replies
are made of few words. Digits count as one there, or ids and addresses would be new words each time.
So a reply costs a look-up for each of its words, however many rules there are, and only the ways
whose pieces are all there are tried.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from penstock.feedback.anchors import CLAUSES_MAX, ways

WORDS_MAX = 4096  # remembered; all are forgotten at once when it is full
_REMEMBERED_CHARS_MAX = 40
_DIGITS = str.maketrans("123456789", "0" * 9)
_Tree = dict[str, Any]
_Search = Callable[[str], re.Match[str] | None]
_END = ""


class Gate:
    """Of the expressions in order; :meth:`mask` gives the bits of some of them."""

    __slots__ = ("_always", "_find", "_known", "_owner", "_pieces", "_searches", "_shift", "_ways")

    def __init__(self, patterns: Sequence[re.Pattern[str]]) -> None:
        found = [(number, way) for number, one in enumerate(patterns) for way in ways(one)]
        self._owner = [number for number, _ in found]  # by bit: the number of its expression
        self._ways = [way.expression for _, way in found]
        self._searches: list[_Search | None] = [None] * len(found)
        self._shift = len(found)
        self._always = 0
        pieces: dict[str, int] = {}
        for bit, (_, way) in enumerate(found):
            for place in range(CLAUSES_MAX):
                mine = 1 << bit + place * self._shift
                if place >= len(way.clauses):
                    self._always |= mine
                for piece in way.clauses[place] if place < len(way.clauses) else ():
                    plain = piece.translate(_DIGITS)
                    pieces[plain] = pieces.get(plain, 0) | mine
        self._pieces = {text: _with_prefixes(text, pieces) for text in pieces}
        self._find = re.compile(f"(?=({_written(_tree(pieces))}))" if pieces else "(?!)()").findall
        self._known: dict[str, int] = {}

    @property
    def words(self) -> int:
        """How many are remembered."""
        return len(self._known)

    def mask(self, numbers: range) -> int:
        """The bits of the expressions at ``numbers``."""
        return sum(1 << bit for bit, number in enumerate(self._owner) if number in numbers)

    def matches(self, text: str, mask: int) -> Iterator[int]:
        """The numbers of the expressions within ``mask`` that match ``text``, in order. Whoever
        stops early has paid for no more."""
        bits, last = self.candidates(text, mask), -1
        while bits:
            lowest = bits & -bits
            bit = lowest.bit_length() - 1
            number = self._owner[bit]
            if number != last and (self._searches[bit] or self._compile(bit))(text):
                last = number
                yield number
            bits ^= lowest

    def candidates(self, text: str, mask: int) -> int:
        """The bits within ``mask`` of what may match ``text``."""
        bits = self._always
        known = self._known
        for word in text.split():
            found = known.get(word)
            bits |= self._look(word) if found is None else found
        return bits & bits >> self._shift & mask

    def _compile(self, bit: int) -> _Search:
        """Most ways are never met, so none is compiled before."""
        search = self._searches[bit] = re.compile(self._ways[bit]).search
        return search

    def _look(self, word: str) -> int:
        """For a word that is not known as it stands: it has digits, or is new."""
        plain = word.translate(_DIGITS)
        bits = self._known.get(plain)
        if bits is None:
            bits = 0
            for piece in self._find(plain):
                bits |= self._pieces[piece]
            if len(plain) <= _REMEMBERED_CHARS_MAX:
                if len(self._known) >= WORDS_MAX:
                    self._known.clear()
                self._known[plain] = bits
        return bits


def _with_prefixes(text: str, pieces: Mapping[str, int]) -> int:
    """The tree finds the longest; what begins like it is there as well."""
    bits = 0
    for end in range(1, len(text) + 1):
        bits |= pieces.get(text[:end], 0)
    return bits


def _tree(words: Mapping[str, int]) -> _Tree:
    root: _Tree = {}
    for word in words:
        at = root
        for char in word:
            at = at.setdefault(char, {})
        at[_END] = {}
    return root


def _written(tree: _Tree) -> str:
    """The tree as an expression, the longest way first."""
    ends = [re.escape(char) + _written(below) for char, below in tree.items() if char != _END]
    if not ends:
        return ""
    one = ends[0] if len(ends) == 1 and _END not in tree else f"(?:{'|'.join(sorted(ends))})"
    return f"{one}?" if _END in tree else one
