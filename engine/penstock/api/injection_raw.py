"""A message that comes whole: checked as one that comes by SMTP is, but for its line ends, which
are whatever the application's language writes."""

from __future__ import annotations

from penstock.api.messages_labels import Rules
from penstock.api.problem import FieldError, Problem, invalid
from penstock.intake.accept import Origin, prepare
from penstock.mail.envelope import Envelope
from penstock.mail.headers import received, scan
from penstock.smtp.content import ContentRules, check, normalise
from penstock.smtp.reply import Reply

PROTOCOL = "HTTP"
SIZE_BYTES_MAX = 64 << 20


class Raw:
    """``content`` as it came; ``field``: what it is called in a problem."""

    __slots__ = ("_content", "_field", "_rules")

    def __init__(self, content: bytes, rules: Rules, field: str = "raw") -> None:
        checked = check(normalise(content), ContentRules(SIZE_BYTES_MAX))
        if isinstance(checked, Reply):
            raise refused(checked, field)
        if not checked.strip():
            raise invalid([FieldError(field, "empty; a whole RFC 5322 message is expected")])
        self._content, self._rules, self._field = checked, rules, field

    def __call__(self, envelope: Envelope) -> list[bytes]:
        """The content for the queue; control fields in it count."""
        content, rules = self._content, self._rules
        client = envelope.client
        body = prepare(
            envelope,
            content,
            Origin(client, client, trusted=True, protocol=PROTOCOL),
            hostname=rules.hostname,
            now=rules.now(),
            id=envelope.id,
            rules=rules.control,
        )
        if isinstance(body, Reply):
            raise refused(body, self._field)
        envelope.dotted = starts_with_dots(content)
        if not content.isascii():
            envelope.eightbit = True
            envelope.smtputf8 = envelope.smtputf8 or not content[: scan(content).end].isascii()
        return body


def starts_with_dots(content: bytes) -> bool:
    """Whether any line begins with a dot."""
    return b"\n." in content or content.startswith(b".")


def refused(reply: Reply, field: str) -> Problem:
    """What an SMTP client would be told, of a field of the request."""
    return invalid([FieldError(field, reply.text)])


def trace(envelope: Envelope, hostname: str, now: float) -> bytes:
    """The Received field of what was built here."""
    return received(
        helo=envelope.client,
        address=envelope.client,
        hostname=hostname,
        protocol=PROTOCOL,
        id=envelope.id,
        now=now,
    )
