"""The machine part of a delivery status notification: groups of fields (RFC 3464, RFC 6533).

The first group is about the mail, each further one about a recipient. Senders forget the blank
line, the address type, the first group; so a group is about a recipient if it names one.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from penstock.feedback.report_mime import Fields, fields_of
from penstock.feedback.report_values import ReportLimits

_RECIPIENTS = ("original-recipient", "final-recipient", "x-actual-recipient")
_STATUS = re.compile(
    r"(?<![\d.])([245])\s{0,2}\.\s{0,2}(\d{1,3})\s{0,2}\.\s{0,2}(\d{1,3})(?!\.?\d)", re.ASCII
)
_TYPE = re.compile(r"\s*([a-zA-Z0-9-]{1,40})\s*;\s*")
_XTEXT = re.compile(r"\+(2B|3D)(?=[^@]*@)")
_ADDRESS = re.compile(r"[^\s<>\"'();,:@][^\s<>\"();,@]{0,120}@[^\s<>\"'();,@]{1,253}")
_IN_TEXT = re.compile(r"(?im)^(?:reporting-mta|final-recipient|original-recipient):")
ADDRESS_CHARS_MAX = 320


class Group(NamedTuple):
    """About one recipient. ``diagnostic`` without its type, ``comment`` what stands behind the
    status code; ``host`` the one that answered."""

    recipient: str
    final: str
    action: str
    status: str
    comment: str
    diagnostic: str
    diagnostic_type: str
    host: str


def groups_of(text: str, limits: ReportLimits) -> list[Group]:
    """Those about recipients, in order."""
    found: list[Group] = []
    for block in re.split(r"\n[ \t]*\n", text):
        fields = fields_of(block, limits)
        for part in _each(fields):
            if any(part.has(name) for name in _RECIPIENTS):
                found.append(_group(part))
                if len(found) >= limits.recipients_max:
                    return found
    return found


def in_text(text: str, limits: ReportLimits) -> list[Group]:
    """Groups that stand in the text that is meant for people."""
    found = _IN_TEXT.search(text)
    return groups_of(text[found.start() :], limits) if found else []


def _each(fields: Fields) -> list[Fields]:
    """One block's fields, parted where another recipient begins without a blank line."""
    parts: list[Fields] = []
    items: list[tuple[str, str]] = []
    finals = 0
    for item in fields.items:
        if item[0] == "final-recipient":
            finals += 1
            if finals > 1:
                cut = len(items) - (bool(items) and items[-1][0] == "original-recipient")
                parts.append(Fields(tuple(items[:cut])))
                items, finals = items[cut:], 1
        items.append(item)
    return [*parts, Fields(tuple(items))]


def _group(fields: Fields) -> Group:
    final = address_of(fields.get("final-recipient"))
    original = address_of(fields.get("original-recipient"))
    actual = address_of(fields.get("x-actual-recipient"))
    recipient = next((one for one in (original, final, actual) if "@" in one), original or final)
    status_field = fields.get("status")
    status = status_of(status_field)
    _, _, comment = status_field.partition("(")
    diagnostic = fields.get("diagnostic-code")
    kind = _TYPE.match(diagnostic)
    if kind:
        diagnostic = diagnostic[kind.end() :]
    host = fields.get("remote-mta")
    return Group(
        recipient,
        final,
        fields.get("action").partition("(")[0].strip().lower()[:20],
        status,
        comment.rstrip(") "),
        diagnostic,
        kind[1].lower() if kind else "",
        host.partition(";")[2].strip() or host,
    )


def status_of(text: str) -> str:
    """The first enhanced status code in ``text``, or ``""``."""
    found = _STATUS.search(text)
    return f"{found[1]}.{found[2]}.{found[3]}" if found else ""


def address_of(value: str) -> str:
    """The address in a field such as ``rfc822; <a@b.example>``; something that is none as it is."""
    kind = _TYPE.match(value)
    text = value[kind.end() :] if kind else value
    found = _ADDRESS.search(text[: 2 * ADDRESS_CHARS_MAX])
    plain = found[0].rstrip(".") if found else text.strip(" <>\t")
    return _XTEXT.sub(lambda part: chr(int(part[1], 16)), plain)[:ADDRESS_CHARS_MAX]


def addresses_of(value: str) -> list[str]:
    """All addresses in a field such as To."""
    return [found.rstrip(".")[:ADDRESS_CHARS_MAX] for found in _ADDRESS.findall(value)]
