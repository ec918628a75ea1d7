"""MAIL and RCPT: whatever stands behind the colon.

Invariants: a command or one printable refusal of at most a line; the quick expression says what the
full grammar says; what is accepted can be written back into a command and is read as the same; it
holds nothing that ends a command, a path or a header field; its domain is the part behind the last
``@`` and is compared in a form with exactly the dots that were sent, so nothing that looks like a
dot or an ``@`` becomes one.
"""

from __future__ import annotations

from penstock.mail.address import ascii_form, normal, normal_domain, split
from penstock.smtp.grammar import MailCommand, RcptCommand, parse_mail, parse_rcpt
from penstock.smtp.path import DOMAIN_MAX, LOCAL_PART_MAX
from penstock.smtp.reply import Reply

TOKENS = (
    b"<", b">", b"@", b".", b'"', b"\\", b":", b"%", b"!", b",", b"[", b"]", b" ", b"a", b"<>",
    b"a@b",
    b"<a@b.example>", b'<"a b"@c>', b"<@a:b@c>", b"[127.0.0.1]", b"[IPv6:::1]", b"<postmaster>",
    b" SIZE=1", b" BODY=8BITMIME", b" SMTPUTF8", b" RET=HDRS", b" ENVID=x+2B", b" AUTH=<>",
    b" NOTIFY=NEVER", b" NOTIFY=FAILURE,DELAY", b" ORCPT=rfc822;a+40b", b"\xc3\xa9",
    b"\xef\xbc\xa0", b"\xe3\x80\x82", b"\xef\xbc\x8e", b"\xe2\x80\xa8", b"\xf0\x9f\x98\x80",
    b"xn--", b"xn--nxasmq6b", b"\0", b"\r", b"\n", b"-", b"_", b"x" * 64, b"%40", b"\xcd\xa4",
    b"\xe2\x84\xaa", b"\xc4\xb0", b"\xef\xbd\x81", b"\xc3\x9f", b"\xcf\x82", b"\xe2\x80\x8d",
)  # fmt: skip
BYTES_MAX = 1024


def check(data: bytes) -> None:
    """``data``: options (1 byte), what follows the colon."""
    esmtp, utf8 = not data[:1] or not data[0] & 1, bool(data[:1]) and bool(data[0] & 2)
    rest = data[1:]
    mail = parse_mail(b"MAIL FROM:%b\r\n" % rest, esmtp=esmtp)
    rcpt = parse_rcpt(b"RCPT TO:%b\r\n" % rest, esmtp=esmtp, smtputf8=utf8)
    assert parse_mail(b"mail  from:%b \r\n" % rest, esmtp=esmtp) == mail
    assert parse_rcpt(b"rcpt  to:%b \r\n" % rest, esmtp=esmtp, smtputf8=utf8) == rcpt
    if isinstance(mail, MailCommand):
        assert not rest.rstrip(b" \r\n").count(b"\n")
        assert mail.smtputf8 or mail.sender.isascii()
        _no_controls(mail.envid, mail.ret)
        if mail.sender:
            _check_address(mail.sender)
    else:
        _check_refusal(mail)
    if isinstance(rcpt, RcptCommand):
        _no_controls(rcpt.orcpt, *rcpt.notify)
        assert utf8 or rcpt.address.isascii()
        if rcpt.address.lower() != "postmaster":
            _check_address(rcpt.address)
    else:
        _check_refusal(rcpt)


def _check_address(address: str) -> None:
    local, domain = split(address)
    assert local
    assert domain
    assert len(local.encode()) <= LOCAL_PART_MAX
    assert len(domain.encode()) <= DOMAIN_MAX
    assert address.isprintable()
    assert local.startswith('"') or not set(local) & set('<>()[],;:\\@" ')
    assert not set(domain) & set('<>(),;@" \\')
    again = parse_mail(f"MAIL FROM:<{address}> SMTPUTF8\r\n".encode())
    assert isinstance(again, MailCommand)
    assert again.sender == address
    try:
        name = normal_domain(domain)
    except ValueError:
        return  # no name that DNS could have: intake takes it, and no host is found for it
    assert name.isascii()
    if not domain.startswith("["):
        for given, label in zip(domain.split("."), name.split("."), strict=True):
            assert label == given.lower() if given.isascii() else label.startswith("xn--")
    assert normal_domain(name) == name
    assert normal(normal(address)) == normal(address)
    plain = ascii_form(address)
    assert plain is None or (plain.isascii() and split(plain)[0] == local)


def _check_refusal(reply: Reply) -> None:
    assert reply.permanent
    (line,) = reply.lines
    assert line.isprintable()
    assert len(reply.wire()) <= 512
    assert reply.enhanced.startswith("5.")


def _no_controls(*words: str) -> None:
    for word in words:
        assert word.isascii()
        assert word.isprintable()
        assert " " not in word
