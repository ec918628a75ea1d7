"""The header block: what a scan sees, what strip leaves, and fields nobody can inject into."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.mail import headers
from penstock.mail.headers import body_offset, scan, strip

USUAL = (
    b"Received: from a by b; Tue, 14 Nov 2023 22:13:20 +0000\r\n"
    b"RECEIVED : from c\r\n\tby d; Tue, 14 Nov 2023 22:13:20 +0000\r\n"
    b"From: Ann <ann@example.com>\r\n"
    b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
    b"Message-ID: <1@example.com>\r\n"
    b"Subject: Date: From:\r\n Message-ID: no\r\n"
    b"\r\n"
    b"Received: this is the body\r\n"
)


def test_the_usual_message() -> None:
    seen = scan(USUAL)
    assert seen.received_count == 2
    assert (seen.has_from, seen.has_date, seen.has_message_id) == (True, True, True)
    assert USUAL[seen.end :] == b"Received: this is the body\r\n"
    assert seen.control == {}
    assert seen.separated
    assert not seen.truncated
    assert strip(USUAL, seen) == [USUAL]
    assert strip(USUAL, seen)[0] is USUAL


def test_missing_fields_are_missing() -> None:
    seen = scan(b"Subject: From: Date:\r\n Date: x\r\nX-From: a\r\n\r\nDate: in the body\r\n")
    assert (seen.has_from, seen.has_date, seen.has_message_id) == (False, False, False)
    assert seen.received_count == 0


def test_control_fields_are_read_and_cut() -> None:
    content = (
        b"X-Penstock-Campaign: spring\r\n\tsale\r\n"
        b"From: a@b.c\r\n"
        b"x-penstock-TENANT:acme \r\n"
        b"X-Penstock-Tenant: second\r\n"
        b"X-Penstockish: stays\r\n"
        b"\r\n"
        b"X-Penstock-Body: stays\r\n"
    )
    seen = scan(content)
    assert seen.control == {"campaign": "spring sale", "tenant": "acme"}
    chunks = strip(content, seen)
    assert b"".join(chunks) == (
        b"From: a@b.c\r\nX-Penstockish: stays\r\n\r\nX-Penstock-Body: stays\r\n"
    )
    assert b"".join(chunks)[seen.stripped_end :] == b"X-Penstock-Body: stays\r\n"


def test_control_values_are_one_printable_line() -> None:
    seen = scan(b"X-Penstock-Tag: a\x00b\r\n c\x1b[31m\xff\r\n\r\n")
    assert seen.control == {"tag": "ab c[31m\N{REPLACEMENT CHARACTER}"}


def test_control_fields_have_bounds() -> None:
    many = b"".join(b"X-Penstock-T%d: v\r\n" % i for i in range(headers.CONTROL_FIELDS_MAX + 9))
    content = many + b"X-Penstock-Long: " + b"x" * 9999 + b"\r\n\r\n"
    seen = scan(content)
    assert len(seen.control) == headers.CONTROL_FIELDS_MAX
    assert b"".join(strip(content, seen)) == b"\r\n"
    long = scan(b"X-Penstock-Long: " + b"x" * 9999 + b"\r\n\r\n").control["long"]
    assert len(long) < headers.CONTROL_VALUE_BYTES_MAX


def test_a_list_in_parts_is_joined_and_what_is_cut_is_named() -> None:
    seen = scan(
        b"X-Penstock-Tag: a=1\r\nA: b\r\nx-penstock-tag:\r\n b=2\r\nX-Penstock-Q: y\r\n\r\n"
    )
    assert seen.control == {"tag": "a=1, b=2", "q": "y"}
    assert seen.overlong == frozenset()
    long = b"x" * headers.CONTROL_VALUE_BYTES_MAX
    assert scan(b"X-Penstock-Q: " + long + b"\r\n\r\n").overlong == {"q"}
    half = b"X-Penstock-Tag: " + long[: len(long) // 2] + b"\r\n"
    seen = scan(half * 3 + b"\r\n")
    assert seen.overlong == {"tag"}
    assert len(seen.control["tag"]) == headers.CONTROL_VALUE_BYTES_MAX


@pytest.mark.parametrize(
    ("content", "header", "body"),
    [
        (b"", b"", b""),
        (b"\r\n", b"", b""),
        (b"\r\n\r\nFrom: x\r\n", b"", b"\r\nFrom: x\r\n"),
        (b"Hello,\r\n\r\nworld\r\n", b"", b"Hello,\r\n\r\nworld\r\n"),
        (b"From: a\r\nHello\r\n", b"From: a\r\n", b"Hello\r\n"),
        (b"From: a\r\n", b"From: a\r\n", b""),
        (b"From: a\r\n\r\n", b"From: a\r\n", b""),
        (b"From: a", b"", b"From: a"),
        (b" folded first\r\n\r\nx", b"", b" folded first\r\n\r\nx"),
        (b"From me Tue Nov 14\r\nFrom: a\r\n\r\nb\r\n", b"From: a\r\n", b"b\r\n"),
        (b"From me Tue Nov 14", b"", b"From me Tue Nov 14"),
    ],
)
def test_any_content_gets_a_header_and_a_body(content: bytes, header: bytes, body: bytes) -> None:
    seen = scan(content)
    result = b"".join(strip(content, seen))
    assert result == header + b"\r\n" + body
    assert seen.stripped_end == len(header) + 2
    assert body_offset(result) == seen.stripped_end


def test_a_huge_header_is_flagged_and_not_read_to_its_end() -> None:
    field = b"X-Filler: " + b"x" * 500 + b"\r\n"
    content = field * 600 + b"From: a@b\r\n\r\nbody\r\n"
    seen = scan(content)
    assert seen.truncated
    assert not seen.has_from
    assert content[seen.end :] == b"body\r\n"
    assert strip(content, seen) == [content]


def test_a_long_body_without_a_header_is_not_a_huge_header() -> None:
    content = b"no header at all\r\n" + b"line\r\n" * 60_000
    seen = scan(content)
    assert not seen.truncated
    assert (seen.end, seen.separated) == (0, False)


lines = st.lists(
    st.sampled_from(
        [
            b"From: a@b",
            b"Received: x",
            b"X-Penstock-Tag: v",
            b"x-penstock-: v",
            b"\tfolded",
            b"",
            b"junk",
            b"From ",
            b":",
            b"\xff\x00: x",
        ]
    )
).map(b"\r\n".join)


@given(st.one_of(st.binary(max_size=400), lines, st.tuples(lines, st.binary()).map(b"".join)))
def test_any_bytes(content: bytes) -> None:
    seen = scan(content)
    assert 0 <= seen.end <= len(content)
    result = b"".join(strip(content, seen))
    assert result[: seen.stripped_end].endswith(b"\r\n")
    assert result[seen.stripped_end :] == content[seen.end :]
    assert b"x-penstock-" not in {
        line[:11] for line in result[: seen.stripped_end].lower().split(b"\n")
    }
    if content.count(b"\n") != content.count(b"\r\n"):
        return  # the wire does not let it in; it is enough that nothing breaks
    again = scan(result)
    assert again.separated
    assert not again.cuts
    assert again.end == seen.stripped_end
    assert again.received_count == seen.received_count


def test_received_tells_the_hop() -> None:
    field = headers.received(
        helo="client.example.com",
        address="192.0.2.1",
        rdns="mail.example.com",
        hostname="mx.example.org",
        protocol="ESMTPS",
        id="0abc",
        tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
        recipient="bob@example.net",
        now=1_700_000_000.9,
    )
    assert field == (
        b"Received: from client.example.com (mail.example.com [192.0.2.1])\r\n"
        b"\tby mx.example.org with ESMTPS id 0abc\r\n"
        b"\t(TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
        b"\tfor <bob@example.net>; Tue, 14 Nov 2023 22:13:20 +0000\r\n"
    )


def test_received_without_what_is_not_known() -> None:
    field = headers.received(helo="", address="2001:db8::1", hostname="", protocol="", id="", now=0)
    assert field == (
        b"Received: from unknown ([IPv6:2001:db8::1])\r\n"
        b"\tby localhost with SMTP id 0; Thu, 01 Jan 1970 00:00:00 +0000\r\n"
    )


@pytest.mark.parametrize(
    ("recipient", "protocol", "clause"),
    [
        ("b\N{LATIN SMALL LETTER U WITH DIAERESIS}b@example.net", "ESMTP", False),
        ("b\N{LATIN SMALL LETTER U WITH DIAERESIS}b@example.net", "UTF8SMTPS", True),
        ("bob@example.net", "SMTP", True),
        ('"a b"@example.net', "ESMTP", False),
        ("x" * 400, "ESMTP", False),
    ],
)
def test_the_for_clause_is_left_out_where_it_cannot_be_told(
    recipient: str, protocol: str, clause: bool
) -> None:
    field = headers.received(
        helo="h", address="::1", hostname="m", protocol=protocol, id="1", now=0, recipient=recipient
    )
    assert (f"for <{recipient}>;".encode() in field) is clause


@given(st.lists(st.text(max_size=40), min_size=8, max_size=8), st.floats(0, 1e13))
def test_nothing_can_be_injected(values: list[str], now: float) -> None:
    helo, rdns, address, hostname, protocol, id, tls, recipient = values
    added = headers.received(
        helo=helo,
        address=address,
        rdns=rdns,
        hostname=hostname,
        protocol=protocol,
        id=id,
        tls=tls,
        recipient=recipient,
        now=now,
    )
    added += headers.message_id_field(id, hostname) + headers.date_field(now)
    seen = scan(added + b"\r\n")
    assert (seen.received_count, seen.has_message_id, seen.has_date) == (1, True, True)
    assert not seen.has_from
    assert not seen.cuts
    assert seen.end == len(added) + 2
    assert added.count(b"\r") == added.count(b"\n") == added.count(b"\r\n")
    message = message_from_bytes(added + b"\r\n")
    assert message.keys() == ["Received", "Message-ID", "Date"]


def test_every_word_is_shortened() -> None:
    field = headers.received(
        helo="h" * 9999,
        address="a",
        hostname="m" * 9999,
        protocol="P",
        id="1" * 9999,
        now=0,
        tls="t" * 9999,
    )
    assert len(field) < 4 * headers.WORD_CHARS_MAX + 100
    assert max(map(len, field.split(b"\r\n"))) <= 998


def test_date_and_message_id_read_back() -> None:
    message = message_from_bytes(
        headers.date_field(1_700_000_000.5) + headers.message_id_field("0abc", "mx.example.org"),
        policy=policy.default,
    )
    assert parsedate_to_datetime(message["Date"]).timestamp() == 1_700_000_000
    assert message["Message-ID"] == "<0abc@mx.example.org>"
    assert headers.message_id_field("", "") == b"Message-ID: <unknown@localhost>\r\n"


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("SMTP", {"extended": False, "tls": False, "authenticated": False}),
        ("ESMTP", {"extended": True, "tls": False, "authenticated": False}),
        ("ESMTPSA", {"extended": True, "tls": True, "authenticated": True}),
        ("UTF8SMTPS", {"extended": True, "tls": True, "authenticated": False, "utf8": True}),
    ],
)
def test_protocol_names(name: str, facts: dict[str, bool]) -> None:
    assert headers.protocol(**facts) == name
