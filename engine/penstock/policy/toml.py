"""TOML text as data that remembers where each value stands.

``tomllib`` gives the values and decides what is valid; it keeps no positions, so ``tree-sitter``
reads the same text for those (``toml_marks``). A broken statement does not hide the rest of the
file: it is reported, blanked out and the rest is read (``toml_recovery``), so that one run shows
every mistake. Lines never move, hence every line number is that of the file.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Any

from penstock.policy.problem import Path, Problem, in_order
from penstock.policy.toml_marks import Mark, find_marks
from penstock.policy.toml_recovery import recover

FILE_BYTES_MAX = 4 << 20


@dataclass(frozen=True, slots=True)
class Document:
    """``data`` is plain dicts, lists and scalars: all that could be read. ``marks`` leads from the
    path of a key, a table or an array element to its place. ``problems`` are the broken
    statements; where there are any, what they held is missing from ``data``."""

    file: str
    data: dict[str, Any]
    marks: dict[Path, Mark]
    problems: tuple[Problem, ...] = ()

    def mark(self, path: Path) -> Mark:
        """The place of ``path`` or of the nearest thing around it; line 0 for the whole file."""
        for end in range(len(path), 0, -1):
            found = self.marks.get(path[:end])
            if found is not None:
                return found
        return Mark(0, 0)

    def line(self, path: Path) -> int:
        return self.mark(path).line

    def maybe_lost(self, path: Path) -> bool:
        """Whether the key at ``path`` is missing and may be what a broken statement held: one that
        stands in the same table, with nothing of another table between."""
        if path in self.marks:
            return False
        table = path[:-1]
        start = self.line(table)
        for problem in self.problems:
            between = (key for key, mark in self.marks.items() if start < mark.line < problem.line)
            if problem.line >= start and all(key[: len(table)] == table for key in between):
                return True
        return False

    def problem(self, path: Path, message: str, hint: str = "") -> Problem:
        return Problem(self.file, self.line(path), path, message, hint)


def parse(text: str, file: str) -> Document:
    """Read ``text``; ``file`` is only its name. Never raises for what the text holds."""
    if len(text) > FILE_BYTES_MAX:
        return unreadable(file, f"the file is longer than {FILE_BYTES_MAX} characters")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return Document(file, {}, {}, (_not_utf8(file, text.count("\n", 0, error.start)),))
    problems: list[Problem] = []
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError):
        recovered = recover(text)
        text, data = recovered.text, recovered.data
        problems = [Problem(file, e.line, (), e.message, e.hint) for e in recovered.errors]
    return Document(file, data, find_marks(text, data), tuple(in_order(problems)))


def decode(content: bytes, file: str) -> str | Problem:
    """The text of a file's bytes: UTF-8, a byte order mark allowed."""
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        return _not_utf8(file, content.count(b"\n", 0, error.start))


def _not_utf8(file: str, lines_before: int) -> Problem:
    return Problem(file, lines_before + 1, (), "not UTF-8 text", "save the file as UTF-8")


def unreadable(file: str, reason: str) -> Document:
    """A document that could not be read at all, with its one problem."""
    return Document(file, {}, {}, (Problem(file, 0, (), reason),))
