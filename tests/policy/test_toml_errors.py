"""One look at a broken file shows all that is broken in it, and the rest is still read."""

from __future__ import annotations

import pytest

from penstock.policy.toml import parse


def _lines(text: str) -> list[str]:
    return [str(problem) for problem in parse(text, "f.toml").problems]


def test_every_broken_statement_is_reported_and_the_good_ones_are_read() -> None:
    document = parse(
        "hostname = localhost\n"  # 1
        "a = 1\n"
        "b = = 2\n"  # 3
        "[x]\n"
        "c = [1,\n"  # 5
        "d = 2\n"
        "[y\n"  # 7
        "e = 1\n"
        "[z]\n"
        'f = "a\n'  # 10
        "g = 1\n"
        "g = 2\n"  # 12
        "foo bar\n"  # 13
        'h = """\n'
        "x = 1\n"
        '"""\n'
        "[z]\n"  # 17
        "u = 1\n",
        "f.toml",
    )
    assert [str(problem) for problem in document.problems] == [
        'f.toml:1: not a value; a text stands in quotes: "localhost"',
        "f.toml:3: invalid value",
        "f.toml:5: the array that starts here never ends; close it with ]",
        "f.toml:7: expected ']' at the end of a table declaration",
        "f.toml:10: the text in quotes does not end on its line; close the quotes",
        "f.toml:12: this key was set before; a key may be set only once",
        "f.toml:13: not a statement; write key = value, or [table]",
        "f.toml:17: this table was opened before; put its keys together under one header",
    ]
    assert document.data == {"a": 1, "x": {"d": 2}, "z": {"g": 1, "h": "x = 1\n"}}
    assert document.line(("z", "h")) == 14


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = yes", "f.toml:1: not a value; write true or false"),
        ("x = True", "f.toml:1: not a value; write true or false"),
        ('x = """\nnever\nended', "f.toml:1: the text in quotes never ends; close the quotes"),
        ("listen: 5", "f.toml:1: not a statement; write key = value, or [table]"),
        ("x = [\n  1,\n  2 3,\n]\n", "f.toml:3: unclosed array"),
        ("x = 010", "f.toml:1: expected newline or end of document after a statement"),
        ("a.b = 1\na = 2", "f.toml:2: this key was set before; a key may be set only once"),
    ],
)
def test_messages_help_whoever_edits_the_file(text: str, problem: str) -> None:
    assert _lines(text) == [problem]


def test_arrays_over_many_lines_are_one_statement() -> None:
    text = "bad = = 1\nx = [\n  [1, 2],\n  [3],\n]\ny = '''\n[a]\nz = 1\n'''\n"
    document = parse(text, "f.toml")
    assert [problem.line for problem in document.problems] == [1]
    assert document.data == {"x": [[1, 2], [3]], "y": "[a]\nz = 1\n"}


def test_a_bad_line_within_a_table_leaves_the_table() -> None:
    document = parse("[t]\na = 1\nthis is wrong\n\nso is this\nb = 2\n", "f.toml")
    assert [problem.line for problem in document.problems] == [3, 5]
    assert document.data == {"t": {"a": 1, "b": 2}}


def test_thousands_of_errors_are_reported_up_to_a_bound() -> None:
    assert len(_lines("x = = 1\n" * 3000)) == 50
    assert 0 < len(_lines("x = 1\n" * 3000)) <= 50


def test_whether_a_missing_key_may_have_been_in_a_broken_statement() -> None:
    document = parse("[a]\nk = = 1\n[b]\nn = 1\n", "f.toml")
    assert document.maybe_lost(("a", "k"))
    assert not document.maybe_lost(("b", "k"))
    assert not document.maybe_lost(("b", "n"))
