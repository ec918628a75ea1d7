"""The machine part of a delivery status notification: message/delivery-status (RFC 3464).

Status codes, address types and the fields about the message and each recipient. All text that came
from elsewhere is cleaned here, so that a remote reply can add no field and break no line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

from penstock.mail.envelope import Envelope, Recipient
from penstock.mail.headers import date_text
from penstock.mail.outcome import Outcome, Phase
from penstock.smtp.reply import Reply

WORD_CHARS_MAX = 240
VALUE_CHARS_MAX = 900
LINE_CHARS = 76

_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_EMBEDDED = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_NOT_QCHAR = re.compile(r"[^!-~]|[\\+=]")
# Where a reply names no enhanced code: the most that RFC 5321's meaning of the code alone allows.
_STATUS = {
    421: "4.3.2",
    450: "4.2.0",
    451: "4.3.0",
    452: "4.3.1",
    454: "4.7.0",
    500: "5.5.2",
    501: "5.5.4",
    502: "5.5.1",
    503: "5.5.1",
    504: "5.5.4",
    521: "5.3.2",
    551: "5.1.6",
    552: "5.2.2",
    553: "5.1.3",
    556: "5.1.10",
}


class Action(Enum):
    """RFC 3464 2.3.3, as far as an engine that only relays can say it."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"  # handed to a host that sends no reports itself
    DELIVERED = "delivered"


_ASKED = {
    Action.FAILED: "FAILURE",
    Action.DELAYED: "DELAY",
    Action.RELAYED: "SUCCESS",
    Action.DELIVERED: "SUCCESS",
}


def wanted(notify: Collection[str], action: Action, sender: str) -> bool:
    """Whether a report is due (RFC 3461 4.1 and 5.2): never to the null sender; what NOTIFY asks
    for; without NOTIFY, failures only."""
    if not sender:
        return False
    return _ASKED[action] in notify if notify else action is Action.FAILED


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one recipient. ``outcome`` is its last attempt, ``None`` where there was none;
    ``expired``: given up for age. Times are seconds since the epoch, 0 where they do not apply."""

    recipient: Recipient
    action: Action
    outcome: Outcome | None = None
    attempted_at: float = 0.0
    retry_until: float = 0.0
    expired: bool = False


def status_of(reply: Reply) -> str:
    """The enhanced status code of ``reply``, its class that of the reply's code."""
    status = reply.enhanced or _STATUS.get(reply.code, "")
    kind = str(reply.code // 100)
    return kind + status[1:] if status else f"{kind}.0.0"


def answered(outcome: Outcome) -> bool:
    """Whether ``outcome.reply`` is a remote host's own, rather than ours about it."""
    unanswered = (Phase.RESOLVE, Phase.EGRESS, Phase.CONNECT)
    return bool(outcome.host) and outcome.phase not in unanswered


def diagnostic(reply: Reply) -> str:
    """``reply`` on one line, its enhanced code once however many lines repeat it."""
    text = clean(" ".join(filter(None, (str(reply.code), reply.enhanced, reply.text))))
    return " ".join(word[:WORD_CHARS_MAX] for word in text.split(" "))


def clean(text: str, limit: int = VALUE_CHARS_MAX) -> str:
    """``text`` on one line, without anything that is not printable."""
    words = "".join(char if char.isprintable() else " " for char in text[: 2 * limit])
    return " ".join(words.split())[:limit]


def decode_xtext(text: str) -> str:
    """RFC 3461 section 4: ``+2B`` for a plus sign; RFC 6533: ``\\x{FC}`` for others."""
    plain = _XTEXT.sub(lambda found: chr(int(found[1], 16)), text)
    return _EMBEDDED.sub(_embedded, plain)


def _embedded(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    printable = number < 0x110000 and not 0xD800 <= number < 0xE000
    return chr(number) if printable else found[0]


def typed_address(address: str, *, utf8: bool, kind: str = "rfc822") -> str:
    """``rfc822; a@b``, or of type ``utf-8`` where the address is not ASCII: as it is in a global
    report, else with its characters embedded (RFC 6533 section 3)."""
    address = clean(address)
    if address.isascii() and kind != "utf-8":
        return f"{kind}; {address}"
    if not utf8:
        address = _NOT_QCHAR.sub(lambda found: f"\\x{{{ord(found[0]):02X}}}", address)
    return f"utf-8; {address}"


def _original(orcpt: str, *, utf8: bool) -> str:
    kind, semicolon, address = orcpt.partition(";")
    kind = clean(kind).lower()
    if not semicolon or not kind.replace("-", "").isalnum() or not kind.isascii():
        return ""
    return typed_address(decode_xtext(address), utf8=utf8, kind=kind)


def field(name: str, value: str, *, utf8: bool) -> str:
    """A whole field, folded between words; outside a global report what is not ASCII is a ``?``."""
    if not utf8 and not value.isascii():
        value = value.encode("ascii", "replace").decode("ascii")
    lines = [f"{name}:"]
    for word in value.split(" "):
        if len(lines[-1]) + 1 + len(word) > LINE_CHARS and len(lines[-1]) > len(name) + 1:
            lines.append(" " + word)
        else:
            lines[-1] += " " + word
    return "\r\n".join(lines) + "\r\n"


def status_part(envelope: Envelope, fates: Sequence[Fate], hostname: str, *, utf8: bool) -> str:
    """The content of the status part: a group about the message, then one for each recipient."""
    message = [("Reporting-MTA", f"dns; {clean(hostname)}")]
    if envelope.envid:
        message.append(("Original-Envelope-Id", clean(decode_xtext(envelope.envid))))
    message.append(("Arrival-Date", date_text(envelope.received_at)))
    groups = [message, *(_recipient(fate, utf8=utf8) for fate in fates)]
    return "\r\n".join(
        "".join(field(name, value, utf8=utf8) for name, value in group) for group in groups
    )


def _recipient(fate: Fate, *, utf8: bool) -> list[tuple[str, str]]:
    original = _original(fate.recipient.orcpt, utf8=utf8)
    fields = [("Original-Recipient", original)] if original else []
    fields.append(("Final-Recipient", typed_address(fate.recipient.address, utf8=utf8)))
    fields.append(("Action", fate.action.value))
    outcome = fate.outcome
    if outcome is None:
        fields.append(("Status", "4.4.7" if fate.expired else "4.0.0"))
    else:
        fields.append(("Status", status_of(outcome.reply)))
        if answered(outcome):
            fields.append(("Remote-MTA", f"dns; {clean(outcome.host)}"))
        kind = "smtp" if answered(outcome) else "x-penstock"
        fields.append(("Diagnostic-Code", f"{kind}; {diagnostic(outcome.reply)}"))
    if fate.attempted_at:
        fields.append(("Last-Attempt-Date", date_text(fate.attempted_at)))
    if fate.retry_until and fate.action is Action.DELAYED:
        fields.append(("Will-Retry-Until", date_text(fate.retry_until)))
    return fields
