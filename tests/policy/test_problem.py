"""How a problem reads."""

from __future__ import annotations

import pytest

from penstock.policy.problem import Problem, nearest, path_text, quoted, render, suggestion

KEYS = ["listen", "tls", "certificate", "key", "size_max_bytes", "relay_from"]


def test_a_problem_names_file_line_key_reason_and_remedy() -> None:
    problem = Problem(
        "config.toml", 12, ("smtp", 0, "lisen"), "unknown key", suggestion("lisen", KEYS)
    )
    assert str(problem) == 'config.toml:12: smtp[0].lisen: unknown key; did you mean "listen"?'


def test_problems_are_sorted_by_file_and_line_and_said_once() -> None:
    one, two = Problem("b.toml", 2, (), "x"), Problem("b.toml", 10, ("k",), "y")
    three = Problem("a.toml", 0, (), "cannot be read")
    assert render([two, one, three, one]) == "a.toml: cannot be read\nb.toml:2: x\nb.toml:10: k: y"


def test_odd_keys_stand_in_quotes() -> None:
    assert path_text(("domain", "gmail.com", "connections")) == 'domain."gmail.com".connections'
    assert quoted("a\nb\x1b[0m") == '"a\\u000ab\\u001b[0m"'
    assert len(quoted("x" * 1000)) == 62


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("lisen", "listen"),
        ("Listen", "listen"),
        ("relay-from", "relay_from"),
        ("cert", "certificate"),
        ("size_max", "size_max_bytes"),
        ("certifcate", "certificate"),
        ("colour", ""),
    ],
)
def test_the_nearest_key(word: str, meant: str) -> None:
    assert nearest(word, KEYS) == meant


def test_where_nothing_is_near_the_choice_is_shown_if_it_is_small() -> None:
    assert suggestion("colour", ["tls", "key"], "keys here") == "keys here: key, tls"
    assert suggestion("colour", [f"key{n}" for n in range(50)]) == ""
