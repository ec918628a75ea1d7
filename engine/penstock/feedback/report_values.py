"""What is read out of a report: values, and the form in which an event carries them.

A report is about one mail and says something of each of its recipients: a finding. Everything here
is bounded by :class:`ReportLimits`, so what is kept of a report is small however large it came in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from penstock.mail.verdict import Category, Fault

Kind = Literal["bounce", "complaint", "auto-reply", "other"]
KINDS: tuple[Kind, ...] = ("bounce", "complaint", "auto-reply", "other")


@dataclass(frozen=True, slots=True)
class ReportLimits:
    """Of a report, no more than this is looked at; the rest is as if it had not come."""

    content_bytes_max: int = 1 << 20
    parts_max: int = 100
    depth_max: int = 8
    header_bytes_max: int = 64 << 10  # of one header
    fields_max: int = 300  # of one header
    value_chars_max: int = 2000  # of one field
    text_bytes_max: int = 64 << 10  # of one part that is read as text
    recipients_max: int = 100
    reply_chars_max: int = 1000
    forwards_max: int = 3  # mails within mails that are read as reports themselves


@dataclass(frozen=True, slots=True)
class Finding:
    """What the report says of one recipient.

    ``recipient``: as it was sent to, ``""`` where it is not told; ``status``: the enhanced status
    code, ``reply_code``: three digits, ``reply``: what the host said, each ``""`` where there is
    none; ``action``: of RFC 3464. ``suppress``: the address is dead for good, as in
    :class:`penstock.mail.verdict.Verdict`. It is false for a complaint: there the address is alive,
    and the category says what follows. ``feedback_type`` is that of RFC 5965.
    """

    recipient: str
    status: str
    reply_code: str
    reply: str
    action: str
    category: Category
    fault: Fault
    suppress: bool
    rule: str = ""
    feedback_type: str = ""


@dataclass(frozen=True, slots=True)
class Original:
    """What is known of the mail that the report is about. ``reference``: the value of its first
    ``X-Penstock-*`` field; ``return_path``: its envelope sender; ``recipients``: those of its To
    and Cc."""

    message_id: str = ""
    feedback_id: str = ""
    reference: str = ""
    sender: str = ""
    recipients: tuple[str, ...] = ()
    return_path: str = ""
    list_unsubscribe: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """``reporter``: the address that the report is from."""

    kind: Kind
    findings: tuple[Finding, ...] = ()
    original: Original = field(default=Original())
    reporter: str = ""


def as_fields(report: Report) -> dict[str, Any]:
    """``report`` as JSON has it; :func:`from_fields` is the way back."""
    fields = asdict(report)
    fields["original"]["recipients"] = list(report.original.recipients)
    fields["findings"] = [
        {**one, "category": one["category"].value, "fault": one["fault"].value}
        for one in fields["findings"]
    ]
    return fields


def from_fields(fields: Mapping[str, Any]) -> Report:
    """The report of :func:`as_fields`. Raises ``ValueError`` for what that cannot have made."""
    try:
        kind = fields["kind"]
        original = dict(fields["original"])
        original["recipients"] = tuple(original["recipients"])
        findings = tuple(
            Finding(**{**one, "category": Category(one["category"]), "fault": Fault(one["fault"])})
            for one in fields["findings"]
        )
        if kind not in KINDS:
            raise ValueError(f"not a kind of report: {kind!r}")
        return Report(kind, findings, Original(**original), fields["reporter"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the fields of a report: {error!r}") from None
