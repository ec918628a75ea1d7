"""From content to what is stored."""

from __future__ import annotations

import pytest

from penstock.intake.accept import HEADER_TOO_BIG, LOOP, Origin, prepare
from penstock.mail.envelope import Envelope
from penstock.smtp.reply import Reply

TRUSTED = Origin("client.example", "192.0.2.1", trusted=True)
STRANGER = Origin("client.example", "192.0.2.1", extended=False)


def envelope() -> Envelope:
    return Envelope("a@b", [], 0.0, ref=5, tenant="default")


def stored(content: bytes, origin: Origin = TRUSTED, to: Envelope | None = None) -> bytes:
    body = prepare(to or envelope(), content, origin, hostname="mx.example", now=0.0)
    assert isinstance(body, list)
    return b"".join(body)


def test_trace_and_missing_fields() -> None:
    body = stored(b"Subject: x\r\n\r\nbody\r\n")
    assert body.startswith(
        b"Received: from client.example ([192.0.2.1])\r\n"
        b"\tby mx.example with ESMTP id 5; Thu, 01 Jan 1970 00:00:00 +0000\r\n"
        b"Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n"
        b"Message-ID: <5@mx.example>\r\n"
        b"Subject: x\r\n"
    )
    assert body.endswith(b"\r\n\r\nbody\r\n")


def test_what_is_there_is_left_alone() -> None:
    content = b"date: x\r\nmessage-id: <y>\r\n\r\nbody\r\n"
    assert stored(content).partition(b"+0000\r\n")[2] == content


def test_strangers_get_only_the_trace() -> None:
    assert stored(b"Subject: x\r\n\r\n", STRANGER).partition(b"+0000\r\n")[2] == (
        b"Subject: x\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("origin", "smtputf8", "protocol"),
    [
        (Origin("h", "::1", extended=False), False, b"SMTP"),
        (Origin("h", "::1"), False, b"ESMTP"),
        (Origin("h", "::1", tls="TLSv1.3 X"), False, b"ESMTPS"),
        (Origin("h", "::1", authenticated=True), False, b"ESMTPA"),
        (Origin("h", "::1", tls="TLSv1.3 X", authenticated=True), False, b"ESMTPSA"),
        (Origin("h", "::1", tls="TLSv1.3 X", authenticated=True), True, b"UTF8SMTPSA"),
    ],
)
def test_protocol_names(origin: Origin, smtputf8: bool, protocol: bytes) -> None:
    to = envelope()
    to.smtputf8 = smtputf8
    body = stored(b"\r\n", origin, to)
    assert b" with " + protocol + b" id 5" in body
    assert (b"TLSv1.3 X" in body) is bool(origin.tls)


def test_control_fields_of_trusted_clients_are_obeyed_and_cut() -> None:
    to = envelope()
    content = b"X-Penstock-Campaign: spring.24\r\nA: b\r\nx-penstock-tenant: t_1-x\r\n\r\n"
    body = stored(content, to=to)
    assert (to.tenant, to.campaign) == ("t_1-x", "spring.24")
    assert b"enstock-" not in body
    assert b"A: b\r\n" in body


def test_control_fields_of_strangers_are_cut() -> None:
    to = envelope()
    assert b"enstock-" not in stored(
        b"X-Penstock-Tenant: t\r\nX-Penstock-Q: z\r\n\r\n", STRANGER, to
    )
    assert to.tenant == "default"


@pytest.mark.parametrize("value", [b"", b"a b", b"x" * 65, b"a\xc3\xa9", b"a/b", b"a\r\n b"])
@pytest.mark.parametrize("name", [b"X-Penstock-Tenant", b"X-Penstock-Campaign"])
def test_control_fields_that_are_no_labels(name: bytes, value: bytes) -> None:
    refusal = prepare(
        envelope(), name + b": " + value + b"\r\n\r\n", TRUSTED, hostname="h", now=0.0
    )
    if value == b"a\r\n b":
        assert isinstance(refusal, Reply | list)
        return
    assert isinstance(refusal, Reply)
    assert str(refusal).startswith(f"550 5.6.0 {name.decode()}:")


@pytest.mark.parametrize(("hops", "loop"), [(50, False), (51, True)])
def test_loops(hops: int, loop: bool) -> None:
    content = b"Received: x\r\n" * hops + b"\r\n"
    assert (prepare(envelope(), content, TRUSTED, hostname="h", now=0.0) is LOOP) is loop
    assert (LOOP.code, LOOP.enhanced) == (554, "5.4.6")


def test_a_header_too_big_to_look_through() -> None:
    content = b"X: " + b"y" * 900 + b"\r\n"
    content = content * 400 + b"\r\n"
    assert prepare(envelope(), content, TRUSTED, hostname="h", now=0.0) is HEADER_TOO_BIG


def test_a_body_without_header_stays_a_body() -> None:
    body = stored(b"just text\r\n")
    assert body.endswith(b"\r\n\r\njust text\r\n")


@pytest.mark.parametrize(
    ("field", "tls"),
    [
        (b"TLS-Required: No\r\n", "relax"),
        (b"tls-required:no \r\n", "relax"),
        (b"TLS-Required: Yes\r\n", ""),
        (b"TLS-Required: No way\r\n", ""),
        (b"TLS-Required: No\r\n folded\r\n", ""),
        (b"X-TLS-Required: No\r\n", ""),
    ],
)
def test_tls_required_no_is_heard_from_those_who_may_relay(field: bytes, tls: str) -> None:
    to, strangers = envelope(), envelope()
    assert field in stored(b"A: b\r\n" + field + b"\r\nbody\r\n", to=to)
    assert to.tls == tls
    stored(field + b"\r\n", STRANGER, strangers)
    assert strangers.tls == ""
    to.tls = "require"
    stored(field + b"\r\n", to=to)
    assert to.tls == "require", "RFC 8689 section 4.2: the field counts for nothing then"
