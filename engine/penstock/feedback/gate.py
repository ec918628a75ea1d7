"""One pass over a reply that tells which of many expressions can match it at all.

The anchors that start words become one expression, a tree of their letters that is entered at each
word of the text; the few others are looked up as they are. What comes back is a set of bits, one
for each expression, and only those are tried: their number hardly grows with that of the rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.feedback.anchors import anchors

_Tree = dict[str, Any]
_END = ""


class Gate:
    """Of the expressions in order; bit ``i`` is for the one at ``i``."""

    __slots__ = ("_always", "_inner", "_words", "_words_of")

    def __init__(self, patterns: Sequence[re.Pattern[str]]) -> None:
        starts: dict[str, int] = {}
        inner: dict[str, int] = {}
        self._always = 0
        for number, pattern in enumerate(patterns):
            found = anchors(pattern)
            for anchor in found:
                kind = starts if anchor.starts_word else inner
                kind[anchor.text] = kind.get(anchor.text, 0) | 1 << number
            if not found:
                self._always |= 1 << number
        self._inner = tuple(inner.items())
        self._words = {text: _with_prefixes(text, starts) for text in starts}
        tree = _tree(starts)
        expression = f"[^a-z0-9](?=({_written(tree)}))" if starts else r"(?!)()"
        self._words_of = re.compile(expression).findall

    def __call__(self, text: str) -> int:
        """The bits of all that may match ``text``, which is folded."""
        bits = self._always
        words = self._words
        for word in self._words_of(" " + text):
            bits |= words[word]
        for part, which in self._inner:
            if part in text:
                bits |= which
        return bits


def _with_prefixes(text: str, starts: Mapping[str, int]) -> int:
    """The tree finds the longest; what begins like it is there as well."""
    bits = 0
    for end in range(1, len(text) + 1):
        bits |= starts.get(text[:end], 0)
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
    ways = []
    for char, below in sorted(tree.items()):
        if char != _END:
            ways.append(re.escape(char) + _written(below))
    if not ways:
        return ""
    one = ways[0] if len(ways) == 1 and _END not in tree else f"(?:{'|'.join(ways)})"
    return f"{one}?" if _END in tree else one
