"""How long a reply asks to wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.feedback.stated import STATED_S_MAX, stated_wait


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Greylisting in action, please come back in 00:05:00", 300),
        ("<a@x.example>: Recipient address rejected: Greylisted for 300 seconds", 300),
        ("Greylisted for 5 minutes", 300),
        ("Greylisted for spam protection, try again in 5 minutes", 300),
        ("Message was greylisted, try again after 299 seconds.", 299),
        ("Please retry in 60s", 60),
        ("please wait at least 2 min before trying again", 120),
        ("try again in 1 hour", 3600),
        ("Greylisted, see https://postgrey.example/help?ip=192.0.2.5;r=x.example", 0),
        ("Greylisted, please come back later", 0),
        ("at most 5 messages per 10 minutes", 0),
        ("come back in 2 hours", 0),
        ("come back in 99:00:00", 0),
        ("come back in 0 minutes", 0),
        ("", 0),
    ],
)
def test_what_replies_say(text: str, seconds: float) -> None:
    assert stated_wait(text) == seconds


@given(st.text(max_size=2000))
def test_anything_else_is_bounded(text: str) -> None:
    assert 0 <= stated_wait(text) <= STATED_S_MAX
