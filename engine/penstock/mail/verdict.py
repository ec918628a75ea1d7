"""What a refusal says: three independent parts, none of which the first digit decides.

``category`` is what happened, ``fault`` whose trouble it is, and ``suppress`` whether the address
is dead for good. A provider that blocks the sender's IP says nothing about the recipient: whoever
suppresses on it loses good addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType


class Fault(Enum):
    """Whose trouble it is."""

    RECIPIENT = "recipient"
    SENDER = "sender"  # IP, domain, authentication, pace
    CONTENT = "content"
    REMOTE = "remote"  # the other system's own, or the way to it
    NONE = "none"


class Category(Enum):
    """What happened; a closed set."""

    BAD_MAILBOX = "bad-mailbox"  # no such user
    INACTIVE_MAILBOX = "inactive-mailbox"  # disabled, terminated, archived
    MAILBOX_FULL = "mailbox-full"  # over quota
    BAD_DOMAIN = "bad-domain"  # no such domain or host, or it takes no mail (RFC 7505)
    RECIPIENT_RATE = "recipient-rate"  # this one mailbox gets mail too fast
    THROTTLED = "throttled"  # too much, too fast, too many connections
    REPUTATION_BLOCK = "reputation-block"  # the IP, network or domain is blocked or listed
    AUTH_FAILURE = "auth-failure"  # SPF, DKIM, DMARC, PTR or TLS requirement not met
    SPAM_CONTENT = "spam-content"  # this content, or a link in it
    POLICY = "policy"  # the recipient's or the domain's own rule
    GREYLISTED = "greylisted"  # come back later
    MESSAGE_TOO_LARGE = "message-too-large"
    VIRUS = "virus"
    PROTOCOL = "protocol"  # syntax, missing header, unsupported extension
    RELAY_DENIED = "relay-denied"  # the host takes no mail for this domain
    NETWORK = "network"  # connect, timeout, TLS handshake, DNS
    SYSTEM = "system"  # the remote system's own trouble
    EXPIRED = "expired"  # given up at the maximum age
    AUTO_REPLY = "auto-reply"  # vacation and the like
    COMPLAINT = "complaint"  # a feedback report
    DELIVERED = "delivered"  # a success report
    UNKNOWN = "unknown"  # nothing matched


USUAL_FAULT: Mapping[Category, Fault] = MappingProxyType(
    {
        Category.BAD_MAILBOX: Fault.RECIPIENT,
        Category.INACTIVE_MAILBOX: Fault.RECIPIENT,
        Category.MAILBOX_FULL: Fault.RECIPIENT,
        Category.BAD_DOMAIN: Fault.RECIPIENT,
        Category.RECIPIENT_RATE: Fault.RECIPIENT,
        Category.THROTTLED: Fault.SENDER,
        Category.REPUTATION_BLOCK: Fault.SENDER,
        Category.AUTH_FAILURE: Fault.SENDER,
        Category.SPAM_CONTENT: Fault.CONTENT,
        Category.POLICY: Fault.RECIPIENT,
        Category.GREYLISTED: Fault.REMOTE,
        Category.MESSAGE_TOO_LARGE: Fault.CONTENT,
        Category.VIRUS: Fault.CONTENT,
        Category.PROTOCOL: Fault.CONTENT,
        Category.RELAY_DENIED: Fault.REMOTE,
        Category.NETWORK: Fault.REMOTE,
        Category.SYSTEM: Fault.REMOTE,
        Category.EXPIRED: Fault.REMOTE,
        Category.AUTO_REPLY: Fault.NONE,
        Category.COMPLAINT: Fault.NONE,
        Category.DELIVERED: Fault.NONE,
        Category.UNKNOWN: Fault.NONE,
    }
)

# Dead for good. The sender's own faults never are, and neither is a full mailbox on the first day.
SUPPRESSING = frozenset({Category.BAD_MAILBOX, Category.INACTIVE_MAILBOX, Category.BAD_DOMAIN})


@dataclass(frozen=True, slots=True)
class Verdict:
    """``rule`` names what decided (``gmail/rate-ip``); ``""``: no rule matched, and the enhanced
    code or the first digit decided. ``suppress``: the address is dead for good."""

    category: Category
    fault: Fault
    suppress: bool
    rule: str = ""


def verdict_of(category: Category, rule: str = "", fault: Fault | None = None) -> Verdict:
    """The usual verdict of ``category``, with another ``fault`` where the wording says so."""
    return Verdict(category, fault or USUAL_FAULT[category], category in SUPPRESSING, rule)
