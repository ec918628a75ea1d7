"""What a reply means and what a mail reports, as plain values for programs."""

from __future__ import annotations

from typing import Any

from penstock.feedback.classify import Classifier
from penstock.feedback.normalise import of_text
from penstock.feedback.report import ReportLimits, parse_report
from penstock.mail.outcome import Phase

PHASES = {phase.value: phase for phase in Phase}


class BadQuestion(ValueError):
    """Why something cannot be answered."""


def of_reply(classifier: Classifier, asked: dict[str, Any]) -> dict[str, Any]:
    """``asked`` with ``category``, ``fault``, ``suppress`` and ``rule`` added; raises
    :class:`BadQuestion`."""
    check_question(asked)
    phase = asked.get("phase")
    at = PHASES[phase] if phase is not None else None
    provider = (asked.get("provider") or "").strip().lower()
    verdict = classifier.read(provider, of_text(asked["reply"]), at)
    return {
        **asked,
        "category": verdict.category.value,
        "fault": verdict.fault.value,
        "suppress": verdict.suppress,
        "rule": verdict.rule,
    }


def check_question(asked: dict[str, Any]) -> dict[str, Any]:
    """``asked``, which can be answered; else raises :class:`BadQuestion`."""
    reply, provider = asked.get("reply"), asked.get("provider", "")
    if not isinstance(reply, str):
        what = 'the key "reply" is missing' if reply is None else "reply: expected a text"
        raise BadQuestion(what)
    if not isinstance(provider, str | None):
        raise BadQuestion("provider: expected a text")
    phase = asked.get("phase")
    if phase is not None and phase not in PHASES:
        raise BadQuestion(f"phase: none of {', '.join(PHASES)}")
    return asked


def of_report(classifier: Classifier, content: bytes, limits: ReportLimits) -> dict[str, Any]:
    """What the mail ``content`` reports."""
    report = parse_report(content, classifier, limits)
    return {
        "kind": report.kind,
        "recipients": [
            {
                "recipient": one.recipient,
                "status": one.status,
                "reply_code": one.reply_code,
                "category": one.category.value,
                "fault": one.fault.value,
                "suppress": one.suppress,
                "feedback_type": one.feedback_type,
            }
            for one in report.findings
        ],
    }
