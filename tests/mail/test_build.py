"""Messages as they are built: the bytes, the structure, and what is refused in which words."""

from __future__ import annotations

import email
import email.policy
import hashlib
import time
import tracemalloc
from typing import Any

import pytest
from tests.mail.msglint import lint

from penstock.mail.build import Attachment, BadDraft, Draft, Mailbox, build
from penstock.mail.build_text import encode_text, quoted_printable
from penstock.mail.headers import scan

ME = Mailbox("Shop", "news@example.com")
YOU = Mailbox("", "ivan@example.net")


def draft(**given: Any) -> Draft:
    return Draft(
        **{"from_": ME, "to": (YOU,), "text": "Hello\n", "date": 1_790_000_000.0,
           "message_id": "1@example.com"} | given
    )  # fmt: skip


def test_the_smallest_message() -> None:
    assert build(draft(subject="Hi")).content == (
        b"From: Shop <news@example.com>\r\n"
        b"To: ivan@example.net\r\n"
        b"Subject: Hi\r\n"
        b"Date: Mon, 21 Sep 2026 14:13:20 +0000\r\n"
        b"Message-ID: <1@example.com>\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"Hello\r\n"
    )


def test_intake_reads_it_as_it_was_meant() -> None:
    content = build(draft(subject="ж" * 200, headers=(("X-A", "b"),))).content
    seen = scan(content)
    assert seen.has_from
    assert seen.has_date
    assert seen.has_message_id
    assert seen.separated
    assert not seen.control
    assert content[seen.end :] == b"Hello\r\n"


def structure(given: Draft) -> str:
    """Such as ``mixed(alternative(plain html) png)``."""

    def shape(part: Any) -> str:
        inner = " ".join(shape(one) for one in part.iter_parts()) if part.is_multipart() else ""
        return f"{part.get_content_subtype()}({inner})" if inner else part.get_content_subtype()

    content = build(given).content
    assert lint(content) == []
    return shape(email.message_from_bytes(content, policy=email.policy.default))


PNG = Attachment(b"x", "a.png", content_id="logo", inline=True)
PDF = Attachment(b"x", "a.pdf")
LOOSE = Attachment(b"x", "a.gif", inline=True)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "plain"),
        ({"text": None, "html": "h"}, "html"),
        ({"html": "h"}, "alternative(plain html)"),
        ({"html": "h", "amp": "a"}, "alternative(plain x-amp-html html)"),
        ({"attachments": (PDF,)}, "mixed(plain pdf)"),
        ({"text": None, "attachments": (PDF,)}, "mixed(pdf)"),
        ({"text": None, "html": "h", "attachments": (PNG,)}, "related(html png)"),
        ({"html": "h", "attachments": (PNG,)}, "alternative(plain related(html png))"),
        ({"html": "h", "attachments": (PNG, PDF, LOOSE)},
         "mixed(alternative(plain related(html png)) pdf gif)"),
        ({"attachments": (PNG,)}, "mixed(plain png)"),
    ],
)  # fmt: skip
def test_the_structure(given: dict[str, Any], expected: str) -> None:
    assert structure(draft(**given)) == expected


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("", b"7bit"),
        ("plain\tASCII\n", b"7bit"),
        ("x" * 78, b"7bit"),
        ("x" * 79, b"quoted-printable"),
        ("trailing \n", b"quoted-printable"),
        ("From here\n", b"quoted-printable"),
        (".\n", b"quoted-printable"),
        ("--=_a\n", b"quoted-printable"),
        ("bell\a", b"quoted-printable"),
        ("a café in the town", b"quoted-printable"),
        ("Привет", b"base64"),
        ("中文", b"base64"),
    ],
)
def test_the_transfer_encoding(text: str, encoding: bytes) -> None:
    assert encode_text(text)[0] == encoding


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a=b\r\n", b"a=3Db\r\n"),
        (b"a \r\nb\t\r\n", b"a=20\r\nb=09\r\n"),
        (b"x" * 76 + b"\r\n", b"x" * 76 + b"\r\n"),
        (b"x" * 77 + b"\r\n", b"x" * 75 + b"=\r\nxx\r\n"),
        (b"x" * 74 + b"=y\r\n", b"x" * 74 + b"=\r\n=3Dy\r\n"),
        (b"x" * 75 + b" \r\n", b"x" * 75 + b"=\r\n=20\r\n"),
        (b"From a\r\n.\r\n", b"=46rom a\r\n=2E\r\n"),
        (b"From " + b"x" * 71 + b"\r\n", b"=46rom =\r\n" + b"x" * 71 + b"\r\n"),
        (b"From " * 15 + b"x\r\n", b"=46rom =\r\n=46" + b"From "[1:] + b"From " * 13 + b"x\r\n"),
        (bytes(range(128, 160)), b"".join(b"=%02X" % one for one in range(128, 153)) + b"=\r\n"
         + b"".join(b"=%02X" % one for one in range(153, 160))),
    ],
)  # fmt: skip
def test_quoted_printable(data: bytes, expected: bytes) -> None:
    assert quoted_printable(data) == expected


