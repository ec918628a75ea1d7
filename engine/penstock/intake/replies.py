"""What the listener says, in one place. Enhanced codes are RFC 3463's and RFC 5248's."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from penstock.smtp.reply import Reply

MAIL_OK: Final = b"250 2.1.0 Ok\r\n"
RCPT_OK: Final = b"250 2.1.5 Ok\r\n"
OK: Final = b"250 2.0.0 Ok\r\n"
GO_AHEAD: Final = b"354 End data with <CR><LF>.<CR><LF>\r\n"
BYE: Final = b"221 2.0.0 Bye\r\n"

NO_LINE_END: Final = Reply.of(500, "5.5.2 Commands end with CR LF")
LINE_TOO_LONG: Final = Reply.of(500, "5.5.2 Line too long")
NOT_TEXT: Final = Reply.of(500, "5.5.2 Command is not ASCII text")
UNKNOWN: Final = Reply.of(500, "5.5.1 Command not recognized")
NOT_OFFERED: Final = Reply.of(502, "5.5.1 Command not available")
NOT_HTTP: Final = Reply.of(421, "4.7.0 This is SMTP")
NO_ARGUMENT: Final = Reply.of(501, "5.5.4 Command takes no argument")
BAD_HELO: Final = Reply.of(501, "5.5.4 A host name or address literal is needed")
NEED_HELO: Final = Reply.of(503, "5.5.1 Send EHLO or HELO first")
NEED_EHLO: Final = Reply.of(503, "5.5.1 Send EHLO first")
NEED_MAIL: Final = Reply.of(503, "5.5.1 Send MAIL first")
NEED_RCPT: Final = Reply.of(503, "5.5.1 Send RCPT first")
NO_RECIPIENT: Final = Reply.of(554, "5.5.1 No valid recipients")
NESTED_MAIL: Final = Reply.of(503, "5.5.1 Sender already given")
IN_TRANSACTION: Final = Reply.of(503, "5.5.1 Not during a mail transaction")
IN_CHUNKS: Final = Reply.of(503, "5.5.1 Not between BDAT chunks")
DATA_SYNTAX: Final = Reply.of(501, "5.5.4 Syntax: DATA")

RELAY_DENIED: Final = Reply.of(550, "5.7.1 Relaying denied")
TOO_MANY_RECIPIENTS: Final = Reply.of(452, "4.5.3 Too many recipients")
TOO_MUCH_AT_ONCE: Final = Reply.of(452, "4.3.1 Too much mail at once, try again later")
TROUBLE: Final = Reply.of(451, "4.3.0 Local error, try again later")

TOO_MANY_CONNECTIONS: Final = Reply.of(421, "4.7.0 Too many connections, try again later")
TOO_MANY_YOURS: Final = Reply.of(421, "4.7.0 Too many connections from you, try again later")
TOO_MANY_ERRORS: Final = Reply.of(421, "4.7.0 Too many errors")
TOO_MANY_MESSAGES: Final = Reply.of(421, "4.7.0 Too many messages in one session")
TIMED_OUT: Final = Reply.of(421, "4.4.2 Timed out")
TOO_SLOW: Final = Reply.of(421, "4.4.2 Too slow")
SHUTTING_DOWN: Final = Reply.of(421, "4.3.2 Shutting down")
OUT_OF_STEP: Final = Reply.of(421, "4.5.0 Cannot tell where your commands begin")

ENCRYPTION_NEEDED: Final = Reply.of(538, "5.7.11 Encryption required for authentication")
TLS_ACTIVE: Final = Reply.of(503, "5.5.1 TLS is already active")


@lru_cache(maxsize=256)
def wire(reply: Reply) -> bytes:
    """``reply.wire()``, remembered: most refusals are the same few."""
    return reply.wire()
