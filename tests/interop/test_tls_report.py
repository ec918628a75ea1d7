"""A report on TLS is read by somebody else's parser, parsedmarc: from the mail, from the file."""

from __future__ import annotations

import json
import pathlib
import subprocess

import pytest
from bench.harness import program

from penstock.mail.tls_report import (
    Failure,
    Policy,
    Report,
    Submitter,
    report_bytes,
    report_mail,
)

DAY = 1_796_083_200
US = Submitter("Example", "mailto:tls@example.com", "tls-reports@example.com", "mx.example.com")
FAILURE = Failure("tlsa-invalid", "mx.b.example", "192.0.2.1", "198.51.100.1", "no match", 5)
TLSA = Policy("tlsa", ("3 1 1 " + "ab" * 32,), (), 10, 5, (FAILURE,))
STS = Policy("sts", ("version: STSv1", "mode: enforce"), ("*.b.example",), 3, 0)
REPORT = Report(US, "b.example", DAY, (TLSA, STS, Policy("no-policy-found", (), (), 7, 0)))


@pytest.mark.parametrize("kind", ["mail", "file"])
def test_it_is_understood(need, tmp_path: pathlib.Path, kind: str) -> None:
    need("parsedmarc")
    packed = report_bytes(REPORT)
    path = tmp_path / ("report.eml" if kind == "mail" else "report.json.gz")
    mail = report_mail(REPORT, packed, "reports@b.example", DAY + 90_000.0)
    path.write_bytes(mail if kind == "mail" else packed)
    done = subprocess.run(
        [program("parsedmarc"), "--offline", str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    (report,) = json.loads(done.stdout)["smtp_tls_reports"]
    assert report["organization_name"] == "Example"
    assert report["report_id"] == REPORT.id
    counts = [
        (one["policy_type"], one["successful_session_count"], one["failed_session_count"])
        for one in report["policies"]
    ]
    assert counts == [("tlsa", 10, 5), ("sts", 3, 0), ("no-policy-found", 7, 0)]
    (failure,) = report["policies"][0]["failure_details"]
    assert failure["result_type"] == "tlsa-invalid"
    assert failure["failed_session_count"] == 5
