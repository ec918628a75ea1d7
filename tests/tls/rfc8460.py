"""RFC 8460 section 4.4 as a check, made from the text of the RFC and not from our code."""

from __future__ import annotations

import datetime
import ipaddress
import json

POLICY_TYPES = {"tlsa", "sts", "no-policy-found"}
RESULT_TYPES = {
    "starttls-not-supported",
    "certificate-host-mismatch",
    "certificate-expired",
    "certificate-not-trusted",
    "validation-failure",
    "tlsa-invalid",
    "dnssec-invalid",
    "dane-required",
    "sts-policy-fetch-error",
    "sts-policy-invalid",
    "sts-webpki-invalid",
}


def check_report(text: bytes) -> dict:
    """The report, where it is one; an assertion says what is wrong."""
    report = json.loads(text.decode("utf-8"))
    _fields(
        report,
        {
            "organization-name": str,
            "date-range": dict,
            "contact-info": str,
            "report-id": str,
            "policies": list,
        },
    )
    dates = report["date-range"]
    _fields(dates, {"start-datetime": str, "end-datetime": str})
    first, last = (_time(dates[name]) for name in ("start-datetime", "end-datetime"))
    assert first < last < first + datetime.timedelta(days=1)
    assert report["policies"]
    for policy in report["policies"]:
        _policy(policy)
    return report


def _policy(policy: dict) -> None:
    _fields(policy, {"policy": dict, "summary": dict}, {"failure-details": list})
    about = policy["policy"]
    _fields(
        about,
        {"policy-type": str, "policy-domain": str},
        {"policy-string": list, "mx-host": list},
    )
    assert about["policy-type"] in POLICY_TYPES
    assert all(isinstance(one, str) for one in about.get("policy-string", []))
    summary = policy["summary"]
    _fields(summary, {"total-successful-session-count": int, "total-failure-session-count": int})
    details = policy.get("failure-details", [])
    told = sum(_failure(one) for one in details)
    assert told == summary["total-failure-session-count"]


def _failure(failure: dict) -> int:
    _fields(
        failure,
        {"result-type": str, "failed-session-count": int},
        {
            "sending-mta-ip": str,
            "receiving-mx-hostname": str,
            "receiving-mx-helo": str,
            "receiving-ip": str,
            "additional-information": str,
            "failure-reason-code": str,
        },
    )
    assert failure["result-type"] in RESULT_TYPES
    for name in ("sending-mta-ip", "receiving-ip"):
        if name in failure:
            ipaddress.ip_address(failure[name])
    return failure["failed-session-count"]


def _fields(found: dict, must: dict, may: dict | None = None) -> None:
    allowed = {**must, **(may or {})}
    assert set(must) <= set(found) <= set(allowed), found
    for name, value in found.items():
        assert type(value) is allowed[name], (name, value)


def _time(text: str) -> datetime.datetime:
    assert text.endswith("Z")
    return datetime.datetime.fromisoformat(text)
