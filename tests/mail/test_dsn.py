"""Reports, read back by the standard library."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage, Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.mail.dsn import Action, Fate, Notification, report, wanted
from penstock.mail.dsn_status import decode_xtext, status_of
from penstock.mail.envelope import Envelope, Recipient
from penstock.mail.headers import body_offset
from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.smtp.reply import Reply

UE = "\N{LATIN SMALL LETTER U WITH DIAERESIS}"
NOW = 1_700_000_000.0
NOW_TEXT = "Tue, 14 Nov 2023 22:13:20 +0000"
ORIGINAL = (
    b"From: ann@example.com\r\nTo: bob@example.net\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Message-ID: <1@example.com>\r\n\r\nHello Bob\r\n"
)
REFUSED = Outcome(
    Kind.BOUNCED,
    Phase.RCPT,
    Reply(550, ("5.1.1 The account does not", "5.1.1 exist")),
    "mx.example.net",
    "192.0.2.7",
)
TIMED_OUT = Outcome(Kind.DEFERRED, Phase.CONNECT, Reply.of(451, "4.4.1 connection timed out"))


def envelope(sender: str = "ann@example.com", **more: object) -> Envelope:
    return Envelope(sender, [], NOW - 60, **more)  # type: ignore[arg-type]


def failed(address: str = "bob@example.net", orcpt: str = "", **more: object) -> Fate:
    return Fate(Recipient(address, (), orcpt), Action.FAILED, REFUSED, NOW, **more)  # type: ignore[arg-type]


def made(
    fates: list[Fate], about: Envelope | None = None, content: bytes = ORIGINAL, **more: int
) -> Notification:
    end = body_offset(content)
    about = about or envelope()
    return report(about, fates, content, end, id="0dsn", hostname="mx.example.org", now=NOW, **more)


def parts(notification: Notification) -> tuple[EmailMessage, str, list[Message], EmailMessage]:
    """The report, its words, its groups of fields, and the part about the original."""
    message = message_from_bytes(notification.content, policy=policy.SMTP)
    assert isinstance(message, EmailMessage)
    assert message.get_content_type() == "multipart/report"
    assert message["Content-Type"].params["report-type"] == "delivery-status"
    assert all(not part.defects for part in message.walk())
    words, status, original = message.get_payload()
    assert words.get_content_type() == "text/plain"
    groups = status.get_payload()
    if status.get_content_type() == "message/global-delivery-status":  # unknown to the library
        raw = groups[0].as_bytes(policy=policy.SMTPUTF8).split(b"\r\n\r\n")
        groups = [message_from_bytes(group, policy=policy.SMTPUTF8) for group in raw]
    return message, words.get_content(), groups, original


def test_a_failure() -> None:
    notification = made(
        [failed(orcpt="rfc822;Bob+2Bx@example.net")], envelope(envid="QQ+2B314", tenant="acme")
    )
    message, words, (about, bob), original = parts(notification)

    assert message["From"] == "Mail Delivery System <mailer-daemon@mx.example.org>"
    assert message["To"] == "ann@example.com"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Date"] == NOW_TEXT
    assert message["Message-ID"] == "<0dsn@mx.example.org>"
    assert message["In-Reply-To"] == message["References"] == "<1@example.com>"

    assert "could not be delivered" in words
    assert f"subject: Gr{UE}\N{LATIN SMALL LETTER SHARP S}e" in words
    assert "<bob@example.net>" in words
    assert "mx.example.net [192.0.2.7] refused it and said:" in words
    assert "550 5.1.1 The account does not exist" in words

    assert dict(about.items()) == {
        "Reporting-MTA": "dns; mx.example.org",
        "Original-Envelope-Id": "QQ+314",
        "Arrival-Date": "Tue, 14 Nov 2023 22:12:20 +0000",
    }
    assert dict(bob.items()) == {
        "Original-Recipient": "rfc822; Bob+x@example.net",
        "Final-Recipient": "rfc822; bob@example.net",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.example.net",
        "Diagnostic-Code": "smtp; 550 5.1.1 The account does not exist",
        "Last-Attempt-Date": NOW_TEXT,
    }
    assert original.get_content_type() == "message/rfc822"
    assert original.get_payload(0)["Message-ID"] == "<1@example.com>"
    assert ORIGINAL in notification.content
    assert notification.content.isascii()

    back = notification.envelope
    assert back.sender == ""
    assert back.recipients == [Recipient("ann@example.com", ("NEVER",))]
    assert back.tenant == "acme"
    assert not back.eightbit
    assert not back.smtputf8
    assert not wanted(back.recipients[0].notify, Action.FAILED, back.sender)


def test_a_delay() -> None:
    fate = Fate(Recipient("bob@example.net"), Action.DELAYED, TIMED_OUT, NOW, NOW + 3600)
    message, words, (_, bob), original = parts(made([fate]))
    assert "Delayed" in message["Subject"]
    assert "has not been delivered" in words
    assert "It will be tried until Tue, 14 Nov 2023 23:13:20" in words
    assert bob["Action"] == "delayed"
    assert bob["Status"] == "4.4.1"
    assert bob["Will-Retry-Until"] == "Tue, 14 Nov 2023 23:13:20 +0000"
    assert bob["Remote-MTA"] is None  # nobody answered
    assert bob["Diagnostic-Code"] == "x-penstock; 451 4.4.1 connection timed out"
    assert original.get_content_type() == "text/rfc822-headers"  # RFC 3461 4.3


@pytest.mark.parametrize("action", [Action.RELAYED, Action.DELIVERED])
def test_a_success(action: Action) -> None:
    outcome = Outcome(Kind.DELIVERED, Phase.FINAL, Reply.of(250, "OK"), "mx.example.net")
    fate = Fate(Recipient("bob@example.net", ("SUCCESS",)), action, outcome, NOW)
    _, words, (_, bob), original = parts(made([fate], envelope(ret="FULL")))
    assert "The mail server mx.example.net said:\n        250 OK" in words.replace("\r\n", "\n")
    assert bob["Action"] == action.value
    assert bob["Status"] == "2.0.0"
    assert original.get_content_type() == "text/rfc822-headers"


def test_an_expired_message() -> None:
    fates = [
        Fate(Recipient("a@x.example"), Action.FAILED, TIMED_OUT, NOW, expired=True),
        Fate(Recipient("b@x.example"), Action.FAILED, expired=True),
        Fate(Recipient("c@x.example"), Action.FAILED),
    ]
    _, words, (_, *groups), _ = parts(made(fates))
    assert [group["Status"] for group in groups] == ["4.4.1", "4.4.7", "4.0.0"]
    assert [group["Final-Recipient"] for group in groups] == [
        "rfc822; a@x.example",
        "rfc822; b@x.example",
        "rfc822; c@x.example",
    ]
    assert words.count("its time had run out") == 2
    assert words.count("No delivery was tried.") == 2
    assert "It could not be handed on:" in words


@pytest.mark.parametrize(
    ("ret", "size", "kind"),
    [
        ("", 100, "message/rfc822"),
        ("", 60_000, "text/rfc822-headers"),
        ("HDRS", 100, "text/rfc822-headers"),
        ("FULL", 60_000, "message/rfc822"),
    ],
)
def test_what_is_returned(ret: str, size: int, kind: str) -> None:
    content = ORIGINAL + b"x\r\n" * (size // 3)
    notification = made([failed()], envelope(ret=ret), content)
    *_, original = parts(notification)
    assert original.get_content_type() == kind
    assert (content in notification.content) is (kind == "message/rfc822")
    assert b"Message-ID: <1@example.com>\r\n" in notification.content


def test_a_returned_header_has_a_bound() -> None:
    content = b"X-Filler: x\r\n" * 20_000 + ORIGINAL
    assert len(made([failed()], None, content).content) < 80_000


def test_an_eight_bit_message_makes_an_eight_bit_report() -> None:
    notification = made([failed()], None, ORIGINAL + f"Gr{UE}n\r\n".encode())
    message, *_, original = parts(notification)
    assert notification.envelope.eightbit
    assert message["Content-Transfer-Encoding"] == "8bit"
    assert original["Content-Transfer-Encoding"] == "8bit"
    assert original.get_content_type() == "message/rfc822"


def test_a_report_to_an_internationalised_sender() -> None:
    sender = f"{UE}@example.com"
    content = b"Subject: " + UE.encode() + b"\r\n" + ORIGINAL
    fate = failed(f"bob@{UE}.example", orcpt="utf-8;b+2Bb\\x{FC}@example.net")
    notification = made([fate], envelope(sender, smtputf8=True, ret="HDRS"), content)
    _, words, (_, bob), original = parts(notification)
    assert notification.envelope.smtputf8
    assert notification.envelope.eightbit
    assert b"Content-Type: message/global-delivery-status\r\n" in notification.content
    assert bob["Final-Recipient"] == f"utf-8; bob@{UE}.example"
    assert bob["Original-Recipient"] == f"utf-8; b+b{UE}@example.net"
    assert original.get_content_type() == "message/global-headers"
    assert f"<bob@{UE}.example>" in words
    assert f"To: <{sender}>\r\n".encode() in notification.content


def test_an_internationalised_recipient_of_an_ascii_sender() -> None:
    fate = failed(f"b+{UE}@example.net", orcpt="utf-8;a+2Bb@example.net")
    content = b"Subject: " + UE.encode() + b"\r\n" + ORIGINAL
    notification = made([fate], envelope(smtputf8=True), content)
    _, _, (_, bob), original = parts(notification)
    assert not notification.envelope.smtputf8
    assert bob["Final-Recipient"] == "utf-8; b\\x{2B}\\x{FC}@example.net"
    assert bob["Original-Recipient"] == "utf-8; a\\x{2B}b@example.net"
    assert original.get_content_type() == "message/global"


def test_diagnostics_keep_to_ascii_and_to_lines() -> None:
    said = f"5.7.1 nicht zul{UE}ssig " + "wort " * 100 + "x" * 2000 + "\r\nAction: delivered"
    outcome = Outcome(Kind.BOUNCED, Phase.FINAL, Reply.of(554, said), "mx.example.net")
    fate = Fate(Recipient("bob@example.net"), Action.FAILED, outcome, NOW)
    notification = made([fate])
    _, _, (_, bob), _ = parts(notification)
    assert bob["Action"] == "failed"
    assert "nicht zul?ssig" in bob["Diagnostic-Code"]
    assert max(map(len, notification.content.split(b"\r\n"))) < 998


def test_a_report_needs_a_sender_and_one_action() -> None:
    delayed = Fate(Recipient("c@example.net"), Action.DELAYED)
    for fates, about in (
        ([failed()], envelope("")),
        ([], envelope()),
        ([failed(), delayed], envelope()),
    ):
        with pytest.raises(ValueError, match="a report"):
            made(fates, about)


@pytest.mark.parametrize(
    ("notify", "due"),
    [
        ((), {Action.FAILED}),
        (("NEVER",), set()),
        (("FAILURE",), {Action.FAILED}),
        (("DELAY",), {Action.DELAYED}),
        (("SUCCESS",), {Action.RELAYED, Action.DELIVERED}),
        (("SUCCESS", "FAILURE", "DELAY"), set(Action)),
    ],
)
def test_what_notify_asks_for(notify: tuple[str, ...], due: set[Action]) -> None:
    assert {action for action in Action if wanted(notify, action, "ann@example.com")} == due
    assert not any(wanted(notify, action, "") for action in Action)


@pytest.mark.parametrize(
    ("code", "text", "status"),
    [
        (550, "5.1.1 no such user", "5.1.1"),
        (550, "no such user", "5.0.0"),
        (552, "full", "5.2.2"),
        (451, "later", "4.3.0"),
        (250, "ok", "2.0.0"),
        (450, "5.7.1 contradicts itself", "4.7.1"),
    ],
)
def test_status_codes(code: int, text: str, status: str) -> None:
    assert status_of(Reply.of(code, text)) == status


def test_xtext() -> None:
    assert decode_xtext("a+2Bb+3Dc") == "a+b=c"
    assert decode_xtext("a+zz") == "a+zz"
    assert decode_xtext("\\x{FC}\\x{D800}\\x{110000}") == f"{UE}\\x{{D800}}\\x{{110000}}"


texts = st.text(max_size=60)


@given(texts, texts, texts, texts, texts, st.lists(texts, min_size=1, max_size=3), st.binary())
def test_nothing_breaks_the_structure(
    sender: str,
    address: str,
    orcpt: str,
    envid: str,
    host: str,
    lines: list[str],
    content: bytes,
) -> None:
    outcome = Outcome(Kind.BOUNCED, Phase.RCPT, Reply(550, tuple(lines)), host)
    fate = Fate(Recipient(address, (), orcpt), Action.FAILED, outcome, NOW)
    about = envelope(sender or "a@b", envid=envid)
    notification = made([fate], about, b"Subject: =?x?q?=\r\n" + content)
    message = message_from_bytes(notification.content)
    assert (
        message.keys()
        == [
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "MIME-Version",
            "Content-Type",
            *(["Content-Transfer-Encoding"] if "Content-Transfer-Encoding" in message else []),
        ]
        or message["In-Reply-To"]
    )
    status = message.get_payload()[1].as_bytes().split(b"\n\n", 1)[1]
    assert status.count(b"\nAction: ") == 1
    assert status.count(b"\nFinal-Recipient: ") + status.count(b"Reporting-MTA: ") == 2
    assert len(message.get_payload()) == 3