@pytest.mark.parametrize("name", ["Иван Петров", "王小明", "😀🎉", "Zoë", 'An "A" Lee', "Lee, Ann"])
def test_names_and_subjects_of_the_world(name: str) -> None:
    built = build(draft(from_=Mailbox(name, "a@example.com"), subject=name))
    assert lint(built.content) == []
    message = email.message_from_bytes(built.content, policy=email.policy.default)
    assert message["From"].addresses[0].display_name == name
    assert message["Subject"] == name
    assert not built.smtputf8


def test_a_local_part_that_is_not_ascii_needs_smtputf8() -> None:
    built = build(draft(to=(Mailbox("Иван", "иван@пример.рф"),)))
    assert built.smtputf8
    assert built.eightbit
    assert "To: =?utf-8?b?0JjQstCw0L0=?= <иван@xn--e1afmkfd.xn--p1ai>\r\n".encode() in built.content
    assert lint(built.content, smtputf8=True) == []


def test_nobody_named() -> None:
    assert b"\r\nTo: undisclosed-recipients:;\r\n" in build(draft(to=())).content
    assert b"\r\nTo:" not in build(draft(to=(), cc=(YOU,))).content


def test_structured_fields_are_not_encoded() -> None:
    link = "<https://example.com/" + "x" * 300 + ">"
    built = build(draft(headers=(("List-Unsubscribe", link), ("Sender", "Bot <b@example.com>"))))
    assert f"\r\nList-Unsubscribe: {link}\r\n".encode() in built.content
    assert b"\r\nSender: Bot <b@example.com>\r\n" in built.content
    assert lint(built.content, overlong_fields=True) == []


