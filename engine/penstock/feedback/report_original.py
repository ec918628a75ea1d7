"""The mail that a report is about: found in a part of its own, or quoted below the text.

What stands above the quotation is the report's own text, and only that says what happened: words
of the original mail, such as "unsubscribe" or "spam", say nothing of its fate.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from penstock.feedback.report_dsn import address_of, addresses_of
from penstock.feedback.report_mime import NO_FIELDS, Fields, Part, fields_of, header_of
from penstock.feedback.report_values import Original, ReportLimits

KINDS = frozenset(
    (
        *("message/rfc822", "message/global", "message/rfc822-headers", "message/global-headers"),
        *("text/rfc822-headers", "text/rfc822-header", "text/rfc822", "message/partial"),
    )
)
_RECIPIENTS_MAX = 20
_QUOTED = re.compile(
    r"(?im)^[ \t>]{0,20}[-=*_|#.+ ]{0,60}(?:"
    r"(?:begin(?:ning)? of )?(?:the )?(?:original|returned|undelivered|undeliverable|"
    r"unsent|failed|your)"
    r" (?:message|mail|e-mail)(?: headers?| text| body| source)?(?: follows?| is|"
    r" enclosed| attached| below)?[ \t]{0,8}[-=*_|#.:]"
    r"|(?:below|above|under) this line is"
    r"|(?:this|below|here|following|attached|included|enclosed) (?:is|are) (?:a |"
    r"the )?(?:copy|headers?|original)"
    r"|a copy of (?:the|your) (?:original )?(?:message|mail)"
    r"|(?:the |message |original )?headers? (?:of the (?:original )?(?:message|"
    r"mail) )?(?:follows?|is following)"
    r"|the headers? of the original"
    r"|(?:original |unsent |returned |undelivered )?(?:message|mail)(?: text| headers?|"
    r" body)? follows"
    r"|(?:original|returned) message headers?"
    r"|(?:copy of the |ursprüngliche |исходное |mensaje |"
    r"message )original(?:e nachricht)?[ \t]{0,8}[-:]"
    r"|(?:origin(?:al|elle)|ursprungliche|ursprüngliche) (?:message|nachricht)[ \t]{0,8}[-:]"
    r"|(?:original )?(?:message|mail) (?:is )?as follows"
    r"|исходное (?:письмо|сообщение)|元のメッセージ)[^\n]{0,120}$"
)
_STRONG = re.compile(
    r"(?im)^(?:>[ \t>]{0,8})?(?:received|return-path|message-id|dkim-signature|"
    r"mime-version|arc-seal"
    r"|x-mailer|x-received|user-agent|x-originating-ip):"
)
_FIELD = re.compile(r"[ \t>]{0,8}[A-Za-z][A-Za-z0-9-]{1,60}[ \t]?:")
_CONTINUED = re.compile(r"[ \t]+\S")
_FIELDS_MIN = 3
_LINES_BEFORE_MAX = 60
_MESSAGE_ID = re.compile(r"<?([^<>\s]{1,250})>?")


def own_text(text: str) -> tuple[str, str]:
    """``text`` in two: what the report says itself, and what it quotes of the original."""
    quoted = _QUOTED.search(text)
    cut = min(quoted.start() if quoted else len(text), _header_at(text))
    return text[:cut], text[cut:]


def _header_at(text: str) -> int:
    """Where a header of a mail begins within ``text``, its end if there is none: a field that only
    mails have, with others around it."""
    found = _STRONG.search(text)
    if not found:
        return len(text)
    place = begin = found.start()
    after = text[place : place + 4000].split("\n")[:12]
    if sum(bool(_FIELD.match(line)) for line in after) < _FIELDS_MIN:
        return len(text)
    for line in reversed(text[:place].split("\n")[-_LINES_BEFORE_MAX:-1]):
        place -= len(line) + 1
        if _FIELD.match(line):
            begin = place
        elif not _CONTINUED.match(line):
            break
    return begin


def fields_of_original(parts: Sequence[Part], quoted: str, limits: ReportLimits) -> Fields:
    """The header of the original mail, from the best place that has one."""
    for part in parts:
        if part.kind in KINDS:
            fields = header_of(part.raw(limits), limits)
            if fields.items:
                return fields
    for part in parts[1:]:  # a part that is a mail without saying so
        if is_mail(part):
            return part.fields
    return _quoted_fields(quoted, limits)


def is_mail(part: Part) -> bool:
    """Whether the header of a part is that of a mail, which should have stood in its body."""
    fields = part.fields
    return fields.has("received") or (fields.has("message-id") and fields.has("from"))


def _quoted_fields(quoted: str, limits: ReportLimits) -> Fields:
    """The longest header that is quoted, with or without marks before each line."""
    lines = [re.sub(r"^[ \t]{0,8}>[ \t>]{0,8}", "", line) for line in quoted.split("\n")[:400]]
    best, block = NO_FIELDS, list[str]()
    indent: str | None = None
    for line in (*lines, ""):
        if indent is None and _FIELD.match(line):
            indent = line[: len(line) - len(line.lstrip(" \t"))]
        if line.strip():
            block.append(line.removeprefix(indent or ""))
            continue
        fields = fields_of("\n".join(block), limits)
        if _worth(fields) > _worth(best):
            best = fields
        block, indent = [], None
    return best


def _worth(fields: Fields) -> int:
    wanted = ("message-id", "from", "to", "subject", "return-path", "feedback-id")
    return sum(fields.has(name) for name in wanted)


def original_of(fields: Fields) -> Original:
    """What of the original's header helps to find it again."""
    recipients = [
        address
        for name in ("to", "cc")
        for one in fields.all(name)
        for address in addresses_of(one)
    ]
    return Original(
        message_id=message_id_of(fields),
        feedback_id=fields.get("feedback-id") or fields.get("cfbl-feedback-id"),
        reference=next((v for name, v in fields.items if name.startswith("x-penstock-")), ""),
        sender=_one(fields.get("from")),
        recipients=tuple(dict.fromkeys(recipients))[:_RECIPIENTS_MAX],
        return_path=_one(fields.get("return-path")),
        list_unsubscribe=fields.get("list-unsubscribe"),
    )


def message_id_of(fields: Fields) -> str:
    found = _MESSAGE_ID.search(fields.get("message-id"))
    return f"<{found[1]}>" if found else ""


def _one(value: str) -> str:
    found = address_of(value)
    return found if "@" in found else ""
