"""Every key and array element of a TOML text knows its line, whatever the way it is written."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.policy.problem import Path
from penstock.policy.toml import FILE_BYTES_MAX, decode, parse


def test_places_of_keys_tables_and_elements() -> None:
    document = parse(
        "# a comment\n"
        "top = 1\n"
        'a.b."c d" = [1, "x", [2,\n'
        "  3]]  # across lines\n"
        "inline = { x = 1, y = { z = 2 } }\n"
        "[table.inner]\n"
        "k = 1979-05-27\n"
        "[[list]]\n"
        "n = 1\n"
        "[list.sub]\n"
        "q = true\n"
        "[[list]]\n"
        "  n = 2\n"
        "[[list.deep]]\n"
        "m = 0.5\n"
        "[table]\n",
        "file.toml",
    )
    assert not document.problems
    lines = {
        ("top",): (2, 1),
        ("a",): (3, 1),
        ("a", "b", "c d"): (3, 5),
        ("a", "b", "c d", 0): (3, 14),
        ("a", "b", "c d", 2, 1): (4, 3),
        ("inline", "y", "z"): (5, 25),
        ("table",): (16, 2),
        ("table", "inner", "k"): (7, 1),
        ("list",): (8, 3),
        ("list", 0, "n"): (9, 1),
        ("list", 0, "sub", "q"): (11, 1),
        ("list", 1): (12, 3),
        ("list", 1, "n"): (13, 3),
        ("list", 1, "deep", 0, "m"): (15, 1),
    }
    assert {path: tuple(document.mark(path)) for path in lines} == lines


def test_what_has_no_place_of_its_own_is_where_its_table_is() -> None:
    document = parse("[a]\nb = 1\n", "file.toml")
    assert document.line(("a", "missing")) == 1
    assert document.line(("nothing",)) == 0


def test_columns_count_characters() -> None:
    document = parse('k = ["é€😀", 2]\r\nnext = 1\r\n', "file.toml")
    assert document.mark(("k", 1)) == (1, 13)
    assert document.mark(("next",)) == (2, 1)


def test_text_that_cannot_be_utf8_names_its_line() -> None:
    [problem] = parse("a = 1\nb = '\ud800'\n", "file.toml").problems
    assert str(problem) == "file.toml:2: not UTF-8 text; save the file as UTF-8"


def test_bytes_that_are_not_utf8_name_their_line() -> None:
    problem = decode(b"a = 1\nb = '\xff'\n", "file.toml")
    assert str(problem) == "file.toml:2: not UTF-8 text; save the file as UTF-8"
    assert decode(b"\xef\xbb\xbfa = 1", "file.toml") == "a = 1"


def test_a_file_without_end_is_not_read() -> None:
    document = parse("#" * (FILE_BYTES_MAX + 1), "file.toml")
    assert [problem.line for problem in document.problems] == [0]


def test_deep_nesting_is_a_problem_and_no_crash() -> None:
    document = parse("ok = 1\na = " + "[" * 20000 + "\nb = 2\n", "file.toml")
    assert [problem.line for problem in document.problems] == [2]
    assert document.data["ok"] == 1
    assert parse("a = " + "9" * 10000, "f").problems[0].message == "a number with too many digits"
    assert parse("a" + ".a" * 300 + " = 1", "f").line(("a",) * 301) == 1


# What follows writes random data as TOML in random ways and notes where each key comes to stand.

_KEY = st.text(alphabet="ab_-1 .é\"'", min_size=1, max_size=4)
_SCALAR = st.one_of(
    st.integers(-(10**6), 10**6),
    st.booleans(),
    st.text(alphabet='ab=[]{}#"\\,\n é', max_size=6),
)
_VALUE = st.recursive(
    _SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEY, inner, max_size=3),
    max_leaves=6,
)
_DATA = st.dictionaries(_KEY, _VALUE, max_size=5)


class _Writer:
    def __init__(self, draw: st.DrawFn) -> None:
        self.flip = lambda: draw(st.booleans())
        self.text = ""
        self.lines: dict[Path, int] = {}

    def document(self, data: dict[str, Any]) -> str:
        self.table((), data)
        return self.text

    def mark(self, path: Path) -> None:
        self.lines[path] = self.text.count("\n") + 1

    def key(self, key: str) -> str:
        bare = all(c.isascii() and (c.isalnum() or c in "_-") for c in key)
        if bare and self.flip():
            return key
        if "'" not in key and self.flip():
            return f"'{key}'"
        return json.dumps(key)

    def table(self, path: Path, data: dict[str, Any]) -> None:
        tables = []
        for key, value in data.items():
            own_header = isinstance(value, dict) or (
                isinstance(value, list) and value and all(isinstance(v, dict) for v in value)
            )
            if own_header and self.flip():
                tables.append((key, value))
                continue
            self.text += "  " if self.flip() else ""
            self.mark((*path, key))
            self.text += f"{self.key(key)} = "
            self.value((*path, key), value)
            self.text += " # x = 1\n" if self.flip() else "\n"
        for key, value in tables:
            below = (*path, key)
            names = ".".join(self.key(part) for part in below if isinstance(part, str))
            if isinstance(value, dict):
                self.mark(below)
                self.text += f"[{names}]\n"
                self.table(below, value)
                continue
            self.mark(below)
            for index, element in enumerate(value):
                self.mark((*below, index))
                self.text += f"[[{names}]]\n"
                self.table((*below, index), element)

    def value(self, path: Path, value: Any) -> None:
        if isinstance(value, dict):
            self.text += "{"
            for number, (key, inner) in enumerate(value.items()):
                self.text += ", " if number else " "
                self.mark((*path, key))
                self.text += f"{self.key(key)} = "
                self.value((*path, key), inner)
            self.text += " }"
        elif isinstance(value, list):
            self.text += "["
            for index, inner in enumerate(value):
                self.text += "\n  " if self.flip() else " "
                self.mark((*path, index))
                self.value((*path, index), inner)
                self.text += ","
            self.text += "]"
        elif isinstance(value, str) and "\n" not in value and "'" not in value and self.flip():
            self.text += f"'{value}'"
        else:
            self.text += json.dumps(value)


@st.composite
def _documents(draw: st.DrawFn) -> tuple[dict[str, Any], str, dict[Path, int]]:
    data = draw(_DATA)
    writer = _Writer(draw)
    return data, writer.document(data), writer.lines


@settings(max_examples=80, deadline=None)
@given(_documents())
def test_values_are_those_of_tomllib_and_every_place_is_right(
    written: tuple[dict[str, Any], str, dict[Path, int]],
) -> None:
    data, text, lines = written
    assert tomllib.loads(text) == data
    document = parse(text, "file.toml")
    assert document.data == data
    assert not document.problems
    assert {path: mark.line for path, mark in document.marks.items()} == lines


@settings(max_examples=80, deadline=None)
@given(_documents(), st.data())
def test_a_damaged_text_gives_problems_with_lines_and_never_raises(
    written: tuple[dict[str, Any], str, dict[Path, int]], data: st.DataObject
) -> None:
    text = written[1]
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 5))
    noise = data.draw(st.text(alphabet="[]{}=\"'#,.\n \\a1\x00\ud800", max_size=4))
    text = text[:at] + noise + text[at + cut :]
    document = parse(text, "file.toml")
    try:
        text.encode()
        tomllib.loads(text)
    except ValueError:
        assert document.problems
        assert all(1 <= p.line <= text.count("\n") + 1 for p in document.problems)
    else:
        assert not document.problems
