"""The parser of reports against mail of any shape.

Invariants: it never raises, twice gives the same, every list and text it hands on is within the
limits, what it hands on survives as JSON, and nobody is called dead for what is not theirs.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from penstock.feedback.classify import Classifier
from penstock.feedback.report import Report, ReportLimits, as_fields, from_fields, parse_report
from penstock.feedback.report_dsn import ADDRESS_CHARS_MAX
from penstock.mail.verdict import SUPPRESSING
from penstock.policy.load import load_policies
from penstock.policy.policies import Policies

TOKENS = (
    b"From: MAILER-DAEMON@example.org\n", b"From: a@example.org\n", b"Return-Path: <>\n", b"\n",
    b"Subject: Undelivered Mail Returned to Sender\n", b"Subject: Automatic reply: x\n",
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n", b"\r\n",
    b"Content-Type: multipart/mixed; boundary=c\n", b"Content-Type: message/rfc822\n",
    b"--b\n", b"--b--\n", b"--c\n", b"--c--\n", b"Content-Type: message/delivery-status\n\n",
    b"Content-Type: message/feedback-report\n\n", b"Content-Type: text/html; charset=utf-16\n\n",
    b"Content-Type: text/plain; charset=iso-2022-jp\n", b"Content-Type: application/json\n\n",
    b"Content-Transfer-Encoding: base64\n", b"Content-Transfer-Encoding: quoted-printable\n",
    b"Final-Recipient: rfc822; a@example.com\n", b"Original-Recipient: rfc822;a+2Bb@example.com\n",
    b"Action: failed\n", b"Action: delayed\n", b"Status: 5.1.1\n", b"Status: 4.4.7\n",
    b"Diagnostic-Code: smtp; 550 5.1.1 <a@example.com>: User unknown\n", b"Remote-MTA: dns; x.y\n",
    b"Feedback-Type: abuse\n", b"Original-Rcpt-To: a@b.c\n", b"X-Failed-Recipients: a@b.c\n",
    b"<a@example.com>: host mx.example.com[192.0.2.1] said: 550 5.1.1 no such user (in reply to",
    b" RCPT TO command)\n", b">>> RCPT To:<a@b.c>\n", b"<<< 550-5.7.1 no\n", b"<<< 550 5.7.1 no\n",
    b"550 5.1.1 <a@b.c>... User unknown\n", b"--- Below this line is a copy of the message.\n",
    b"=?utf-8?b?", b"=?iso-2022-jp?q?", b"?=", b"\x1b$B", b"\xff\xfe", b"=\n", b"=3D", b"<style>",
    b"<br>", b"&#x110000;", b"Message-ID: <1@example.com>\n", b"Received: by x\n", b"To: a@b.c\n",
    b'{"notificationType":"Bounce","bounce":{"bouncedRecipients":[{"emailAddress":"a@b.c"}]}}',
    b"@", b"<", b">", b" ", b"\t", b":", b"x" * 200, b"\0", b"unsubscribe", b"> ",
)  # fmt: skip
BYTES_MAX = 16384
POLICIES = Path(__file__).parents[2] / "policies"
SMALL = ReportLimits(parts_max=8, depth_max=3, fields_max=20, recipients_max=5, reply_chars_max=60)


@lru_cache(maxsize=1)
def _classifier() -> Classifier:
    files = {
        path.relative_to(POLICIES).as_posix(): path.read_text("utf-8")
        for path in sorted(POLICIES.glob("replies/*.toml"))
    }
    loaded = load_policies(files)
    assert isinstance(loaded, Policies)
    return Classifier(loaded.replies)


def check(data: bytes) -> None:
    """``data``: how often the rest is repeated (1 byte), which limits hold (1 byte), the rest."""
    times, which = (data[0] % 8 + 1, data[1] % 2) if len(data) > 1 else (1, 0)
    content = data[2:] * (times if times > 5 else 1)
    limits = SMALL if which else ReportLimits()
    report = parse_report(content, _classifier(), limits)
    assert parse_report(content, _classifier(), limits) == report
    _check(report, limits)
    assert from_fields(json.loads(json.dumps(as_fields(report)))) == report


def _check(report: Report, limits: ReportLimits) -> None:
    assert len(report.findings) <= limits.recipients_max
    assert (report.kind == "other") <= (not report.findings)
    for one in report.findings:
        assert len(one.recipient) <= ADDRESS_CHARS_MAX
        assert len(one.reply) <= limits.reply_chars_max
        assert len(one.action) <= 20
        assert len(one.feedback_type) <= 40
        assert len(one.status) <= 11
        assert len(one.reply_code) <= 3
        assert not any(char in one.recipient + one.reply for char in "\r\n\0")
        assert not one.suppress or one.category in SUPPRESSING
    original = report.original
    assert len(original.recipients) <= 20
    for text in (original.message_id, original.feedback_id, original.reference, report.reporter):
        assert len(text) <= limits.value_chars_max
        assert "\n" not in text
