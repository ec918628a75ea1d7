"""What became of one attempt for one recipient: a value, never an exception."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from penstock.smtp.reply import Reply


class Kind(Enum):
    """How an attempt ended, from the queue's point of view."""

    DELIVERED = "delivered"  # the next hop took responsibility
    DEFERRED = "deferred"  # try again later; counts as an attempt
    BOUNCED = "bounced"  # permanent; report to the sender
    REQUEUED = "requeued"  # never offered (connection lost before its turn); not an attempt


class Phase(Enum):
    """Where in the conversation it was decided."""

    RESOLVE = "resolve"
    EGRESS = "egress"  # our own way out: a source's address or proxy; says nothing of the host
    CONNECT = "connect"
    BANNER = "banner"
    EHLO = "ehlo"
    TLS = "tls"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    FINAL = "final"  # the reply to the final dot


@dataclass(frozen=True, slots=True)
class Outcome:
    """``reply`` is the remote host's, or ours in the same form where no host answered
    (``Reply.of(451, "4.4.1 connection timed out")``); ``host`` and ``address`` name the peer."""

    kind: Kind
    phase: Phase
    reply: Reply
    host: str = ""
    address: str = ""
    tls: str = ""
