"""The labelled bounces: nearly all read right, and no good address called dead.

They are no part of the repository: ``PENSTOCK_CORPORA`` names their folder, by default the one
beside the working copy. What is wrong is printed with a reason for each (``pytest -s``, or where
the test fails).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from penstock.feedback.classify import Classifier
from penstock.feedback.report import Finding, Report, as_fields, from_fields, parse_report
from penstock.mail.verdict import SUPPRESSING, Category

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("PENSTOCK_CORPORA") or ROOT.parent / "shared" / "corpora") / "bounces"
HARD_MIN = 0.97
CATEGORY_MIN = 0.92
# The reasons of the labels, and the categories that are right for each.
ACCEPTABLE = {
    "authfailure": "auth-failure",
    "badreputation": "reputation-block",
    "blocked": "reputation-block throttled auth-failure",
    "contenterror": "spam-content protocol",
    "delivered": "delivered",
    "exceedlimit": "message-too-large recipient-rate policy",
    "expired": "expired network",
    "feedback": "complaint",
    "filtered": "bad-mailbox policy",
    "hasmoved": "bad-mailbox inactive-mailbox",
    "hostunknown": "bad-domain",
    "mailboxfull": "mailbox-full",
    "mailererror": "system network",
    "mesgtoobig": "message-too-large",
    "networkerror": "network bad-domain",
    "norelaying": "relay-denied auth-failure",
    "notaccept": "bad-domain policy relay-denied",
    "notcompliantrfc": "protocol policy",
    "policyviolation": "policy spam-content auth-failure",
    "rejected": "policy auth-failure reputation-block",
    "requireptr": "auth-failure reputation-block",
    "securityerror": "auth-failure policy",
    "spamdetected": "spam-content reputation-block",
    "speeding": "throttled recipient-rate",
    "suspend": "inactive-mailbox",
    "syntaxerror": "protocol policy",
    "systemerror": "system network",
    "systemfull": "system mailbox-full",
    "toomanyconn": "throttled",
    "userunknown": "bad-mailbox",
    "vacation": "auto-reply",
    "virusdetected": "virus",
}  # onhold and undefined: any
KIND = {"feedback": "complaint", "vacation": "auto-reply"}  # of all others: bounce


class Row(NamedTuple):
    """One recipient as it is labelled, and what was read."""

    file: str
    reason: str
    hard: bool
    report: Report
    finding: Finding | None

    @property
    def right_category(self) -> bool:
        if self.finding is None:
            return False
        allowed = ACCEPTABLE.get(self.reason)
        return allowed is None or self.finding.category.value in allowed.split()

    @property
    def right_decision(self) -> bool:
        return self.finding is not None and self.finding.suppress is self.hard

    def why(self) -> str:
        """What is wrong, in a line."""
        one = self.finding
        if one is None:
            return f"{self.file}: a recipient is missing ({self.reason})"
        found = f"{one.category.value} by {one.rule or 'code'}"
        wrong = "" if self.right_category else f"labelled {self.reason}, read as {found}; "
        if not self.right_decision:
            said = "dead" if self.hard else "alive"
            wrong += f"labelled {said} as {self.reason}, read as {found}, suppress {one.suppress}; "
        return f"{self.file}: {wrong}{one.status or '-'} {one.reply_code or '-'} {one.reply[:90]!r}"


@pytest.fixture(scope="module")
def rows(shipped: Classifier) -> list[Row]:
    labels = FOLDER / "labels.jsonl"
    if not labels.exists():
        pytest.skip(f"no labelled bounces in {FOLDER}; PENSTOCK_CORPORA says where")
    found = []
    for line in labels.read_text("utf-8").splitlines():
        label: dict[str, Any] = json.loads(line)
        report = parse_report((FOLDER / label["file"]).read_bytes(), shipped)
        for number, one in enumerate(label["recipients"]):
            finding = report.findings[number] if number < len(report.findings) else None
            found.append(Row(label["file"], one["reason"], one["hard"], report, finding))
    return found


def _told(title: str, wrong: list[Row], of: int) -> str:
    text = f"{title}: {of - len(wrong)} of {of} right\n"
    text += "\n".join(f"  {row.why()}" for row in wrong)
    print(f"\n{text}")
    return text


def test_who_is_dead_and_who_is_not(rows: list[Row]) -> None:
    wrong = [row for row in rows if not row.right_decision]
    text = _told("hard or soft", wrong, len(rows))
    assert len(wrong) <= (1 - HARD_MIN) * len(rows), text


def test_what_happened(rows: list[Row]) -> None:
    wrong = [row for row in rows if not row.right_category]
    text = _told("category", wrong, len(rows))
    assert len(wrong) <= (1 - CATEGORY_MIN) * len(rows), text


def test_every_kind_is_recognised(rows: list[Row]) -> None:
    for row in rows:
        assert row.report.kind == KIND.get(row.reason, "bounce"), row.why()


def test_each_has_as_many_recipients_as_it_names(rows: list[Row]) -> None:
    labelled = Counter(row.file for row in rows)
    for row in rows:
        assert len(row.report.findings) == labelled[row.file], row.file


def test_nobody_is_dead_for_what_is_not_theirs(rows: list[Row]) -> None:
    for row in rows:
        if row.finding is not None and row.finding.suppress:
            assert row.finding.category in SUPPRESSING, row.why()
            theirs = ("userunknown", "suspend", "filtered", "hasmoved", "hostunknown", "notaccept")
            assert row.reason in theirs, row.why()


def test_what_is_no_report_is_none(rows: list[Row], shipped: Classifier) -> None:
    labelled = {row.file for row in rows}
    others = [path for path in sorted(FOLDER.glob("*.eml")) if path.name not in labelled]
    assert [path.name for path in others if path.name.startswith("is-not-bounce")]
    for path in others:
        assert parse_report(path.read_bytes(), shipped).kind == "other", path.name


def test_each_survives_as_json(rows: list[Row]) -> None:
    for row in rows:
        carried = json.loads(json.dumps(as_fields(row.report)))
        assert from_fields(carried) == row.report
        assert not any(
            one.category is Category.UNKNOWN and one.suppress for one in row.report.findings
        )
