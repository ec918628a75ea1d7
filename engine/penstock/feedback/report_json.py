"""Notifications of Amazon SES, which come as JSON in a mail where SNS is told to send mail."""

from __future__ import annotations

import json
from typing import Any

from penstock.feedback.classify import Classifier
from penstock.feedback.report_dsn import address_of, status_of
from penstock.feedback.report_judge import Evidence, judge, plain
from penstock.feedback.report_values import Finding, Kind, Original, Report, ReportLimits
from penstock.mail.verdict import Category

_EMPTY: dict[str, Any] = {}


def report_of(text: str, classifier: Classifier, limits: ReportLimits) -> Report | None:
    """The report in ``text``, if that is such a notification."""
    start = text.find("{")
    if start < 0 or not ("otificationType" in text or "eventType" in text):
        return None
    outer = _object(text[start : text.rfind("}") + 1])
    inner = _object(outer.get("Message")) if "Message" in outer else outer
    kind = str(inner.get("notificationType") or inner.get("eventType") or "").lower()
    if kind == "bounce":
        return _report("bounce", _bounced(inner, classifier, limits), inner)
    if kind == "complaint":
        return _report("complaint", _complained(inner, limits), inner)
    if kind == "delivery":
        return _report("bounce", _delivered(inner, classifier, limits), inner)
    return None


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value.replace("\n ", ""), strict=False)
        except (ValueError, RecursionError):
            return _EMPTY
    return value if isinstance(value, dict) else _EMPTY


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _report(kind: Kind, findings: tuple[Finding, ...], inner: dict[str, Any]) -> Report:
    mail = _object(inner.get("mail"))
    common = _object(mail.get("commonHeaders"))
    senders = _list(common.get("from"))
    to = [address_of(str(one)) for one in _list(common.get("to"))[:20]]
    message_id = common.get("messageId")
    original = Original(
        message_id=str(message_id)[:300] if message_id else "",
        sender=address_of(str(senders[0])) if senders else "",
        recipients=tuple(to),
        return_path=address_of(str(mail.get("source") or "")),
    )
    return Report(kind, findings, original, "")


def _bounced(
    inner: dict[str, Any], classifier: Classifier, limits: ReportLimits
) -> tuple[Finding, ...]:
    bounce = _object(inner.get("bounce"))
    found = []
    for one in map(_object, _list(bounce.get("bouncedRecipients"))[: limits.recipients_max]):
        said = str(one.get("diagnosticCode") or "").partition(";")
        status = status_of(str(one.get("status") or ""))
        evidence = Evidence(
            address_of(str(one.get("emailAddress") or "")),
            str(one.get("action") or "failed").lower()[:20],
            status,
            said=((said[2] or said[0]).strip()[: limits.value_chars_max],),
        )
        found.append(judge(evidence, classifier, limits))
    return tuple(found)


def _complained(inner: dict[str, Any], limits: ReportLimits) -> tuple[Finding, ...]:
    complaint = _object(inner.get("complaint"))
    kind = str(complaint.get("complaintFeedbackType") or "abuse").lower()[:40]
    return tuple(
        plain(address_of(str(one.get("emailAddress") or "")), Category.COMPLAINT, kind)
        for one in map(
            _object, _list(complaint.get("complainedRecipients"))[: limits.recipients_max]
        )
    )


def _delivered(
    inner: dict[str, Any], classifier: Classifier, limits: ReportLimits
) -> tuple[Finding, ...]:
    delivery = _object(inner.get("delivery"))
    said = str(delivery.get("smtpResponse") or "")[: limits.value_chars_max]
    return tuple(
        judge(Evidence(address_of(str(one)), "delivered", said=(said,)), classifier, limits)
        for one in _list(delivery.get("recipients"))[: limits.recipients_max]
    )
