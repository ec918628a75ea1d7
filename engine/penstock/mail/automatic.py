"""Whether a message came to an address without anybody wanting it: an answer of a machine.

Asked for mail to an unsubscribe address. That is written by people and, in their name, by the
servers of mailbox providers: so *generated* by a machine says nothing against it (RFC 3834 5.1),
*answered* by one does, and so does a delivery report.
"""

from __future__ import annotations

from penstock.mail.canonical import parse

_MARKS = frozenset({b"x-autoreply", b"x-autorespond", b"x-autoreply-from", b"x-failed-recipients"})
_PRECEDENCE = (b"auto_reply", b"auto-reply")


def is_answer(content: bytes, headers_end: int) -> bool:
    """An auto-reply or a report, by its header."""
    fields = parse(content, headers_end)
    names = frozenset(fields.names)
    if names & _MARKS:
        return True
    answers = b"in-reply-to" in names or b"references" in names
    for name, value in zip(fields.names, fields.values, strict=True):
        if name not in (b"auto-submitted", b"content-type", b"precedence"):
            continue
        text = value.strip().lower()
        if name == b"auto-submitted":
            if text.startswith(b"auto-replied"):
                return True
            if answers and not text.startswith(b"no"):
                return True
        elif name == b"content-type":
            if text.startswith(b"multipart/report"):
                return True
        elif text.startswith(_PRECEDENCE):
            return True
    return False
