"""Reports of each family, as their programs write them, and what is read out of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.feedback.classify import Classifier
from penstock.feedback.report import (
    Finding,
    Original,
    Report,
    as_fields,
    from_fields,
    parse_report,
)
from penstock.mail.verdict import Category, Fault

DAEMON = "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.org\nTo: bounces@example.net\n"
ORIGINAL = """\
Return-Path: <b-token@bounces.example.net>
Message-ID: <1.2@example.net>
Feedback-ID: 1:2:3:example
X-Penstock-Reference: 42
From: News <news@example.net>
To: Anna <anna@example.com>, bob@example.com
List-Unsubscribe: <https://example.net/u/1>
Subject: news
"""
ALL = Original(
    message_id="<1.2@example.net>",
    feedback_id="1:2:3:example",
    reference="42",
    sender="news@example.net",
    recipients=("anna@example.com", "bob@example.com"),
    return_path="b-token@bounces.example.net",
    list_unsubscribe="<https://example.net/u/1>",
)


def dsn(*groups: str, text: str = "", kind: str = "delivery-status") -> str:
    """A multipart/report in three parts."""
    return (
        f'{DAEMON}Subject: Undelivered\nContent-Type: multipart/report; boundary="b";\n'
        f" report-type={kind}\n\n--b\nContent-Type: text/plain\n\n{text}\n"
        f"--b\nContent-Type: message/{kind}\n\n"
        + "\n\n".join(groups)
        + f"\n\n--b\nContent-Type: message/rfc822\n\n{ORIGINAL}\ntext\n--b--\n"
    )


def group(
    recipient: str = "anna@example.com",
    *,
    action: str = "failed",
    status: str = "5.1.1",
    said: str = "550 5.1.1 no such user",
) -> str:
    return (
        f"Final-Recipient: rfc822; {recipient}\nAction: {action}\nStatus: {status}\n"
        f"Diagnostic-Code: smtp; {said}"
    )


def read(shipped: Classifier, mail: str) -> Report:
    whole = parse_report(mail.encode(), shipped)
    assert parse_report(mail.replace("\n", "\r\n").encode(), shipped) == whole
    return whole


def briefly(report: Report) -> list[tuple[str, str, bool]]:
    return [(one.recipient, one.category.value, one.suppress) for one in report.findings]


def test_a_failure_of_each_kind(shipped: Classifier) -> None:
    report = read(
        shipped,
        dsn(
            "Reporting-MTA: dns; mx.example.org",
            group(),
            group("bob@example.com", status="5.0.0", said="552 5.2.2 mailbox is full"),
            group("carl@example.com", said="550 5.1.1 blocked using zen.spamhaus.org"),
        ),
    )
    assert report.kind == "bounce"
    assert report.original == ALL
    assert report.reporter == "MAILER-DAEMON@mx.example.org"
    assert briefly(report) == [
        ("anna@example.com", "bad-mailbox", True),
        ("bob@example.com", "mailbox-full", False),
        ("carl@example.com", "reputation-block", False),
    ]
    first, second, _ = report.findings
    assert (first.status, first.reply_code, first.action) == ("5.1.1", "550", "failed")
    assert first.reply == "550 5.1.1 no such user"
    assert (first.fault, second.status) == (Fault.RECIPIENT, "5.2.2")


def test_the_action_counts(shipped: Classifier) -> None:
    actions = ["delayed", "delivered", "relayed", "expanded"]
    report = read(shipped, dsn("Reporting-MTA: dns; x", *(group(action=one) for one in actions)))
    assert report.kind == "bounce"
    assert briefly(report) == [
        ("anna@example.com", "bad-mailbox", False),  # it is still tried
        *[("anna@example.com", "delivered", False)] * 3,
    ]


@pytest.mark.parametrize(
    ("fields", "recipient"),
    [
        (
            "Original-Recipient: rfc822;anna+2Bx@example.com\nFinal-Recipient: rfc822;a@b.example",
            "anna+x@example.com",
        ),
        ("Original-Recipient: rfc822;\nFinal-Recipient: rfc822; <a@b.example>", "a@b.example"),
        (
            "Final-Recipient: rfc822;/var/mail/a\nX-Actual-Recipient: rfc822; a@b.example",
            "a@b.example",
        ),
        ("Original-Recipient: <a@b.example>", "a@b.example"),
        ("Final-Recipient: utf-8; анна@пример.example", "анна@пример.example"),
        ("final-recipient : RFC822 ; a@b.example", "a@b.example"),
    ],
)
def test_who_is_meant(shipped: Classifier, fields: str, recipient: str) -> None:
    report = read(shipped, dsn("Reporting-MTA: dns; x", f"{fields}\nAction: failed"))
    assert [one.recipient for one in report.findings] == [recipient]


def test_groups_without_a_blank_line_between(shipped: Classifier) -> None:
    report = read(shipped, dsn(f"Reporting-MTA: dns; x\n{group()}\n{group('bob@example.com')}"))
    assert [one.recipient for one in report.findings] == ["anna@example.com", "bob@example.com"]


FAMILIES = {
    "postfix": (
        "Subject: Undelivered Mail Returned to Sender\n\nThis is the mail system at host mx.\n\n"
        "<anna@example.com>: host mx.example.com[192.0.2.1] said: 550 5.1.1\n"
        "    <anna@example.com>: Recipient address rejected: User unknown (in reply to\n"
        "    RCPT TO command)\n\n<bob@example.com>: host mx.example.com[192.0.2.1] said: 552 "
        "5.2.2\n    mailbox full (in reply to end of DATA command)\n\n"
    ),
    "exim": (
        "Subject: Mail delivery failed\nAuto-Submitted: auto-replied\n"
        "X-Failed-Recipients: anna@example.com,\n bob@example.com\n\nThis message was created "
        "automatically by mail delivery software.\nThe following address(es) failed:\n\n"
        "  anna@example.com\n    host mx.example.com [192.0.2.1]\n    SMTP error from remote mail "
        "server after RCPT TO:<anna@example.com>:\n    550 Unknown user\n"
        "  bob@example.com\n    mailbox is full: retry timeout exceeded\n\n"
        "------ This is a copy of the message, including all the headers. ------\n\n"
    ),
    "qmail": (
        "Subject: failure notice\n\nHi. This is the qmail-send program at mx.\n\n"
        "<anna@example.com>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 5.1.1 no "
        "such user\nGiving up on 192.0.2.1.\n\n"
        "<bob@example.com>:\nRemote host said: 552 over quota\n"
        "I'm not going to try again; this message has been in the queue too long.\n\n"
        "--- Below this line is a copy of the message.\n\n"
    ),
    "sendmail": (
        "Subject: Returned mail: see transcript\n\n   ----- Transcript of session follows -----\n"
        "... while talking to mx.example.com.:\n>>> RCPT To:<anna@example.com>\n"
        "<<< 550 no such user\n550 <anna@example.com>... User unknown\n"
        ">>> RCPT To:<bob@example.com>\n<<< 552-mailbox\n<<< 552 full\n"
        "550 <bob@example.com>... Cannot be delivered\n\n"
        "   ----- Original message follows -----\n\n"
    ),
    "opensmtpd": (
        "Subject: Delivery status notification: error\n\n    Hi!\n\n    An error has occurred\n"
        "anna@example.com: 550 5.1.1 <anna@example.com>... no such user\n"
        "bob@example.com: 552 5.2.2 <bob@example.com>... Mailbox full\n\n"
        "    Below is a copy of the original message:\n\n"
    ),
    "exchange": (
        "Subject: Undeliverable: news\n\nYour message\n\n  To:      anna@example.com\n"
        "  Subject: x\n\n"
        "did not reach the following recipient(s):\n\nanna@example.com on Mon, 1 Jan 2024\n"
        "    The recipient name is not recognized\n    MSEXCH:IMS:X:Y:Z 0 (000C05A6) Unknown\n"
        "bob@example.com on Mon, 1 Jan 2024\n    mailbox is over quota\n\n"
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_reports_for_people(shipped: Classifier, family: str) -> None:
    report = read(shipped, f"{DAEMON}{FAMILIES[family]}{ORIGINAL}\ntext\n")
    assert report.kind == "bounce"
    assert briefly(report) == [
        ("anna@example.com", "bad-mailbox", True),
        ("bob@example.com", "mailbox-full", False),
    ]
    assert report.original == ALL


def test_markup_is_read_where_there_is_nothing_else(shipped: Classifier) -> None:
    page = (
        "Content-Type: text/html\n\n<style>a@b.c</style><p>Delivery has failed to:</p>"
        "<p><a href='mailto:x'>anna@example.com</a></p><p>550 5.1.1 no such user</p>"
    )
    report = read(shipped, f"{DAEMON}Subject: Undeliverable\n{page}\n")
    assert briefly(report) == [("anna@example.com", "bad-mailbox", True)]


def test_words_of_the_original_say_nothing(shipped: Classifier) -> None:
    text = (
        "<anna@example.com>: 452 4.2.2 mailbox is full\n\n--- Below this line is a copy.\n\n"
        f"{ORIGINAL}\n<bob@example.com>: 550 5.1.1 user unknown, spam, blocked\n"
    )
    report = read(shipped, f"{DAEMON}Subject: failure notice\n\n{text}")
    assert briefly(report) == [("anna@example.com", "mailbox-full", False)]


@pytest.mark.parametrize(
    ("said", "suppress"),
    [
        ("550 5.1.1 <anna@example.com>: user unknown", True),
        ("550 5.1.1 user unknown (in reply to end of DATA command)", True),
        ("550 <anna@example.com>: user unknown", True),
        ("550 user unknown (in reply to RCPT TO command)", True),
        ("550 user unknown (in reply to end of DATA command)", False),
        ("550 5.2.1 user unknown", False),
        ("550 5.7.1 user unknown", False),
        ("user unknown", False),
        ("450 4.1.1 user unknown", False),
        ("550 5.2.1 account closed", True),
        ("550 5.2.1 account disabled", False),
        ("550 5.1.2 no such domain", True),
        ("550 5.2.2 mailbox full", False),
    ],
)
def test_who_is_called_dead(shipped: Classifier, said: str, suppress: bool) -> None:
    text = f"<anna@example.com>: host mx.example.com said: {said}\n"
    report = read(shipped, f"{DAEMON}Subject: failure notice\n\n{text}")
    assert [one.suppress for one in report.findings] == [suppress]


def test_a_bounce_that_calls_itself_an_automatic_reply(shipped: Classifier) -> None:
    mail = dsn(group()).replace("Subject:", "Auto-Submitted: auto-replied\nSubject:", 1)
    assert read(shipped, mail).kind == "bounce"


@pytest.mark.parametrize(
    "fields",
    [
        "Auto-Submitted: auto-replied\nSubject: x",
        "X-Autoreply: yes\nSubject: x",
        "Precedence: auto_reply\nSubject: x",
        "Subject: Out of Office: news",
        "Subject: Re: Automatic reply: your order could not be delivered",
        "Subject: =?utf-8?q?R=C3=A9ponse_automatique?= : news",
        "Subject: Abwesenheitsnotiz",
        "Subject: =?utf-8?b?0JDQstGC0L7QvtGC0LLQtdGC?=: news",
        "Subject: 自動返信",
        "Return-Path: <>\nIn-Reply-To: <1.2@example.net>\nSubject: Re: news",
    ],
)
def test_automatic_replies(shipped: Classifier, fields: str) -> None:
    report = read(shipped, f"From: Anna <anna@example.com>\n{fields}\n\nI am away.\n")
    assert report.kind == "auto-reply"
    assert [(one.recipient, one.category) for one in report.findings] == [
        ("anna@example.com", Category.AUTO_REPLY)
    ]


@pytest.mark.parametrize(
    "mail",
    [
        "",
        "\n",
        "From: anna@example.com\nSubject: Re: news\n\nThanks, that was rejected by my boss.\n",
        "From: anna@example.com\nReturn-Path: <anna@example.com>\nSubject: hello\n\nHi.\n",
        "no header at all",
    ],
)
def test_what_is_nothing_of_this(shipped: Classifier, mail: str) -> None:
    report = read(shipped, mail)
    assert (report.kind, report.findings) == ("other", ())


def complaint(*fields: str) -> str:
    return dsn("\n".join(fields), kind="feedback-report").replace("MAILER-DAEMON", "fbl")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            ["Feedback-Type: abuse", "Original-Rcpt-To: <eve@example.com>"],
            [("eve@example.com", "abuse")],
        ),
        (["Feedback-Type: abuse", "Original-Rcpt-To: redacted@example.com"], [("", "abuse")]),
        (
            ["Version: 1", "Feedback-Type: opt-out", "Removal-Recipient: a@b.example"],
            [("a@b.example", "opt-out")],
        ),
        (["Feedback-Type: auth-failure", "Auth-Failure: dmarc"], [("", "auth-failure")]),
        (["Feedback-Type: abuse", "CFBL-Feedback-ID: 1:2"], [("", "abuse")]),
        (["Feedback-Type:"], [("", "abuse")]),
        (
            ["Feedback-Type: abuse", "Original-Rcpt-To: a@b.c", "Original-Rcpt-To: d@e.f"],
            [("a@b.c", "abuse"), ("d@e.f", "abuse")],
        ),
    ],
)
def test_complaints(
    shipped: Classifier, fields: list[str], expected: list[tuple[str, str]]
) -> None:
    report = read(shipped, complaint(*fields))
    assert report.kind == "complaint"
    assert [(one.recipient, one.feedback_type) for one in report.findings] == expected
    assert {one.category for one in report.findings} == {Category.COMPLAINT}
    assert report.original == ALL


def test_what_only_the_report_tells_of_the_original(shipped: Classifier) -> None:
    mail = complaint(
        "Feedback-Type: abuse", "CFBL-Feedback-ID: 7:8", "Original-Mail-From: <b@example.net>"
    )
    bare = mail.replace(ORIGINAL, "Subject: news\n")
    assert read(shipped, bare).original == Original(feedback_id="7:8", return_path="b@example.net")
    assert read(shipped, mail).original == ALL


def test_the_original_tells_who_complained_if_it_went_to_one(shipped: Classifier) -> None:
    mail = complaint("Feedback-Type: abuse").replace(", bob@example.com", "")
    assert [one.recipient for one in read(shipped, mail).findings] == ["anna@example.com"]


def test_a_complaint_as_a_bare_copy(shipped: Classifier) -> None:
    mail = (
        "From: staff@hotmail.example\nSubject: complaint about message from 192.0.2.1\n"
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n"
        f"X-HmXmrOriginalRecipient: eve@example.com\n{ORIGINAL}\n--b--\n"
    )
    report = read(shipped, mail)
    assert (report.kind, report.original) == ("complaint", ALL)
    assert [one.recipient for one in report.findings] == ["eve@example.com"]


@pytest.mark.parametrize("subject", ["unsubscribe", "Re: UNSUBSCRIBE", "отписаться", "Abmelden."])
def test_a_mail_that_asks_to_be_taken_off(shipped: Classifier, subject: str) -> None:
    report = read(shipped, f"From: Anna <anna@example.com>\nSubject: {subject}\n\nx\n")
    assert report.kind == "complaint"
    assert [(one.recipient, one.feedback_type) for one in report.findings] == [
        ("anna@example.com", "opt-out")
    ]


@pytest.mark.parametrize(
    "inner", [complaint("Feedback-Type: abuse"), dsn(group())], ids=["complaint", "bounce"]
)
def test_a_report_that_somebody_passed_on(shipped: Classifier, inner: str) -> None:
    mail = (
        "From: abuse@example.net\nSubject: Fwd: see below\nContent-Type: multipart/mixed; "
        f"boundary=o\n\n--o\n\nplease look\n--o\nContent-Type: message/rfc822\n\n{inner}\n--o--\n"
    )
    report = read(shipped, mail)
    assert report.kind == read(shipped, inner).kind
    assert report.findings == read(shipped, inner).findings
    assert report.original == ALL


def test_a_notification_as_json(shipped: Classifier) -> None:
    said = {
        "notificationType": "Bounce",
        "bounce": {
            "bouncedRecipients": [
                {
                    "emailAddress": "anna@example.com",
                    "action": "failed",
                    "status": "5.1.1",
                    "diagnosticCode": "smtp; 550 5.1.1 user unknown",
                }
            ]
        },
        "mail": {"source": "b@example.net", "commonHeaders": {"messageId": "<1@example.net>"}},
    }
    for text in (json.dumps(said), json.dumps({"Message": json.dumps(said)})):
        report = read(shipped, f"From: no-reply@example.org\nSubject: x\n\n{text}\n")
        assert briefly(report) == [("anna@example.com", "bad-mailbox", True)]
        assert report.original.message_id == "<1@example.net>"


texts = st.text(max_size=20)
findings = st.builds(
    Finding,
    *[texts] * 5,
    st.sampled_from(Category),
    st.sampled_from(Fault),
    st.booleans(),
    texts,
    texts,
)
originals = st.builds(
    Original, texts, texts, texts, texts, st.lists(texts).map(tuple), texts, texts
)
kinds = st.sampled_from(["bounce", "complaint", "auto-reply", "other"])


@settings(deadline=None)
@given(st.builds(Report, kinds, st.lists(findings, max_size=3).map(tuple), originals, texts))
def test_the_way_through_json_and_back(report: Report) -> None:
    assert from_fields(json.loads(json.dumps(as_fields(report)))) == report


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "letter"},
        {"findings": [{}]},
        {"findings": 5},
        {"original": None},
        {"original": {"recipients": [], "shoe": 1}},
        {
            "findings": [
                {
                    **as_fields(
                        Report("bounce", (Finding(*[""] * 5, Category.VIRUS, Fault.NONE, False),))
                    )["findings"][0],
                    "category": "cold",
                }
            ]
        },
    ],
)
def test_other_fields_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_fields({**as_fields(Report("other")), **change})


@settings(deadline=None)
@given(st.binary(max_size=400), st.sampled_from([DAEMON, dsn(group()), complaint("Version: 1")]))
def test_any_bytes_give_a_report(shipped: Classifier, raw: bytes, start: str) -> None:
    for content in (raw, start.encode() + raw, raw + start.encode(), start.encode()[: len(raw)]):
        report = parse_report(content, shipped)
        assert from_fields(json.loads(json.dumps(as_fields(report)))) == report