LONG_ID = "x" * 300 + "@example.com"


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({"from_": Mailbox("", "nobody")}, "from", "'nobody' is no address"),
        ({"to": (YOU, Mailbox("a\nb", "a@b.c"))}, "to[1]", "control character"),
        ({"cc": (Mailbox("", ""),)}, "cc[0]", "is no address"),
        ({"reply_to": (Mailbox("", "a@b..c"),)}, "reply_to[0]", "is no address"),
        ({"to": (YOU,) * 1001}, "to", "more than 1000 addresses"),
        ({"subject": "a\r\nBcc: b"}, "subject", "one line of text"),
        ({"subject": "a\tb"}, "subject", "'\\t' at 1"),
        ({"subject": "x" * 5000}, "subject", "longer than 4096"),
        ({"subject": "\ud83d"}, "subject", "control character"),
        ({"text": "\ud83d"}, "text", "surrogate"),
        ({"html": "a\udc00"}, "html", "surrogate pair at 1"),
        ({"text": None}, "text", "the message is empty"),
        ({"text": None, "amp": "a"}, "amp", "need text or html"),
        ({"message_id": "x"}, "message_id", "left@right"),
        ({"message_id": "a b@c"}, "message_id", "left@right"),
        ({"message_id": LONG_ID}, "message_id", "left@right"),
        ({"headers": (("Bcc", "a"),)}, "headers.Bcc", "give it as bcc"),
        ({"headers": (("subject", "a"),)}, "headers.subject", "give it as subject"),
        ({"headers": (("DKIM-Signature", "a"),)}, "headers.DKIM-Signature", "the engine signs"),
        ({"headers": (("Content-Type", "a"),)}, "headers.Content-Type", "follows from text"),
        ({"headers": (("X-Penstock-Tenant", "a"),)}, "headers.X-Penstock-Tenant", "of the request"),
        ({"headers": (("Resent-From", "a"),)}, "headers.Resent-From", "a new message has none"),
        ({"headers": (("X A", "a"),)}, "headers.X A", "is no header name"),
        ({"headers": (("", "a"),)}, "headers.", "is no header name"),
        ({"headers": (("X-Ж", "a"),)}, "headers.X-Ж", "is no header name"),
        ({"headers": (("X:", "a"),)}, "headers.X:", "is no header name"),
        ({"headers": (("X" * 51, "a"),)}, "headers." + "X" * 50, "up to 50"),
        ({"headers": (("X-A", "a\nb"),)}, "headers.X-A", "one line of text"),
        ({"headers": (("X-A", "a" * 9000),)}, "headers.X-A", "longer than 8192"),
        ({"headers": (("X-A", "a"),) * 101}, "headers", "more than 100"),
        ({"headers": (("X-A", "a" * 8000),) * 9}, "headers", "longer than 65536"),
        ({"headers": (("List-Id", "ж"),)}, "headers.List-Id", "ASCII only"),
        ({"headers": (("List-Id", "a"), ("list-id", "b"))}, "headers.list-id", "once only"),
        ({"headers": (("References", "<" + "a" * 999 + ">"),)}, "headers.References", "longer"),
        ({"headers": (("Sender", "nobody"),)}, "headers.Sender", "is no address"),
        ({"attachments": (Attachment(b"", "a\nb"),)}, "attachments[0].filename", "control"),
        ({"attachments": (Attachment(b"", "a" * 256),)}, "attachments[0].filename", "255"),
        ({"attachments": (PDF, Attachment(b"", "", "p"))}, "attachments[1].content_type", "'p'"),
        ({"attachments": (Attachment(b"", "", "multipart/mixed"),)}, "attachments[0].content_type",
         "is no type"),
        ({"attachments": (Attachment(b"", "", "a/b\r\nX: y"),)}, "attachments[0].content_type",
         "is no type"),
        ({"attachments": (Attachment(b"", "", "", "a b"),)}, "attachments[0].content_id",
         "is no content id"),
        ({"attachments": (PNG, PNG)}, "attachments[1].content_id", "another attachment"),
        ({"attachments": (PDF,) * 201}, "attachments", "more than 200"),
    ],
)  # fmt: skip
def test_what_is_refused(given: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(BadDraft) as caught:
        build(draft(**given))
    assert caught.value.field == field
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (Attachment(b"", "a.PDF"), "application/pdf"),
        (Attachment(b"", "a.unknown"), "application/octet-stream"),
        (Attachment(b"", "a.eml", "message/rfc822"), "application/octet-stream"),
        (Attachment(b"", "a.txt", "image/png; name=b.png"), "image/png"),
    ],
)
def test_the_type_of_an_attachment(given: Attachment, kind: str) -> None:
    message = email.message_from_bytes(
        build(draft(attachments=(given,))).content, policy=email.policy.default
    )
    (part,) = message.iter_attachments()
    assert part.get_content_type() == kind
    assert part.get_filename() == given.filename
    assert "name" not in part["Content-Type"].params


def test_an_attachment_of_20_mib() -> None:
    content = hashlib.shake_256(b"seed").digest(20 << 20)
    tracemalloc.start()
    started = time.process_time()
    built = build(draft(attachments=(Attachment(content, "big.bin"),)))
    took_s = time.process_time() - started
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 3 * len(content)
    assert took_s < 3
    message = email.message_from_bytes(built.content, policy=email.policy.default)
    (part,) = message.iter_attachments()
    assert part.get_content() == content
