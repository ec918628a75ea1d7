"""MAIL and RCPT: what is accepted, what is refused and with which code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.smtp.grammar import MailCommand, RcptCommand, parse_mail, parse_rcpt
from penstock.smtp.reply import Reply

LONG_LABEL = "x" * 63
LONG_DOMAIN = ".".join([LONG_LABEL] * 3 + ["y" * 59])  # 251 characters

GOOD_ADDRESSES = [
    "a@b",
    "first.last+tag@sub.example.com",
    "!#$%&'*+/=?^_`{|}~-@example.com",
    '"quoted local"@example.com',
    '"with\\"escape"@example.com',
    '"a@b"@example.com',
    '""@example.com',
    "user%other.example@example.com",
    "user!path@example.com",
    "a@[192.0.2.1]",
    "a@[IPv6:2001:db8::1]",
    "a@xn--bcher-kva.example",
    "a@1.2.3.4",
    "a@a--b.example",
    "x" * 64 + "@example.com",
    "a@" + LONG_DOMAIN,
]

BAD_ADDRESSES = [
    "a",
    "@",
    "a@",
    "@b",
    "a@b@c",
    ".a@b",
    "a.@b",
    "a..b@c",
    "a b@c",
    "a@b c",
    "a@-b",
    "a@b-",
    "a@b..c",
    "a@.b",
    "a@b.",
    "a@b_c.example",
    "a@b,c",
    'a"b"@c',
    '"a"b@c',
    '"a@c',
    '"a\\"@c',
    '"a\x00b"@c',
    "a\x00@b",
    "a@b\x00",
    "a@b\t",
    "a(comment)@b",
    "a@[192.0.2]",
    "a@[192.0.2.256]",
    "a@[IPv6:zz]",
    "a@[IPv6:fe80::1%eth0]",
    "a@[tag:text]",
    "a@[]",
    "<a@b>",
    "x" * 65 + "@example.com",
    "a@" + "x" * 64 + ".example",
    "x" * 10 + "@" + LONG_DOMAIN,
    "a@" + ".".join([LONG_LABEL] * 5),
]

UTF8_GOOD = ["użytkownik@example.com", "a@bücher.example", "用户@例え.jp", "a@BÜCHER.example"]
UTF8_BAD = [
    "a@b\u3002example",  # ideographic full stop folds into a dot
    "a@b\uff0eexample",
    "a\uff20b",  # fullwidth commercial at is no separator
    "a@ｅxample.com",
    "a\u2028b@example.com",
    "a\u200bb@example.com",
    "a@\u200bexample.com",
    "a@exa\u0301mple\u2024com",
    "é" * 33 + "@example.com",  # 66 octets
]


def mail(text: str, esmtp: bool = True) -> MailCommand | Reply:
    return parse_mail(f"MAIL FROM:{text}\r\n".encode(), esmtp=esmtp)


def rcpt(text: str, esmtp: bool = True, smtputf8: bool = False) -> RcptCommand | Reply:
    return parse_rcpt(f"RCPT TO:{text}\r\n".encode(), esmtp=esmtp, smtputf8=smtputf8)


@pytest.mark.parametrize("address", GOOD_ADDRESSES)
def test_a_good_address_is_taken_as_it_is_written(address: str) -> None:
    assert mail(f"<{address}>") == MailCommand(address)
    assert rcpt(f"<{address}>") == RcptCommand(address)
    assert parse_rcpt(f"rcpt  to: <{address}> \r\n".encode()) == RcptCommand(address)


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_a_bad_address_is_refused(address: str) -> None:
    sender, recipient = mail(f"<{address}>"), rcpt(f"<{address}>")
    assert isinstance(sender, Reply)
    assert isinstance(recipient, Reply)
    assert (sender.code, sender.enhanced) == (553, "5.1.7")
    assert (recipient.code, recipient.enhanced) == (553, "5.1.3")


@pytest.mark.parametrize("address", UTF8_GOOD)
def test_utf8_needs_smtputf8(address: str) -> None:
    assert mail(f"<{address}> SMTPUTF8") == MailCommand(address, smtputf8=True)
    assert rcpt(f"<{address}>", smtputf8=True) == RcptCommand(address)
    for refusal in (mail(f"<{address}>"), rcpt(f"<{address}>")):
        assert isinstance(refusal, Reply)
        assert (refusal.code, refusal.enhanced) == (553, "5.6.7")


@pytest.mark.parametrize("address", UTF8_BAD)
def test_look_alikes_and_invisible_characters_are_refused(address: str) -> None:
    refusal = rcpt(f"<{address}>", smtputf8=True)
    assert isinstance(refusal, Reply)
    assert refusal.code == 553


def test_broken_utf8_is_refused() -> None:
    refusal = parse_rcpt(b"RCPT TO:<a\xff@b>\r\n", smtputf8=True)
    assert isinstance(refusal, Reply)
    assert (refusal.code, refusal.enhanced) == (501, "5.5.2")


@pytest.mark.parametrize("path", ["<@relay.example:a@b>", "<@a,@b:c@d>"])
def test_source_routes_are_refused_by_name(path: str) -> None:
    refusal = rcpt(path)
    assert isinstance(refusal, Reply)
    assert refusal.code == 553
    assert "Source routes" in refusal.text


def test_null_paths() -> None:
    assert mail("<>") == MailCommand("")
    refusal = rcpt("<>")
    assert isinstance(refusal, Reply)
    assert refusal.code == 553


@pytest.mark.parametrize("path", ["<Postmaster>", "<postmaster>", "<POSTMASTER>"])
def test_postmaster_needs_no_domain(path: str) -> None:
    assert rcpt(path) == RcptCommand("postmaster")
    assert isinstance(mail(path), Reply)


def test_parameters_of_mail() -> None:
    assert mail("<a@b> AUTH=<>") == MailCommand("a@b")
    command = mail("<a@b> size=5 BODY=8bitmime SMTPUTF8 RET=hdrs ENVID=x+2By AUTH=c@d")
    assert command == MailCommand("a@b", 5, True, True, "HDRS", "x+2By")
    assert mail("<a@b> BODY=7BIT") == MailCommand("a@b")


@pytest.mark.parametrize(
    ("parameters", "code", "enhanced"),
    [
        ("SIZE", 501, "5.5.4"),
        ("SIZE=", 501, "5.5.4"),
        ("SIZE=-1", 501, "5.5.4"),
        ("SIZE=" + "9" * 21, 501, "5.5.4"),
        ("SIZE=1 SIZE=2", 501, "5.5.4"),
        ("BODY=BINARYMIME", 501, "5.5.4"),
        ("BODY", 501, "5.5.4"),
        ("SMTPUTF8=1", 501, "5.5.4"),
        ("RET=SOME", 501, "5.5.4"),
        ("ENVID=", 501, "5.5.4"),
        ("ENVID=a+b", 501, "5.5.4"),
        ("ENVID=a=b", 501, "5.5.4"),
        ("ENVID=" + "x" * 101, 501, "5.5.4"),
        ("NOTIFY=NEVER", 555, "5.5.4"),
        ("X-FOO=1", 555, "5.5.4"),
        ("=1", 501, "5.5.4"),
        ("\x01", 501, "5.5.4"),
    ],
)
def test_bad_parameters_of_mail(parameters: str, code: int, enhanced: str) -> None:
    refusal = mail(f"<a@b> {parameters}")
    assert isinstance(refusal, Reply)
    assert (refusal.code, refusal.enhanced) == (code, enhanced)


def test_parameters_of_rcpt() -> None:
    assert rcpt("<a@b> NOTIFY=success,Failure ORCPT=rfc822;a+2Bc@b") == RcptCommand(
        "a@b", ("SUCCESS", "FAILURE"), "rfc822;a+2Bc@b"
    )
    assert rcpt("<a@b> NOTIFY=NEVER") == RcptCommand("a@b", ("NEVER",))


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ("NOTIFY=", 501),
        ("NOTIFY", 501),
        ("NOTIFY=NEVER,SUCCESS", 501),
        ("NOTIFY=DELAY,DELAY", 501),
        ("NOTIFY=OFTEN", 501),
        ("ORCPT=rfc822", 501),
        ("ORCPT=rfc822;a=b", 501),
        ("ORCPT=rfc822;a+zz", 501),
        ("ORCPT=rfc822;" + "x" * 500, 501),
        ("SIZE=1", 555),
    ],
)
def test_bad_parameters_of_rcpt(parameters: str, code: int) -> None:
    refusal = rcpt(f"<a@b> {parameters}")
    assert isinstance(refusal, Reply)
    assert (refusal.code, refusal.enhanced) == (code, "5.5.4")


def test_parameters_need_ehlo() -> None:
    for refusal in (mail("<a@b> SIZE=1", esmtp=False), mail("<a@b>  BODY=7BIT", esmtp=False)):
        assert isinstance(refusal, Reply)
        assert refusal.code == 555
    assert mail("<a@b>", esmtp=False) == MailCommand("a@b")


@pytest.mark.parametrize(
    "line",
    [
        b"MAIL\r\n",
        b"MAIL FROM\r\n",
        b"MAIL FROM:\r\n",
        b"MAIL FROM:a@b\r\n",
        b"MAIL TO:<a@b>\r\n",
        b"MAILFROM:<a@b>\r\n",
        b"MAIL FROM:<a@b>garbage\r\n",
        b"MAIL FROM:<a@b>,<c@d>\r\n",
    ],
)
def test_what_is_no_mail_command(line: bytes) -> None:
    refusal = parse_mail(line)
    assert isinstance(refusal, Reply)
    assert refusal.code == 501


@given(st.binary(max_size=80))
def test_any_bytes_give_a_value(junk: bytes) -> None:
    for line in (b"MAIL FROM:" + junk + b"\r\n", b"MAIL FROM:<" + junk + b">\r\n", junk):
        assert isinstance(parse_mail(line), MailCommand | Reply)
    for line in (b"RCPT TO:" + junk + b"\r\n", b"RCPT TO:<" + junk + b">\r\n", junk):
        assert isinstance(parse_rcpt(line, smtputf8=True), RcptCommand | Reply)


_PIECES = st.text(st.sampled_from('ab1.-@%!"[]<>\\ \u00e9'), max_size=12)


@given(_PIECES, _PIECES)
def test_the_fast_form_accepts_nothing_that_the_grammar_refuses(local: str, domain: str) -> None:
    path = f"<{local}@{domain}>"
    assert rcpt(path) == parse_rcpt(f"RCPT  TO:{path}\r\n".encode())
    assert mail(path + " SIZE=7") == parse_mail(f"MAIL  FROM:{path} SIZE=7\r\n".encode())
