"""Mailboxes as applications write them."""

from __future__ import annotations

import pytest

from penstock.mail.mailbox import BadMailbox, make_mailbox, parse_mailbox


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("a@example.com", "", "a@example.com"),
        (" a@Example.COM ", "", "a@example.com"),
        ("<a@example.com>", "", "a@example.com"),
        ("Ann Lee <a@example.com>", "Ann Lee", "a@example.com"),
        ("Ann   Lee<a@example.com>", "Ann Lee", "a@example.com"),
        ('"Lee, Ann" <a@example.com>', "Lee, Ann", "a@example.com"),
        (r'"a \"b\" \\" <a@example.com>', 'a "b" \\', "a@example.com"),
        ("Иван Петров <ivan@пример.рф>", "Иван Петров", "ivan@xn--e1afmkfd.xn--p1ai"),
        ("иван@пример.рф", "", "иван@xn--e1afmkfd.xn--p1ai"),
        ('"a b"@example.com', "", '"a b"@example.com'),
        ('"a<b"@example.com', "", '"a<b"@example.com'),
        ("a@example.com <a@example.com>", "a@example.com", "a@example.com"),
        ("a@[192.0.2.1]", "", "a@[192.0.2.1]"),
        ("😀 <a@example.com>", "😀", "a@example.com"),
    ],
)
def test_what_is_read(text: str, name: str, address: str) -> None:
    assert parse_mailbox(text) == (name, address)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no address"),
        ("<>", "is no address"),
        ("a", "is no address"),
        ("a@", "is no address"),
        ("@example.com", "is no address"),
        ("a b@example.com", "is no address"),
        ("a@example.com, b@example.com", "is no address"),
        ("a@example.com, b <c@example.com>", "several addresses"),
        ("Lee, Ann <a@example.com>", "several addresses"),
        ("a@example.com; <b@example.com>", "several addresses"),
        ("<a@example.com> <b@example.com>", "is no address"),
        ("A <a@example.com", "is no address"),
        ("a@exa mple.com", "is no address"),
        ("a@-example.com", "is no address"),
        ("a\n@example.com", "is no address"),
        ("A\n <a@example.com>", "control character"),
        ("A\r\nBcc: b@example.com <a@example.com>", "control character"),
        ("A\0 <a@example.com>", "control character"),
        ("A\u2028 <a@example.com>", "control character"),
        ("A\ud800 <a@example.com>", "control character"),
        ("<@relay:a@example.com>", "source routes"),
        ("x" * 70 + "@example.com", "too long"),
        ("x" * 2000, "longer than"),
        ("n" * 1025 + " <a@example.com>", "longer than"),
        ("a@e\u212aample.com", "is no address"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadMailbox, match=message) as caught:
        parse_mailbox(text)
    assert "\n" not in str(caught.value)


def test_given_apart() -> None:
    assert make_mailbox(" Lee,  Ann ", "a@Example.com") == ("Lee, Ann", "a@example.com")
    with pytest.raises(BadMailbox):
        make_mailbox("", "a@example.com>,<b@example.com")
