"""The header of a message that is built: which fields an application may give, all of them checked.

No value with a line break or another control character gets past here, whatever it came from, and
no field that the engine itself answers for. Fields with a syntax of their own go out in ASCII and
unencoded, or not at all; all others are free text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from penstock.mail.build_error import BadDraft
from penstock.mail.build_words import LINE_BYTES_MAX, address_field, reads_back, text_field
from penstock.mail.mailbox import (
    CONTROL,
    BadMailbox,
    Mailbox,
    make_mailbox,
    parse_mailbox,
    shown,
)

HEADERS_MAX = 100
HEADER_NAME_CHARS_MAX = 50  # so that an encoded word has room behind it
HEADER_CHARS_MAX = 8192
HEADERS_CHARS_MAX = 65536
SUBJECT_CHARS_MAX = 4096
MAILBOXES_MAX = 1000

_BREAKS = re.compile("[ \t]*[\t\n\x0b\x0c\r\x85\u2028\u2029][ \t\n\x0b\x0c\r\x85\u2028\u2029]*")
_NAME = re.compile(r"[!-9;-~]++")
_MESSAGE_ID = re.compile(r"<[!-;=?A-~]{1,200}@[!-;=?A-~]{1,200}>")
_INSTEAD = {
    "from": "give it as from",
    "to": "give it as to",
    "cc": "give it as cc",
    "bcc": "give it as bcc",
    "reply-to": "give it as reply_to",
    "subject": "give it as subject",
    "date": "the engine writes it",
    "message-id": "the engine writes it, and answers with the id",
    "mime-version": "the engine writes it",
    "received": "relays write it",
    "return-path": "the receiving server writes it; the engine sets the envelope sender",
    "dkim-signature": "the engine signs by the keys of its configuration",
    "domainkey-signature": "the engine signs by the keys of its configuration",
    "authentication-results": "receivers write it",
    "delivered-to": "receivers write it",
}
_INSTEAD_BY_START = {
    "content-": "it follows from text, html, amp and attachments",
    "x-penstock-": "give what it says as a field of the request",
    "arc-": "receivers write it",
    "resent-": "a new message has none",
}
_ADDRESSES = frozenset({"sender", "disposition-notification-to"})
# Fields with a syntax of their own, in which an encoded word has no place.
_STRUCTURED = frozenset({
    "auto-submitted", "autocrypt", "cfbl-address", "cfbl-feedback-id", "errors-to", "feedback-id",
    "importance", "in-reply-to", "keywords", "list-archive", "list-help", "list-id", "list-owner",
    "list-post", "list-subscribe", "list-unsubscribe", "list-unsubscribe-post", "mail-followup-to",
    "mail-reply-to", "precedence",
    "priority", "references", "return-receipt-to", "sensitivity", "supersedes", "x-priority",
})  # fmt: skip


def _check_header_name(name: str, field: str) -> None:
    """Raises :class:`BadDraft` for what is no name of a field, or of one that is not theirs."""
    if len(name) > HEADER_NAME_CHARS_MAX or not _NAME.fullmatch(name):
        raise BadDraft(
            field,
            f"{shown(name)} is no header name; allowed are up to {HEADER_NAME_CHARS_MAX} printable "
            "ASCII characters without spaces and colons",
        )
    lower = name.lower()
    instead = _INSTEAD.get(lower)
    if instead is None:
        for start, words in _INSTEAD_BY_START.items():
            if lower.startswith(start):
                instead = words
    if instead is not None:
        raise BadDraft(field, f"{name} cannot be given as a header: {instead}")


def header_field(name: str, value: str, field: str) -> bytes:
    """One field that an application gave, ``b""`` where its value is empty; checks all but the
    name."""
    if len(value) > HEADER_CHARS_MAX:
        raise BadDraft(field, f"longer than {HEADER_CHARS_MAX} characters")
    check_text(value, field)
    lower = name.lower()
    if lower in _ADDRESSES:
        return _address_header(name, value, field)
    if lower in _STRUCTURED:
        value = value.strip(" ")
        if not reads_back(value):
            raise BadDraft(field, f"{name} may hold ASCII only, and no encoded words")
    if not value:
        return b""
    written = text_field(name, value, LINE_BYTES_MAX)
    if lower in _STRUCTURED and b"=?utf-8?" in written:
        raise BadDraft(field, f"a word longer than {LINE_BYTES_MAX} characters")
    return written


def _address_header(name: str, value: str, field: str) -> bytes:
    try:
        return address_field(name, [parse_mailbox(value)])
    except BadMailbox as error:
        raise BadDraft(field, str(error)) from None


def check_header_names(named: Iterable[tuple[str, str]]) -> None:
    """``named``: names, and what errors call each. Raises :class:`BadDraft`."""
    once = set()
    for count, (name, field) in enumerate(named):
        if count == HEADERS_MAX:
            raise BadDraft("headers", f"more than {HEADERS_MAX}")
        _check_header_name(name, field)
        lower = name.lower()
        if lower in once:
            raise BadDraft(field, f"{name} may be given once only")
        if lower in _STRUCTURED or lower in _ADDRESSES:
            once.add(lower)


def header_fields(headers: Sequence[tuple[str, str]]) -> bytes:
    """All fields that an application gave, in their order."""
    named = [(name, f"headers.{name[:HEADER_NAME_CHARS_MAX]}") for name, _ in headers]
    check_header_names(named)
    if sum(len(name) + len(value) for name, value in headers) > HEADERS_CHARS_MAX:
        raise BadDraft("headers", f"longer than {HEADERS_CHARS_MAX} characters together")
    return b"".join(
        [
            header_field(name, value, field)
            for (name, field), (_, value) in zip(named, headers, strict=True)
        ]
    )


def check_text(value: str, field: str) -> None:
    """Raises :class:`BadDraft` for what no header value may hold."""
    found = CONTROL.search(value)
    if found is not None:
        raise BadDraft(
            field,
            f"a line break or another control character ({found[0]!a} at {found.start()}); "
            "a header value is one line of text",
        )


def one_line(value: str) -> str:
    """``value`` with a space for each line break and the blanks around it; other control
    characters stay, and are :func:`check_text`'s to refuse."""
    return value if value.isprintable() else _BREAKS.sub(" ", value)


def subject_field(subject: str) -> bytes:
    """The field, ``b""`` where there is no subject."""
    if len(subject) > SUBJECT_CHARS_MAX:
        raise BadDraft("subject", f"longer than {SUBJECT_CHARS_MAX} characters")
    check_text(subject, "subject")
    return text_field("Subject", subject) if subject else b""


def mailbox_field(name: str, mailboxes: Sequence[Mailbox], field: str) -> bytes:
    """A field of addresses, ``b""`` where there are none; checks each of them again, since a
    ``Mailbox`` may have been made of anything."""
    if not mailboxes:
        return b""
    if len(mailboxes) > MAILBOXES_MAX:
        raise BadDraft(field, f"more than {MAILBOXES_MAX} addresses")
    checked = []
    for at, mailbox in enumerate(mailboxes):
        try:
            checked.append(make_mailbox(*mailbox))
        except BadMailbox as error:
            where = field if field == "from" else f"{field}[{at}]"
            raise BadDraft(where, str(error)) from None
    return address_field(name, checked)


def message_id_text(message_id: str) -> str:
    """``message_id`` with its angle brackets."""
    text = message_id if message_id.startswith("<") else f"<{message_id}>"
    if not _MESSAGE_ID.fullmatch(text):
        raise BadDraft("message_id", f"{shown(message_id)} is no id; it must be left@right")
    return text
