"""A message built of its pieces: who, what about, texts, attachments; into bytes that may be sent.

Everything here comes from applications, and much of it from their users, so every value is
checked where it is written: a header cannot be injected, an address that is built in can be sent
to, no line is too long, and what was built reads back as what was given. Only ASCII is used but for
local parts that have no ASCII form (RFC 6532), so that any server can take the message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from penstock.mail.build_error import BadDraft
from penstock.mail.build_headers import (
    header_fields,
    mailbox_field,
    message_id_text,
    subject_field,
)
from penstock.mail.build_parts import Attachment, text_part, tree
from penstock.mail.headers import HEADER_BYTES_MAX, date_text
from penstock.mail.mailbox import BadMailbox, Mailbox, make_mailbox, parse_mailbox

__all__ = [
    "Attachment",
    "BadDraft",
    "BadMailbox",
    "Built",
    "Draft",
    "Mailbox",
    "build",
    "make_mailbox",
    "parse_mailbox",
]

_NOBODY_NAMED = b"To: undisclosed-recipients:;\r\n"


@dataclass(slots=True)
class Draft:
    """What a message is made of. ``date`` is in seconds since the epoch; ``message_id`` is
    ``left@right``, with angle brackets or without. Who gets blind copies is none of its concern.

    Text of the bodies may have line ends of any kind; a last one that is missing is added. A header
    whose value is empty is left out, as is an empty subject.
    """

    from_: Mailbox
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    amp: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()
    date: float = 0.0
    message_id: str = ""


class Built(NamedTuple):
    """``content`` has CRLF line ends. ``smtputf8``: its header needs SMTPUTF8 on the way;
    ``eightbit``: it is not all ASCII (the same thing here, since bodies are always encoded)."""

    content: bytes
    smtputf8: bool
    eightbit: bool


def build(draft: Draft) -> Built:
    """The message; raises :class:`BadDraft`."""
    message_id = message_id_text(draft.message_id)
    body = tree(
        None if draft.text is None else text_part(b"plain", draft.text, "text"),
        None if draft.amp is None else text_part(b"x-amp-html", draft.amp, "amp"),
        None if draft.html is None else text_part(b"html", draft.html, "html"),
        draft.attachments,
        boundary_key(message_id),
    )
    header = b"".join(
        (
            mailbox_field("From", (draft.from_,), "from"),
            to_field(draft.to, draft.cc),
            mailbox_field("Cc", draft.cc, "cc"),
            mailbox_field("Reply-To", draft.reply_to, "reply_to"),
            subject_field(draft.subject),
            standard_fields(draft.date, message_id),
            header_fields(draft.headers),
        )
    )
    return finish(header, body)


def boundary_key(message_id: str) -> bytes:
    """What makes boundaries differ from message to message."""
    return sha256(message_id.encode()).hexdigest()[:24].encode("ascii")


def to_field(to: Sequence[Mailbox], cc: Sequence[Mailbox]) -> bytes:
    """The To field; where nobody is named it says so, since some servers want one."""
    return mailbox_field("To", to, "to") or (b"" if cc else _NOBODY_NAMED)


def standard_fields(date: float, message_id: str) -> bytes:
    return f"Date: {date_text(date)}\r\nMessage-ID: {message_id}\r\n".encode("ascii")


def finish(header: bytes, body: Iterable[bytes]) -> Built:
    """``header`` and ``body`` (which begins with header fields of its own) as one message."""
    if len(header) > HEADER_BYTES_MAX // 2:
        raise BadDraft("headers", f"the header is longer than {HEADER_BYTES_MAX // 2} bytes")
    content = b"".join((header, b"MIME-Version: 1.0\r\n", *body))
    utf8 = not header.isascii()
    return Built(content, utf8, utf8)
