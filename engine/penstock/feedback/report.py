"""A mail that came in as a report, read: bounce, complaint, automatic reply, or something else.

Pure, and it never raises: a report is untrusted bytes. The order of questions is that of
certainty. A machine part decides at once; then what only one sender writes; then what the text
looks like; and a mail that is none of this may hold a report that somebody passed on.
"""

from __future__ import annotations

from typing import NamedTuple

from penstock.feedback import report_complaint as complaint
from penstock.feedback import report_json
from penstock.feedback.classify import Classifier
from penstock.feedback.report_dsn import address_of, groups_of, in_text
from penstock.feedback.report_evidence import from_groups, from_words
from penstock.feedback.report_judge import judge, plain
from penstock.feedback.report_kind import is_automatic_reply, is_bounce
from penstock.feedback.report_mime import Fields, Part, fields_of, header_of, parts_of
from penstock.feedback.report_original import (
    KINDS,
    fields_of_original,
    is_mail,
    original_of,
    own_text,
)
from penstock.feedback.report_values import (
    Finding,
    Original,
    Report,
    ReportLimits,
    as_fields,
    from_fields,
)
from penstock.mail.verdict import Category

__all__ = (
    "Finding",
    "Original",
    "Report",
    "ReportLimits",
    "as_fields",
    "from_fields",
    "parse_report",
)
_STATUS_KINDS = frozenset(
    ("message/delivery-status", "message/global-delivery-status", "text/delivery-status")
)
_LIMITS = ReportLimits()
_TEXTS_MAX = 4


class _Mail(NamedTuple):
    """``text``: what it says itself; ``quoted``: what it quotes of the original."""

    fields: Fields
    parts: list[Part]
    text: str
    quoted: str
    original: Fields


def parse_report(content: bytes, classifier: Classifier, limits: ReportLimits = _LIMITS) -> Report:
    """What ``content``, a whole mail, reports. Time and memory are bounded by ``limits``."""
    return _read(content[: limits.content_bytes_max], classifier, limits, limits.forwards_max)


def _read(content: bytes, classifier: Classifier, limits: ReportLimits, forwards: int) -> Report:
    mail = _open(content, limits)
    original = original_of(mail.original)
    reporter = address_of(mail.fields.get("from"))
    reporter = reporter if "@" in reporter else ""
    report = _complaint(mail, original, limits) or _bounce(mail, original, classifier, limits)
    if report is not None and forwards > 0 and _says_nothing(report):
        report = _wrapped(mail, classifier, limits, forwards) or report
    if report is None:
        report = report_json.report_of(mail.text, classifier, limits)
    if report is None and is_automatic_reply(mail.fields):
        report = Report("auto-reply", (plain(reporter, Category.AUTO_REPLY),), original)
    if report is None and forwards > 0:
        report = _forwarded(mail, classifier, limits, forwards)
    if report is None:
        return Report("other", (), original, reporter)
    return Report(report.kind, report.findings, report.original, report.reporter or reporter)


def _open(content: bytes, limits: ReportLimits) -> _Mail:
    fields = header_of(content, limits)
    parts = parts_of(content, limits)
    text, quoted = own_text(_text(parts, limits))
    return _Mail(fields, parts, text, quoted, fields_of_original(parts, quoted, limits))


def _text(parts: list[Part], limits: ReportLimits) -> str:
    """What people are meant to read: plain text, and HTML where there is none."""
    for kind in ("text/plain", "text/html"):
        texts = [
            part.text(limits)
            for number, part in enumerate(parts)
            if part.kind == kind and not (number and is_mail(part))
        ][:_TEXTS_MAX]
        if any(text.strip() for text in texts):
            return "\n\n".join(texts)[: limits.text_bytes_max]
    return parts[0].text(limits) if parts[0].kind.startswith(("text/", "multipart/")) else ""


def _complaint(mail: _Mail, original: Original, limits: ReportLimits) -> Report | None:
    fields = complaint.fields_in(mail.parts, f"{mail.text}\n{mail.quoted}", limits)
    if fields is None:
        if complaint.is_old_style(mail.fields, mail.parts, mail.original):
            fields = Fields((("feedback-type", "abuse"),))
        elif complaint.is_opt_out(mail.fields):
            who = address_of(mail.fields.get("from"))
            return Report("complaint", (plain(who, Category.COMPLAINT, "opt-out"),), original)
        else:
            return None
    findings = complaint.findings_of(fields, mail.original, original.recipients, limits)
    return Report("complaint", findings, complaint.completed(original, fields))


def _bounce(
    mail: _Mail, original: Original, classifier: Classifier, limits: ReportLimits
) -> Report | None:
    groups = [
        group
        for part in mail.parts
        if part.kind in _STATUS_KINDS
        for group in groups_of(part.text(limits), limits)
    ][: limits.recipients_max]
    announced = "delivery-status" in mail.fields.get("content-type").lower()
    announced = announced or any(part.kind in _STATUS_KINDS for part in mail.parts)
    if not announced and not is_bounce(mail.fields, mail.text):
        return None
    groups = groups or in_text(mail.text, limits)
    if groups:
        evidence = from_groups(groups, mail.text, mail.fields)
    else:
        evidence = from_words(mail.text, mail.fields, original, limits)
    return Report("bounce", tuple(judge(one, classifier, limits) for one in evidence), original)


def _says_nothing(report: Report) -> bool:
    return all(one.category is Category.UNKNOWN for one in report.findings)


def _wrapped(
    mail: _Mail, classifier: Classifier, limits: ReportLimits, forwards: int
) -> Report | None:
    """The bounce that this one only carries on, in its text or attached."""
    attached = _forwarded(mail, classifier, limits, forwards)
    if attached is not None:
        return None if _says_nothing(attached) else attached
    begin = mail.quoted.find("\n") + 1 if mail.quoted.startswith("From ") else 0
    if not fields_of(mail.quoted[begin : begin + 4000], limits).has("subject"):
        return None
    inner = _read(mail.quoted[begin:].encode("utf-8", "replace"), classifier, limits, forwards - 1)
    return inner if inner.kind == "bounce" and not _says_nothing(inner) else None


def _forwarded(
    mail: _Mail, classifier: Classifier, limits: ReportLimits, forwards: int
) -> Report | None:
    """The report in a mail that is attached to this one."""
    for part in mail.parts:
        if part.kind in KINDS:
            inner = _read(part.raw(limits), classifier, limits, forwards - 1)
            if inner.kind in ("bounce", "complaint"):
                return inner
            return None
    return None
