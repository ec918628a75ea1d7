"""Reports on TLS to the domains that mail goes to: what was seen in a day, as RFC 8460 has it.

One report is about one domain and one day in UTC. It goes as JSON under gzip, by HTTPS as it is or
in a mail of two parts: words for a person, and the report for a program. The same day always gives
the same report under the same id, so that one who gets it twice can tell.
"""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from textwrap import wrap
from typing import Any, NamedTuple

from penstock.mail.headers import date_field, message_id_field

DAY_S = 86_400
CONTENT_TYPE = "application/tlsrpt+gzip"


class Failure(NamedTuple):
    """Sessions that failed alike; ``result``: as RFC 8460 section 4.3 names it."""

    result: str
    mx: str
    address: str
    source: str
    reason: str
    sessions: int


class Policy(NamedTuple):
    """``kind``: ``sts``, ``tlsa`` or ``no-policy-found``; ``text``: the policy, as it was found;
    ``mx``: the patterns of an MTA-STS policy."""

    kind: str
    text: tuple[str, ...]
    mx: tuple[str, ...]
    succeeded: int
    failed: int
    failures: tuple[Failure, ...] = ()


class Submitter(NamedTuple):
    """Who reports. ``host``: its name, which is part of names and ids; ``address``: what the mails
    come from."""

    organization: str
    contact: str
    address: str
    host: str


class Report(NamedTuple):
    """``day``: its first second since the epoch."""

    submitter: Submitter
    domain: str
    day: int
    policies: tuple[Policy, ...]

    @property
    def id(self) -> str:
        seed = f"{self.submitter.host} {self.domain} {self.day}".encode()
        return f"{_time(self.day)[:10]}-{sha256(seed).hexdigest()[:20]}@{self.submitter.host}"

    @property
    def file_name(self) -> str:
        ends = self.day + DAY_S - 1
        return f"{self.submitter.host}!{self.domain}!{self.day}!{ends}.json.gz"


def report_object(report: Report) -> dict[str, Any]:
    """The report as an object of JSON; what is not known is left out."""
    return {
        "organization-name": report.submitter.organization,
        "date-range": {
            "start-datetime": _time(report.day),
            "end-datetime": _time(report.day + DAY_S - 1),
        },
        "contact-info": report.submitter.contact,
        "report-id": report.id,
        "policies": [_policy(report.domain, one) for one in report.policies],
    }


def report_bytes(report: Report) -> bytes:
    """The same as it is sent; no time in it, so that it is always the same."""
    text = json.dumps(report_object(report), ensure_ascii=False, separators=(",", ":"))
    return gzip.compress(text.encode(), mtime=0)


def report_mail(report: Report, packed: bytes, to: str, now: float) -> bytes:
    """The mail that carries ``packed``. It must arrive though TLS fails, for that is what it tells
    of (RFC 8460 section 3): so it asks for none (RFC 8689 section 5)."""
    id_, domain, host = report.id, report.domain, report.submitter.host
    seed = sha256(f"{id_} {to}".encode()).hexdigest()[:32]
    boundary = f"=_{seed}"
    lines = [
        f"From: <{report.submitter.address}>",
        f"To: <{to}>",
        f"Subject: Report Domain: {domain}",
        f"\tSubmitter: {host}",
        f"\tReport-ID: <{id_}>",
        f"TLS-Report-Domain: {domain}",
        f"TLS-Report-Submitter: {host}",
        "TLS-Required: No",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type="tlsrpt";',
        f'\tboundary="{boundary}"',
        "",
        f"--{boundary}",
        "Content-Type: text/plain; charset=us-ascii",
        "Content-Transfer-Encoding: 7bit",
        "",
        *_words(report),
        "",
        f"--{boundary}",
        f"Content-Type: {CONTENT_TYPE}",
        "Content-Transfer-Encoding: base64",
        "Content-Disposition: attachment;",
        f'\tfilename="{report.file_name}"',
        "",
        *wrap(b64encode(packed).decode("ascii"), 76),
        "",
        f"--{boundary}--",
        "",
    ]
    trace = date_field(now) + message_id_field(f"tls-report-{seed}", host)
    return trace + "\r\n".join(lines).encode("ascii", "replace")


def _words(report: Report) -> Sequence[str]:
    succeeded = sum(one.succeeded for one in report.policies)
    failed = sum(one.failed for one in report.policies)
    return (
        f"This is a report on TLS sessions with the mail servers of {report.domain},",
        f"{_time(report.day)[:10]} (UTC), as {report.submitter.host} saw them.",
        f"Sessions that succeeded: {succeeded}; that failed: {failed}.",
    )


def _policy(domain: str, policy: Policy) -> dict[str, Any]:
    about: dict[str, Any] = {"policy-type": policy.kind}
    if policy.text:
        about["policy-string"] = list(policy.text)
    about["policy-domain"] = domain
    if policy.mx:
        about["mx-host"] = list(policy.mx)
    found: dict[str, Any] = {
        "policy": about,
        "summary": {
            "total-successful-session-count": policy.succeeded,
            "total-failure-session-count": policy.failed,
        },
    }
    if policy.failures:
        found["failure-details"] = [_failure(one) for one in policy.failures]
    return found


def _failure(failure: Failure) -> dict[str, Any]:
    fields = {
        "result-type": failure.result,
        "sending-mta-ip": failure.source,
        "receiving-mx-hostname": failure.mx,
        "receiving-ip": failure.address,
        "failed-session-count": failure.sessions,
        "failure-reason-code": failure.reason,
    }
    return {name: value for name, value in fields.items() if value != ""}


def _time(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
