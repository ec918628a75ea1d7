"""Mail that is made to hurt: what it costs is bounded by what is looked at, not by what it claims.

Times are for a machine ten times slower than the one they were taken on.
"""

from __future__ import annotations

import base64
import time
import tracemalloc

import pytest

from penstock.feedback.classify import Classifier
from penstock.feedback.report import ReportLimits, parse_report
from penstock.feedback.report_decode import bytes_of, charset_of, plain_of, text_of, words_of
from penstock.feedback.report_mime import header_of, parts_of

SECONDS_MAX = 3.0
MEMORY_BYTES_MAX = 32 << 20
MIB = 1 << 20
HEAD = b"From: MAILER-DAEMON@example.org\nReturn-Path: <>\nSubject: failure notice\n"
REPORT = HEAD + b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
TEXT = HEAD + b"\nYour message could not be delivered.\n\n"


def nested(depth: int) -> bytes:
    """Multiparts within each other, with a bounce in the innermost."""
    start = HEAD
    for level in range(depth):
        start += b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (level, level)
    return start + b"\n<a@example.com>: 550 5.1.1 User unknown\n"


def mails_within(depth: int) -> bytes:
    return HEAD + b"Content-Type: message/rfc822\n\n" * depth + b"From: a@example.com\n\nx"


