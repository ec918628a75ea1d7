"""Replies without a rule are counted by what they say, up to a bound."""

from __future__ import annotations

from penstock.feedback.unmatched import TEXT_CHARS_MAX, Unmatched, UnmatchedReplies
from penstock.mail.verdict import Category


def test_the_same_text_is_counted_once_for_each_provider() -> None:
    unmatched = UnmatchedReplies()
    for provider in ("gmail", "gmail", "yahoo"):
        unmatched.add(provider, "550 hm", Category.UNKNOWN)
    assert unmatched.rows() == [
        Unmatched("gmail", "550 hm", "unknown", 2),
        Unmatched("yahoo", "550 hm", "unknown", 1),
    ]
    unmatched.clear()
    assert unmatched.rows() == []


def test_what_is_unheard_for_longest_makes_room() -> None:
    forgotten: list[None] = []
    unmatched = UnmatchedReplies(2, lambda: forgotten.append(None))
    for text in ("often", "once", "often", "new", "x" * 1000):
        unmatched.add("", text, Category.UNKNOWN)
    assert [row.reply for row in unmatched.rows()] == ["new", "x" * TEXT_CHARS_MAX]
    assert len(forgotten) == 2
    assert len(unmatched) == 2
