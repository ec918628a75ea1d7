"""Delivery status notifications: what a sender is told of its mail (RFC 3461, 3464, 6522, 6533).

A report has three parts: words for a person, fields for a program, and the message (or its header)
that both are about. It goes to the envelope sender, from the null reverse-path and with
NOTIFY=NEVER, so that no report can cause another. Our own parts keep to ASCII unless the sender's
address does not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import SMTP
from hashlib import sha256
from textwrap import wrap
from typing import NamedTuple

from penstock.mail.canonical import parse
from penstock.mail.dsn_status import (
    Action,
    Fate,
    answered,
    clean,
    decode_xtext,
    diagnostic,
    status_part,
    wanted,
)
from penstock.mail.envelope import Envelope, Recipient
from penstock.mail.headers import date_field, date_text, message_id_field

__all__ = ["Action", "Fate", "Notification", "report", "wanted"]

RETURN_BYTES_MAX = 50 << 10
HEADER_RETURN_BYTES_MAX = 64 << 10
LINE_CHARS = 76
SUBJECT_CHARS_MAX = 200
_MESSAGE_ID = re.compile(rb"<[!-;=?-~]{1,250}>")
_SUBJECTS = {
    Action.FAILED: "Undelivered mail returned to sender",
    Action.DELAYED: "Delayed mail, still being tried",
    Action.RELAYED: "Your mail was passed on",
    Action.DELIVERED: "Your mail was delivered",
}
_SUMMARIES = {
    Action.FAILED: "could not be delivered to the recipients below. It will not be tried again.",
    Action.DELAYED: "has not been delivered to the recipients below yet. It is still being tried;\n"
    "there is no need to send it again.",
    Action.RELAYED: "was passed on to the mail servers of the recipients below, which do not\n"
    "report any further.",
    Action.DELIVERED: "was delivered to the recipients below.",
}


class Notification(NamedTuple):
    """A report ready to be queued: ``envelope`` has the null sender and one recipient."""

    envelope: Envelope
    content: bytes


def report(
    envelope: Envelope,
    fates: Sequence[Fate],
    content: bytes,
    headers_end: int,
    *,
    id: str,
    hostname: str,
    now: float,
    return_bytes_max: int = RETURN_BYTES_MAX,
) -> Notification:
    """The report to ``envelope.sender`` about ``fates``, which share one action.

    ``content[:headers_end]`` is the header of the message that it is about; ``id``, unique on
    ``hostname``, names the report. A failure returns the whole message if RET asks for it, or asks
    for nothing and it is not over ``return_bytes_max``; everything else returns the header (RFC
    3461 4.3). Raises ``ValueError`` for the null sender, or none or several actions.
    """
    if not envelope.sender:
        raise ValueError("a report to the null sender")
    if len({fate.action for fate in fates}) != 1:
        raise ValueError("a report is about recipients that share one action")
    action = fates[0].action
    utf8 = not envelope.sender.isascii()
    status = status_part(envelope, fates, hostname, utf8=utf8).encode("utf-8", "replace")
    status_type = b"message/global-delivery-status" if utf8 else b"message/delivery-status"
    original = _original(
        envelope,
        content,
        headers_end,
        whole=action is Action.FAILED and _whole(envelope.ret, len(content), return_bytes_max),
    )
    parts = [
        _text_part(_words(envelope, fates, content, headers_end, hostname)),
        _part(status_type, status, b"Delivery report"),
        original,
    ]
    boundary = b"=_" + sha256(b"\0".join((id.encode(), *parts))).hexdigest()[:40].encode()
    message = b"".join(
        (
            _header(envelope, content, headers_end, action, id, hostname, now),
            b"Content-Type: multipart/report; report-type=delivery-status;\r\n",
            b'\tboundary="%b"\r\n' % boundary,
            b"" if all(map(bytes.isascii, parts)) else b"Content-Transfer-Encoding: 8bit\r\n",
            b"\r\nThis is a report in several parts, for programs that know MIME.\r\n",
            *(b"\r\n--%b\r\n%b" % (boundary, part) for part in parts),
            b"\r\n--%b--\r\n" % boundary,
        )
    )
    return Notification(_envelope(envelope, message, now, utf8=utf8), message)


def _envelope(envelope: Envelope, message: bytes, now: float, *, utf8: bool) -> Envelope:
    return Envelope(
        "",
        [Recipient(envelope.sender, ("NEVER",))],
        now,
        tenant=envelope.tenant,
        smtputf8=utf8,
        eightbit=not message.isascii(),
    )


def _whole(ret: str, size_bytes: int, limit_bytes: int) -> bool:
    return ret.upper() == "FULL" or (not ret and size_bytes <= limit_bytes)


def _header(
    envelope: Envelope,
    content: bytes,
    headers_end: int,
    action: Action,
    id: str,
    hostname: str,
    now: float,
) -> bytes:
    cause = _MESSAGE_ID.search(_field_value(content, headers_end, b"message-id"))
    reference = b"In-Reply-To: %b\r\nReferences: %b\r\n" % (cause[0], cause[0]) if cause else b""
    return b"".join(
        (
            b"From: Mail Delivery System <mailer-daemon@%b>\r\n"
            % clean(hostname).encode("ascii", "replace"),
            b"To: <%b>\r\n" % clean(envelope.sender).encode("utf-8", "replace"),
            b"Subject: %b\r\n" % _SUBJECTS[action].encode("ascii"),
            date_field(now),
            message_id_field(id, hostname),
            reference,
            b"Auto-Submitted: auto-replied\r\n",
            b"MIME-Version: 1.0\r\n",
        )
    )


def _field_value(content: bytes, headers_end: int, name: bytes) -> bytes:
    fields = parse(content, headers_end)
    return fields.values[fields.names.index(name)] if name in fields.names else b""


def _part(kind: bytes, body: bytes, description: bytes) -> bytes:
    encoding = b"7bit" if body.isascii() else b"8bit"
    return (
        b"Content-Description: %b\r\nContent-Type: %b\r\nContent-Transfer-Encoding: %b\r\n\r\n%b"
        % (description, kind, encoding, body)
    )


def _text_part(text: str) -> bytes:
    part = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    part.set_content(text)
    part["Content-Description"] = "What happened"
    del part["MIME-Version"]
    return bytes(part)


def _original(envelope: Envelope, content: bytes, headers_end: int, *, whole: bool) -> bytes:
    """The third part; the global types only where the header itself is not ASCII (RFC 6533 4)."""
    header = content[:headers_end]
    unicode = envelope.smtputf8 and not header.isascii()
    if whole:
        kind = b"message/global" if unicode else b"message/rfc822"
        return _part(kind, content, b"Undelivered message")
    if len(header) > HEADER_RETURN_BYTES_MAX:
        header = header[: header.rfind(b"\n", 0, HEADER_RETURN_BYTES_MAX) + 1]
    kind = b"message/global-headers" if unicode else b"text/rfc822-headers"
    return _part(kind, header, b"Header of the message")


def _words(
    envelope: Envelope, fates: Sequence[Fate], content: bytes, headers_end: int, hostname: str
) -> str:
    action = fates[0].action
    lines = [
        f"This is the mail system at {clean(hostname)}.",
        "",
        f"Your message of {date_text(envelope.received_at)}",
    ]
    subject = _subject(_field_value(content, headers_end, b"subject"))
    if subject:
        lines.append(f"with the subject: {subject}")
    if envelope.envid:
        lines.append(f"with the envelope id: {clean(decode_xtext(envelope.envid))}")
    lines += [_SUMMARIES[action], ""]
    for fate in fates:
        lines += [f"<{clean(fate.recipient.address)}>", *_story(fate), ""]
    return "\n".join(lines)


def _subject(value: bytes) -> str:
    """A Subject as a person reads it, shortened."""
    text = value.decode("utf-8", "replace").strip()
    if "=?" in text:
        # An encoded word in a charset that does not exist, or with broken base64, stays as it is.
        with suppress(LookupError, ValueError, HeaderParseError):
            text = str(make_header(decode_header(text)))
    return clean(text, SUBJECT_CHARS_MAX)


def _story(fate: Fate) -> list[str]:
    """What happened to one recipient, in indented sentences."""
    lines = []
    outcome = fate.outcome
    if outcome is None:
        lines.append("    No delivery was tried.")
    else:
        where = clean(outcome.host)
        if where and outcome.address:
            where += f" [{clean(outcome.address)}]"
        if not answered(outcome):
            lines.append(f"    It could not be handed on{' to ' + where if where else ''}:")
        elif fate.action is Action.FAILED and outcome.reply.permanent:
            lines.append(f"    The mail server {where} refused it and said:")
        else:
            lines.append(f"    The mail server {where} said:")
        lines += wrap(
            diagnostic(outcome.reply),
            LINE_CHARS,
            initial_indent=" " * 8,
            subsequent_indent=" " * 8,
            break_long_words=False,
            break_on_hyphens=False,
        )
    if fate.expired:
        lines.append("    It was given up because its time had run out.")
    if fate.action is Action.DELAYED and fate.retry_until:
        lines.append(f"    It will be tried until {date_text(fate.retry_until)}.")
    return lines