PART = b"--b\nContent-Type: "
UTF_7 = b"Content-Type: text/plain; charset=utf-7\n\n"
JAPANESE = b"Content-Type: text/plain; charset=iso-2022-jp\n\n"
FEEDBACK = b"Content-Type: message/feedback-report\n\n"
BOMBS = {
    "parts": REPORT + b"--b\n\nx\n" * 100_000,
    "empty parts": REPORT + b"--b\n" * 250_000,
    "status parts": REPORT + (PART + b"message/delivery-status\n\nFinal-Recipient:x\n") * 15_000,
    "multiparts side by side": REPORT + (PART + b"multipart/mixed; boundary=c\n\n--c--\n") * 18_000,
    "multiparts that never come": REPORT
    + b"".join(b"--b\nContent-Type: multipart/mixed; boundary=x%d\n\n" % n for n in range(20_000)),
    "nesting": nested(1000),
    "deep nesting": nested(15_000),
    "mails within mails": mails_within(1000),
    "mails within mails, many": mails_within(30_000),
    "a header of one field": b"Subject: " + b"x" * MIB + b"\n\n",
    "a header of many fields": b"X: y\n" * 200_000 + b"\n",
    "a header of one field, folded": b"Subject: a\n" + b" b\n" * 300_000 + b"\n",
    "encoded words": b"Subject: " + b"=?utf-8?b?eA==?= " * 60_000 + b"\n\n",
    "encoded words, open": b"Subject: " + b"=?utf-8?b?" * 100_000 + b"\n\n",
    "parameters": HEAD + b"Content-Type: text/plain" + b"; a=b" * 200_000 + b"\n\nx",
    "recipients": TEXT + b"".join(b"<a%d@example.com>: no\n" % n for n in range(40_000)),
    "groups": REPORT
    + b"--b\nContent-Type: message/delivery-status\n\n"
    + b"".join(b"Final-Recipient: x;a%d@b.c\nAction: failed\n\n" % n for n in range(20_000)),
    "a recipient that never ends": TEXT + b"a" * MIB,
    "half addresses": TEXT + b"a@" * (MIB // 2),
    "addresses without an end": TEXT + b"<a@b.c" * (MIB // 6),
    "codes": TEXT + b"550 " * (MIB // 4),
    "codes on lines": TEXT + b"550\n" * (MIB // 4),
    "said": TEXT + b"<<< 550-no\n" * (MIB // 11),
    "asked": TEXT + b">>> RCPT To:<a@b.c>\n" * (MIB // 20),
    "colons": TEXT + b":" * MIB,
    "spaces": TEXT + b" " * MIB + b"550 5.1.1 x",
    "blank lines": TEXT + b"\n" * MIB,
    "line ends": TEXT + b"\r\n \r\n" * (MIB // 5),
    "quotations": TEXT + b"> " * (MIB // 2),
    "header lines": TEXT + b"Received: x\n" * (MIB // 12),
    "dashes": TEXT + b"-" * MIB,
    "tags": HEAD + b"Content-Type: text/html\n\n" + b"<" * MIB,
    "styles": HEAD + b"Content-Type: text/html\n\n" + b"<style>" * (MIB // 7),
    "tags that never end": HEAD + b"Content-Type: text/html\n\n" + b"<a " * (MIB // 3),
    "references": HEAD + b"Content-Type: text/html\n\n" + b"&#9;&amp" * (MIB // 8),
    "feedback": FEEDBACK + b"Original-Rcpt-To: a@b.c\n" * 40_000,
    "feedback in text": b"\n" + b"Feedback-Type: abuse\n\n" * 40_000,
    "objects": b"\n" + b'{"notificationType":' * 50_000,
    "lists": b"\n" + b'{"notificationType":"Bounce","bounce":' + b"[" * MIB,
    "zeros": b"\0" * MIB,
    "quoted-printable": HEAD + b"Content-Transfer-Encoding: quoted-printable\n\n" + b"=" * MIB,
    "base64": HEAD + b"Content-Transfer-Encoding: base64\n\n" + base64.b64encode(b"x" * MIB),
    "utf-7": HEAD + UTF_7 + b"+AAA" * (MIB // 4),
    "iso-2022-jp": HEAD + JAPANESE + b"\x1b$B" * (MIB // 3),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_no_more_than_what_is_looked_at(name: str, shipped: Classifier) -> None:
    content, limits = BOMBS[name], ReportLimits()
    started = time.perf_counter()
    report = parse_report(content, shipped)
    took = time.perf_counter() - started
    assert took < SECONDS_MAX
    assert len(report.findings) <= limits.recipients_max


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_no_memory(name: str, shipped: Classifier) -> None:
    content = BOMBS[name]
    tracemalloc.start()
    try:
        parse_report(content, shipped)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_BYTES_MAX


def test_only_so_many_parts_are_made() -> None:
    limits = ReportLimits()
    assert len(parts_of(BOMBS["parts"], limits)) == limits.parts_max - 1  # the whole counts too
    few = ReportLimits(parts_max=4)
    assert len(parts_of(BOMBS["parts"], few)) == 3


def test_only_so_deep() -> None:
    parts = parts_of(nested(1000), ReportLimits(depth_max=3))
    assert [part.kind for part in parts] == ["multipart/mixed"]
    assert b"--b4" in parts[0].body
    deep = parts_of(nested(3), ReportLimits(depth_max=3))
    assert [part.kind for part in deep] == ["text/plain"]


def test_only_so_much_of_a_header() -> None:
    limits = ReportLimits(fields_max=10, value_chars_max=50, header_bytes_max=2000)
    fields = header_of(b"A: " + b"x" * 500 + b"\n" + b"B: y\n" * 50 + b"\nbody", limits)
    assert len(fields.items) == 10
    assert fields.get("a") == "x" * 50
    folded = header_of(b"A: x\n" + b" y\n" * 300 + b"B: z\n\n", limits)
    assert len(folded.get("a")) <= 50
    assert folded.get("b") == "z"


@pytest.mark.parametrize(
    ("name", "decoder"),
    [
        ("UTF-8", "utf-8"),
        ('"iso-8859-1"', "iso8859-1"),
        ("unicode-1-1-utf-7", "utf-7"),
        ("x-sjis", "shift_jis"),
        ("Windows-1251", "cp1251"),
        ("iso-8859-8-i", "iso8859-8"),
        *((name, "") for name in ("punycode", "idna", "unicode_escape", "raw_unicode_escape")),
        *((name, "") for name in ("rot13", "hex", "zlib", "bz2", "undefined", "", "no", "x" * 99)),
        *((name, "") for name in ("\0", "utf-8\0", "..", "ü", "utf-8\n")),
    ],
)
def test_which_charsets_are_believed(name: str, decoder: str) -> None:
    assert charset_of(name) in (decoder, "utf-8" if name == "utf-8\n" else decoder)


def test_a_charset_that_lies() -> None:
    assert text_of("é".encode(), "us-ascii") == "é"
    assert text_of(b"\xe9", "us-ascii") == "é"
    assert text_of("é".encode(), "no-such-charset") == "é"
    assert text_of(b"\xff\xfea", "utf-16-le")
    assert text_of(b"\xe9", "utf-8") == "�"
    assert text_of("доставлен".encode()[:-1]) == "доставле�"


def test_transfer_encodings_that_are_broken() -> None:
    assert bytes_of(b"eHh4\n  eHh4!", "base64") == b"xxxxxx"
    assert bytes_of(b"eHh4eA", "BASE64") == b"xxxx"
    assert bytes_of(b"e", "base64") == b""
    assert bytes_of(b"a=\nb=3Dc=", "quoted-printable") == b"ab=c"
    assert bytes_of(b"x", "x-uuencode") == b"x"


def test_encoded_words() -> None:
    assert words_of("=?utf-8?q?a=C3=A9_b?= c") == "aé b c"
    assert words_of("=?utf-8?b?w6k=?=\n =?utf-8?b?w6k=?=") == "éé"
    assert words_of("=?no-such?q?a?= =?utf-8?x?a?=") == "a=?utf-8?x?a?="


def test_markup_becomes_lines() -> None:
    page = "<head><title>x</title></head><style>p {}</style><p>a&lt;b<br>c <b>d</b></p><styled>e"
    assert [line.strip() for line in plain_of(page).split("\n") if line.strip()] == [
        "a<b",
        "c  d",
        "e",
    ]
    assert plain_of("a<script>b") == "a"
