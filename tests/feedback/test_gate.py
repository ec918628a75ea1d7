"""The gate lets through every text that an expression matches, and few others."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from penstock.feedback import gate as gate_module
from penstock.feedback.anchors import alternatives, ways
from penstock.feedback.gate import Gate
from penstock.feedback.samples import wordings
from penstock.policy.patterns import compiled

EVERYTHING = -1


def through(gate: Gate, text: str) -> list[int]:
    """The expressions that are tried, whether they match or not."""
    bits = gate.candidates(text, EVERYTHING)
    return sorted({number for bit, number in enumerate(gate._owner) if bits >> bit & 1})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("user unknown", [["unknown", "user"]]),
        ("no such user at all", [["such", "all"]]),
        (r"\bquota\b", [["quota"]]),
        ("^quota$", [["quota"]]),
        (r"\[tss04\]", [["[tss04]"]]),
        (r"user\s+unknown", [["unknown", "user"]]),
        (r"over ?quota", [["quota", "over"]]),
        ("quota|mailbox full", [["quota"], ["full", "mailbox"]]),
        ("mailbox (?:full|closed)", [["closed/full", "mailbox"]]),
        ("(?:sent )?from (?:it|here)", [["from"]]),
        ("(?:list|net) of", [["list/net"]]),
        (r"\w+@\w+", [[]]),
        ("ab", [[]]),
        ("quota|x", [["quota"], []]),
        ("(?i:quota)", [[]]),
        ("internationalised-addresses", [["internationalise"]]),
    ],
)
def test_what_a_match_must_hold(expression: str, expected: list[list[str]]) -> None:
    found = [
        ["/".join(sorted(clause)) for clause in way.clauses] for way in ways(compiled(expression))
    ]
    assert found == expected


def test_pieces_that_begin_alike_are_all_found() -> None:
    patterns = [compiled(word) for word in ("over", "over quota", "overload", "quota")]
    gate = Gate(patterns)
    assert through(gate, "mailbox over quota") == [0, 1, 3]
    assert through(gate, "overload") == [0, 2]
    assert through(gate, "moreover") == [0]
    assert through(gate, "") == []


def test_alternatives_are_split_where_that_changes_nothing() -> None:
    for text, expected in {
        "a|b": ["a", "b"],
        "a": ["a"],
        "a|": ["a", ""],
        r"a\|b|[|\]|]|[^]|]|(?:c|d)|(e|f)": [r"a\|b", r"[|\]|]", "[^]|]", "(?:c|d)", "(e|f)"],
        r"(a)|b\1": [r"(a)|b\1"],
        "(?i:a)|b": ["(?i:a)|b"],
        "(?P<x>a)|b": ["(?P<x>a)|b"],
    }.items():
        assert alternatives(text) == expected


def test_a_digit_is_like_another_until_it_comes_to_the_expression_itself() -> None:
    gate = Gate([compiled(r"\[tss04\]"), compiled("tss0[12]")])
    assert through(gate, "[tss09]") == [0, 1]
    assert list(gate.matches("[tss09]", EVERYTHING)) == []
    assert list(gate.matches("[tss04]", EVERYTHING)) == [0]
    assert list(gate.matches("[tss02]", EVERYTHING)) == [1]


def test_only_those_that_are_asked_for() -> None:
    gate = Gate([compiled("quota|over"), compiled("quota"), compiled("quota")])
    mask = gate.mask(range(1, 2))
    assert list(gate.matches("over quota", mask)) == [1]
    assert list(gate.matches("over quota", EVERYTHING)) == [0, 1, 2]
    assert list(gate.matches("over", EVERYTHING)) == [0]


def test_words_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "WORDS_MAX", 10)
    gate = Gate([compiled("quota")])
    for number in range(100):
        word = f"quota{chr(97 + number % 26)}{chr(97 + number // 26)}"
        assert through(gate, word) == [0]
        assert through(gate, "x" * 1000) == []
        assert gate.words <= 10


WORDS = st.sampled_from(["user", "box", "over", "is", "full", "quota", "ip", "4711", "é", "[", "-"])
PIECES = st.recursive(
    WORDS.map(re.escape) | st.sampled_from([r"\b", " ", r"\s+", ".{0,3}", r"\d?", "^", "[a-f]"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda ways: f"(?:{'|'.join(ways)})"),
        inner.map(lambda one: f"(?:{one})?"),
    ),
    max_leaves=8,
)


@given(st.lists(PIECES, min_size=1, max_size=6), st.text("user box4-é.", max_size=8))
def test_no_match_is_lost(expressions: list[str], around: str) -> None:
    patterns = []
    for one in expressions:
        try:
            patterns.append(compiled(one))
        except ValueError:
            assume(False)
    gate = Gate(patterns)
    texts = [text for pattern in patterns for text in wordings(pattern)]
    for text in (*texts, *(around + text + around for text in texts), " ".join(texts), around):
        for number, pattern in enumerate(patterns):
            found = number in gate.matches(text, EVERYTHING)
            assert found is bool(pattern.search(text)), (pattern.pattern, text)
