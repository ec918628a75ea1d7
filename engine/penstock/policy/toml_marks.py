"""Where every key and array element of a TOML text stands, by tree-sitter.

The text was found valid by ``tomllib`` and its values are known; a place that leads to no value
there is dropped, so a difference between the two parsers costs a line number and nothing else.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any, NamedTuple

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

from penstock.policy.problem import Path

_LANGUAGE = Language(tree_sitter_toml.language())
_KEYS = frozenset({"bare_key", "quoted_key", "dotted_key"})


class Mark(NamedTuple):
    """Both count from 1, in characters; 0 where there is no place."""

    line: int
    column: int


def find_marks(text: str, data: dict[str, Any]) -> dict[Path, Mark]:
    """The places of all paths of ``data``, a table at its header."""
    content = text.encode("utf-8", "replace")
    walk = _Walk(content.split(b"\n"))
    walk.document(Parser(_LANGUAGE).parse(content).root_node)
    return {path: mark for path, mark in walk.marks.items() if _leads(path, data)}


def _leads(path: Path, data: Any) -> bool:
    for part in path:
        if isinstance(part, int):
            if not isinstance(data, list) or part >= len(data):
                return False
        elif not isinstance(data, dict) or part not in data:
            return False
        data = data[part]
    return True


class _Walk:
    """One pass over the tree. ``lengths`` counts the elements of arrays of tables so far, which is
    how a later ``[array.table]`` finds the element that it belongs to."""

    def __init__(self, lines: list[bytes]) -> None:
        self.marks: dict[Path, Mark] = {}
        self._lines = lines
        self._lengths: dict[Path, int] = {}

    def document(self, root: Node) -> None:
        for node in root.children:
            if node.type == "pair":
                self._value((), node)
            elif node.type in ("table", "table_array_element"):
                self._table(node)

    def _table(self, node: Node) -> None:
        header = next((child for child in node.children if child.type in _KEYS), None)
        if header is None:
            return
        *outer, (last, key) = _keys(header)
        path: Path = ()
        for name, part in outer:
            path = (*path, name)
            self.marks.setdefault(path, self._mark(part))
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
        path = (*path, last)
        if node.type == "table":
            self.marks[path] = self._mark(key)
        else:
            self.marks.setdefault(path, self._mark(key))
            length = self._lengths.get(path, 0)
            self._lengths[path] = length + 1
            path = (*path, length)
            self.marks[path] = self._mark(key)
        for child in node.children:
            if child.type == "pair":
                self._value(path, child)

    def _value(self, path: Path, pair: Node) -> None:
        """Mark what is under ``pair``, with a stack of its own: nesting is the writer's choice."""
        stack: list[tuple[Path, Node]] = [(path, pair)]
        while stack:
            at, node = stack.pop()
            if node.type == "array":
                for index, element in enumerate(_elements(node)):
                    self.marks[(*at, index)] = self._mark(element)
                    stack.append(((*at, index), element))
            elif node.type == "inline_table":
                stack.extend((at, child) for child in node.children if child.type == "pair")
            elif node.type == "pair":
                inner, value = self._pair(at, node)
                if value is not None:
                    stack.append((inner, value))

    def _pair(self, path: Path, node: Node) -> tuple[Path, Node | None]:
        key, *rest = node.named_children
        if key.type not in _KEYS:
            return path, None
        for name, part in _keys(key):
            path = (*path, name)
            self.marks.setdefault(path, self._mark(part))
        return path, next((child for child in reversed(rest) if child.type != "comment"), None)

    def _mark(self, node: Node) -> Mark:
        row, column = node.start_point
        before = self._lines[row][:column]
        return Mark(row + 1, len(before.decode("utf-8", "replace")) + 1)


def _elements(array: Node) -> Iterator[Node]:
    return (node for node in array.named_children if node.type not in ("comment", "ERROR"))


def _keys(node: Node) -> list[tuple[str, Node]]:
    """The parts of a key from left to right; the tree nests dotted keys to the left."""
    parts: list[tuple[str, Node]] = []
    while node.type == "dotted_key":
        left, *_, right = node.named_children
        parts.append((_name(right), right))
        node = left
    parts.append((_name(node), node))
    return parts[::-1]


def _name(node: Node) -> str:
    text = (node.text or b"").decode("utf-8", "replace")
    if node.type == "bare_key":
        return text
    try:
        return next(iter(tomllib.loads(f"{text} = 0")))
    except ValueError:
        return text
