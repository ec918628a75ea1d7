"""A reply comes out as one line of folded words, however its lines were joined."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.feedback.normalise import of_reply, of_text
from penstock.policy.patterns import TEXT_CHARS_MAX
from penstock.smtp.reply import Reply


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("550 5.1.1 No such User", (550, "5.1.1", "no such user")),
        ("550 5.7.1 No such user!", (550, "5.7.1", "no such user!")),
        ("550  invalid mailbox.  Local mailbox", (550, "", "invalid mailbox. local mailbox")),
        ("550-5.7.1 one\r\n550 5.7.1 two", (550, "5.7.1", "one two")),
        ("550-5.7.1 one 550-5.7.1 two 550 5.7.1 three", (550, "5.7.1", "one two three")),
        ("550-5.7.1 one 5.7.1 two", (550, "5.7.1", "one two")),
        ("550-one 550 two of 550 people", (550, "", "one 550 two of 550 people")),
        ("553 sorry, no mailbox here (#5.1.1)", (553, "5.1.1", "sorry, no mailbox here (#5.1.1)")),
        ("550 #5.1.0 Address rejected", (550, "5.1.0", "address rejected")),
        ("421 4.7.0 [TSS04] Messages", (421, "4.7.0", "[tss04] messages")),
        ("552 1 Requested", (552, "", "1 requested")),
        ("554 5.7.1.2 is no code", (554, "", "5.7.1.2 is no code")),
        ("554 5.7.1: refused", (554, "5.7.1", "refused")),
        ("550", (550, "", "")),
        ("550 5.1.1", (550, "5.1.1", "")),
        ("User unknown", (0, "", "user unknown")),
        ("", (0, "", "")),
    ],
)
def test_written_down(text: str, expected: tuple[int, str, str]) -> None:
    assert of_text(text) == expected


def test_over_the_wire() -> None:
    reply = Reply(450, ("4.2.1 The user is receiving", "4.2.1 mail too quickly"))
    assert of_reply(reply) == (450, "4.2.1", "the user is receiving mail too quickly")


@given(st.text(max_size=400))
def test_any_text_becomes_something_and_stays_it(text: str) -> None:
    code, status, plain = of_text(text)
    assert code == 0 or 200 <= code <= 599
    assert status == "" or status[0] in "245"
    assert plain == plain.casefold().strip() or len(plain) == TEXT_CHARS_MAX
    assert "\n" not in plain


@given(st.integers(200, 599), st.lists(st.text(max_size=200), min_size=1, max_size=50))
def test_no_reply_is_too_long(code: int, lines: list[str]) -> None:
    assert len(of_reply(Reply(code, tuple(lines))).text) <= TEXT_CHARS_MAX


def test_the_wire_and_the_paper_say_the_same() -> None:
    for text in ("550 5.1.1 No such User", "421 4.7.0 [TSS04] Messages", "554 5.7.1: refused"):
        assert of_text(text) == of_reply(Reply.of(int(text[:3]), text[4:]))
