"""Complaints: abuse reports (RFC 5965), those of CFBL (RFC 9477), Microsoft's, and requests to be
taken off a list that come by mail.

Operators hide who complained, by leaving the address out or writing over it. Then the finding has
no recipient, and the original mail tells which message it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from penstock.feedback.report_dsn import address_of
from penstock.feedback.report_judge import plain
from penstock.feedback.report_mime import Fields, Part, fields_of
from penstock.feedback.report_original import KINDS as ORIGINALS
from penstock.feedback.report_original import message_id_of
from penstock.feedback.report_values import Finding, Original, ReportLimits
from penstock.mail.verdict import Category

KIND = "message/feedback-report"
TYPES = frozenset(
    ("abuse", "auth-failure", "fraud", "not-spam", "opt-out", "opt-out-list", "other", "virus")
)
_TYPE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_HIDDEN = re.compile(r"(?i)redact|hidden|undisclosed|removed|anonym|xxxx|\*\*|^unknown@")
_RECIPIENT_FIELDS = ("original-rcpt-to", "removal-recipient", "redacted-rcpt-to")
_OF_ORIGINAL = ("x-hmxmroriginalrecipient", "x-original-to", "delivered-to", "x-rcpt-to")
_IN_TEXT = re.compile(r"(?im)^[ \t>]{0,20}feedback-type[ \t]?:[^\n]{1,80}$")
_SUBJECT = re.compile(r"(?i)^\W{0,4}(?:fwd?:\s?)?complaint about (?:a )?(?:message|mail)")
_UNSUBSCRIBE = re.compile(
    r"(?i)^\W{0,4}(?:re:\s?)?(?:unsubscribe|opt[- ]?out|remove|abmelden|austragen|"
    r"d[ée]sabonn\w{0,8}"
    r"|se d[ée]sinscrire|darse de baja|cancelar suscripci[óo]n|отписаться|отписка|"
    r"отписать|配信停止|退订)\W{0,4}$"
)


def fields_in(parts: Sequence[Part], text: str, limits: ReportLimits) -> Fields | None:
    """The fields of an abuse report, from its part or from text that somebody passed on."""
    for part in parts:
        if part.kind == KIND:
            return fields_of(part.text(limits).lstrip(), limits)
    for part in parts:
        if part.kind in ("application/json", "text/json", "message/xarf"):
            fields = _xarf(part.text(limits))
            if fields:
                return fields
    found = _IN_TEXT.search(text)
    if not found:
        return None
    start = text.rfind("\n\n", 0, found.start()) + 1
    block = text[start : start + limits.text_bytes_max].lstrip("\n").partition("\n\n")[0]
    lines = [line.lstrip("> \t") for line in block.split("\n")]
    return fields_of("\n".join(lines), limits)


def _xarf(text: str) -> Fields | None:
    """A report as JSON (XARF), as far as it says the same."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    report = found.get("Report") if isinstance(found, dict) else None
    if not isinstance(report, dict) or not isinstance(found.get("ReporterInfo"), dict):
        return None
    named = {"feedback-type": "abuse", "original-rcpt-to": report.get("SmtpRcptToAddress")}
    return Fields(tuple((name, one) for name, one in named.items() if isinstance(one, str)))


def type_of(fields: Fields) -> str:
    """The feedback type, ``abuse`` where it says nothing that can be read."""
    said = fields.get("feedback-type").strip().lower()
    found = _TYPE.match(said)
    return found[0] if found else "abuse"


def findings_of(
    fields: Fields, original: Fields, recipients: Sequence[str], limits: ReportLimits
) -> tuple[Finding, ...]:
    """One for each recipient that is named, or one for nobody. ``recipients``: those of the
    original's To and Cc, where it was sent to one alone."""
    named = [address_of(value) for name in _RECIPIENT_FIELDS for value in fields.all(name)] or [
        address_of(value) for name in _OF_ORIGINAL for value in original.all(name)[:1]
    ]
    known = [one for one in named if _is_known(one)]
    if not known and len(recipients) == 1 and _is_known(recipients[0]):
        known = [recipients[0]]
    several = list(dict.fromkeys(known))[: limits.recipients_max] or [""]
    return tuple(plain(one, Category.COMPLAINT, type_of(fields)) for one in several)


def completed(original: Original, fields: Fields) -> Original:
    """``original`` with what only the report's own fields tell."""
    sender = address_of(fields.get("original-mail-from"))
    return replace(
        original,
        message_id=original.message_id or message_id_of(fields),
        feedback_id=original.feedback_id or fields.get("cfbl-feedback-id"),
        return_path=original.return_path or (sender if "@" in sender else ""),
    )


def _is_known(address: str) -> bool:
    return "@" in address and not _HIDDEN.search(address)


def is_old_style(fields: Fields, parts: Sequence[Part], original: Fields) -> bool:
    """Microsoft's JMRP: a bare copy of the mail, told by a field of the copy or by the subject."""
    copied = any(part.kind in ORIGINALS for part in parts)
    return copied and (
        original.has("x-hmxmroriginalrecipient") or bool(_SUBJECT.search(fields.get("subject")))
    )


def is_opt_out(fields: Fields) -> bool:
    """A mail that asks for nothing but to be taken off the list, by hand or by the mail program
    that followed ``List-Unsubscribe``."""
    if fields.get("x-apple-unsubscribe").strip().lower() == "true":
        return True
    return bool(_UNSUBSCRIBE.search(fields.get("subject")))
