"""The gate lets through every text that an expression matches, and few others."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from penstock.feedback.anchors import Anchor, anchors
from penstock.feedback.gate import Gate
from penstock.feedback.samples import wordings
from penstock.policy.patterns import compiled


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("user unknown", {Anchor("unknown", True)}),
        ("quota", {Anchor("quota", False)}),
        (r"\bquota", {Anchor("quota", True)}),
        ("^quota", {Anchor("quota", True)}),
        (r"\[tss04\]", {Anchor("tss04]", True)}),
        (r"user\s+unknown", {Anchor("unknown", True)}),
        (r"user ?unknown", {Anchor("unknown", False)}),
        ("a (?:list|network)", {Anchor("list", True), Anchor("network", True)}),
        ("no such (?:user|box)", {Anchor("such user", True), Anchor("such box", True)}),
        ("(?:sent )?from your ip", {Anchor("your ip", True)}),
        ("(?:sent )+from", {Anchor("sent ", False)}),
        (r"\w+@\w+", set()),
        ("ab", set()),
        ("quota|x", set()),
        ("(?i:quota)", set()),
        (r"\Bquota", {Anchor("quota", False)}),
    ],
)
def test_what_a_match_must_hold(expression: str, expected: set[Anchor]) -> None:
    assert anchors(compiled(expression)) == expected


def test_anchors_that_begin_alike_are_all_found() -> None:
    patterns = [compiled(rf"\b{word}") for word in ("over", "over quota", "overload", "quota")]
    gate = Gate(patterns)
    assert gate("mailbox over quota") == 0b1011
    assert gate("overload") == 0b0101
    assert gate("moreover") == 0
    assert gate("") == 0


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
            if pattern.search(text):
                assert gate(text) >> number & 1, (pattern.pattern, text)
