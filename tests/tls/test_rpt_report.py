"""A report as it is sent: RFC 8460's fields, the mail around them, and always the same bytes."""

from __future__ import annotations

import email
import gzip
from email.policy import default

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tls.rfc8460 import RESULT_TYPES, check_report

from penstock.mail.tls_report import (
    Failure,
    Policy,
    Report,
    Submitter,
    report_bytes,
    report_mail,
)

DAY = 1_796_083_200  # 2026-12-01
US = Submitter(
    "Example Söhne", "mailto:tls@example.com", "tls-reports@example.com", "mx.example.com"
)
EXPIRED = Failure("certificate-expired", "mx.b.example", "192.0.2.1", "198.51.100.1", "expired", 3)
PLAIN = Failure("starttls-not-supported", "mx.b.example", "2001:db8::1", "", "", 2)
STS = Policy("sts", ("version: STSv1", "mode: enforce"), ("*.b.example",), 10, 5, (EXPIRED, PLAIN))
NONE = Policy("no-policy-found", (), (), 7, 0)
REPORT = Report(US, "b.example", DAY, (STS, NONE))


def opened(packed):
    return check_report(gzip.decompress(packed))


def test_the_fields():
    assert opened(report_bytes(REPORT)) == {
        "organization-name": "Example Söhne",
        "date-range": {
            "start-datetime": "2026-12-01T00:00:00Z",
            "end-datetime": "2026-12-01T23:59:59Z",
        },
        "contact-info": "mailto:tls@example.com",
        "report-id": REPORT.id,
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-string": ["version: STSv1", "mode: enforce"],
                    "policy-domain": "b.example",
                    "mx-host": ["*.b.example"],
                },
                "summary": {
                    "total-successful-session-count": 10,
                    "total-failure-session-count": 5,
                },
                "failure-details": [
                    {
                        "result-type": "certificate-expired",
                        "sending-mta-ip": "198.51.100.1",
                        "receiving-mx-hostname": "mx.b.example",
                        "receiving-ip": "192.0.2.1",
                        "failed-session-count": 3,
                        "failure-reason-code": "expired",
                    },
                    {
                        "result-type": "starttls-not-supported",
                        "receiving-mx-hostname": "mx.b.example",
                        "receiving-ip": "2001:db8::1",
                        "failed-session-count": 2,
                    },
                ],
            },
            {
                "policy": {"policy-type": "no-policy-found", "policy-domain": "b.example"},
                "summary": {
                    "total-successful-session-count": 7,
                    "total-failure-session-count": 0,
                },
            },
        ],
    }


def test_the_same_day_gives_the_same_report_and_id():
    assert report_bytes(REPORT) == report_bytes(REPORT)
    others = {
        REPORT._replace(day=DAY + 86_400).id,
        REPORT._replace(domain="c.example").id,
        REPORT._replace(submitter=US._replace(host="other.example")).id,
    }
    assert len(others | {REPORT.id}) == 4


def test_the_mail():
    packed = report_bytes(REPORT)
    raw = report_mail(REPORT, packed, "reports@b.example", DAY + 90_000.0)
    assert raw.isascii()
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert max(map(len, raw.split(b"\r\n"))) <= 200
    mail = email.message_from_bytes(raw, policy=default)
    assert mail["From"] == "tls-reports@example.com"
    assert mail["To"] == "reports@b.example"
    assert mail["TLS-Report-Domain"] == "b.example"
    assert mail["TLS-Report-Submitter"] == "mx.example.com"
    assert mail["TLS-Required"] == "No"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Subject"].startswith("Report Domain: b.example")
    assert "Submitter: mx.example.com" in mail["Subject"]
    assert f"Report-ID: <{REPORT.id}>" in mail["Subject"]
    assert mail["Date"].datetime.timestamp() == DAY + 90_000
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "tlsrpt"
    words, report = mail.iter_parts()
    assert "succeeded: 17; that failed: 5" in words.get_content()
    assert report.get_content_type() == "application/tlsrpt+gzip"
    assert report.get_filename() == f"mx.example.com!b.example!{DAY}!{DAY + 86_399}.json.gz"
    assert report.get_payload(decode=True) == packed


counts = st.integers(0, 10**9)
texts = st.text(max_size=40)
failures = st.builds(
    Failure,
    st.sampled_from(sorted(RESULT_TYPES)),
    texts,
    st.sampled_from(["", "192.0.2.1", "2001:db8::1"]),
    st.sampled_from(["", "192.0.2.9"]),
    texts,
    st.integers(1, 10**6),
)


@settings(deadline=None)
@given(st.lists(failures, max_size=5), counts, st.lists(texts, max_size=3))
def test_whatever_was_seen_makes_a_report(found, succeeded, text):
    failed = sum(one.sessions for one in found)
    policy = Policy("tlsa", tuple(text), (), succeeded, failed, tuple(found))
    report = REPORT._replace(policies=(policy,))
    packed = report_bytes(report)
    opened(packed)
    mail = email.message_from_bytes(
        report_mail(report, packed, "r@b.example", float(DAY)), policy=default
    )
    assert next(reversed(list(mail.iter_parts()))).get_payload(decode=True) == packed


@pytest.mark.parametrize(
    "damage",
    [
        lambda one: one.pop("report-id"),
        lambda one: one["policies"][0]["summary"].update({"total-failure-session-count": 6}),
        lambda one: one["policies"][0]["policy"].update({"policy-type": "dane"}),
        lambda one: one["policies"][0].update({"more": 1}),
    ],
)
def test_the_check_can_fail(damage):
    import json

    found = opened(report_bytes(REPORT))
    damage(found)
    with pytest.raises(AssertionError):
        check_report(json.dumps(found).encode())
