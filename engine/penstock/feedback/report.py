"""Stub of what is read out of a report. Replaced on merging."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from penstock.mail.verdict import Category, Fault


@dataclass(frozen=True, slots=True)
class Finding:
    recipient: str = ""
    status: str = ""
    reply_code: str = ""
    reply: str = ""
    action: str = ""
    category: Category = Category.UNKNOWN
    fault: Fault = Fault.NONE
    suppress: bool = False
    rule: str = ""
    feedback_type: str = ""


@dataclass(frozen=True, slots=True)
class Original:
    message_id: str = ""
    feedback_id: str = ""
    reference: str = ""
    sender: str = ""
    recipients: tuple[str, ...] = ()
    return_path: str = ""
    list_unsubscribe: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    kind: Literal["bounce", "complaint", "auto-reply", "other"]
    findings: tuple[Finding, ...] = ()
    original: Original = field(default_factory=Original)
    reporter: str = ""


def from_fields(fields: dict[str, Any]) -> Report:
    findings = tuple(
        Finding(**{**one, "category": Category(one["category"]), "fault": Fault(one["fault"])})
        for one in fields.get("findings", ())
    )
    original = Original(**fields.get("original", {}))
    return Report(fields["kind"], findings, original, fields.get("reporter", ""))


def as_fields(report: Report) -> dict[str, Any]:
    def plain(one: Any) -> dict[str, Any]:
        return {name: getattr(one, name) for name in type(one).__slots__}

    findings = [
        {**plain(one), "category": one.category.value, "fault": one.fault.value}
        for one in report.findings
    ]
    return {
        "kind": report.kind,
        "findings": findings,
        "original": plain(report.original),
        "reporter": report.reporter,
    }
