"""Which event puts which address on the list; pure.

What says that the mailbox is dead, or that its owner wants no more, does. What is the sender's own
fault never does: a block of our address says nothing about the recipient. A full mailbox counts,
and only the count decides; a machine that answers, or a report that says "this is no spam", is
nothing at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from penstock.events.records import AnyEvent, Bounced, Complained, Delivered, Expired, Unsubscribed
from penstock.mail.envelope import CLASSES, is_label
from penstock.mail.verdict import Category, Fault
from penstock.suppression.entry import ALL_CLASSES, GLOBAL, LIST_PREFIX, SECONDS_MAX, Entry

BOUNCE, COMPLAINT, UNSUBSCRIBE = "bounce", "complaint", "unsubscribe"
MAILBOX_FULL = "bounce:mailbox-full"
_BULK = CLASSES[2]
_FULL_STATUS = (".2.2",)  # RFC 3463: mailbox full
# Feedback types (RFC 5965, RFC 6430) by which nobody asks for less mail.
_NO_COMPLAINT = frozenset({"not-spam", "auth-failure", "virus"})


@dataclass(frozen=True, slots=True)
class SuppressionRules:
    """``ttl_s``: how long an entry holds, by the first word of its reason or all of it; 0 and what
    is not named: for good. ``complaint_classes``: what somebody who complained gets no more, of
    that tenant; empty: anything. ``list_tag``: the tag that names a mailing list, from which one
    unsubscribes alone; ``""``: none does. ``full_mailbox_times``: so many times within
    ``full_mailbox_days`` a mailbox has to be full to be taken for dead; 0: never."""

    ttl_s: Mapping[str, float] = field(default_factory=dict)
    complaint_classes: tuple[str, ...] = (CLASSES[1], _BULK)
    global_hard_bounces: bool = False
    list_tag: str = ""
    full_mailbox_times: int = 5
    full_mailbox_days: float = 14.0

    def scopes(self, reason: str) -> tuple[str, ...]:
        """What an entry for ``reason`` covers where nobody says."""
        if reason == UNSUBSCRIBE:
            return (_BULK,)
        if reason == COMPLAINT and self.complaint_classes:
            return self.complaint_classes
        return (ALL_CLASSES,)

    def until(self, reason: str, since: float) -> float:
        """When such an entry ends, in seconds since the epoch; 0: never."""
        ttl_s = self.ttl_s.get(reason, self.ttl_s.get(reason.partition(":")[0], 0.0))
        return min(since + ttl_s, SECONDS_MAX - 1) if ttl_s else 0.0

    def mailing_list(self, tags: Mapping[str, str]) -> str:
        """The list that mail with these tags is for, or ``""``."""
        name = tags.get(self.list_tag, "") if self.list_tag else ""
        return name if is_label(name) else ""


def entries_of(event: AnyEvent, rules: SuppressionRules) -> list[Entry]:
    """The entries that follow from one event at once; mostly none. Their address is as the event
    has it, which may be none."""
    match event:
        case Bounced(suppress=True) if event.fault != Fault.SENDER.value:
            reason = f"{BOUNCE}:{event.category}" if event.category else BOUNCE
            tenant = GLOBAL if rules.global_hard_bounces else event.tenant
            return [_entry(event, event.recipient, tenant, ALL_CLASSES, reason, rules)]
        case Complained() if event.feedback_type not in _NO_COMPLAINT:
            return [
                _entry(event, event.recipient, event.tenant, scope, COMPLAINT, rules)
                for scope in rules.scopes(COMPLAINT)
            ]
        case Unsubscribed():
            name = rules.mailing_list(event.tags)
            scope = LIST_PREFIX + name if name else _BULK
            return [_entry(event, event.recipient, event.tenant, scope, UNSUBSCRIBE, rules)]
    return []


def is_full(event: AnyEvent) -> bool:
    """Whether mail was given up since the mailbox was full: an attempt that is made again does not
    count, or one message would count for ten."""
    if not isinstance(event, Bounced | Expired):
        return False
    if isinstance(event, Bounced) and event.suppress:
        return False
    return event.category == Category.MAILBOX_FULL.value or event.enhanced.endswith(_FULL_STATUS)


def is_room(event: AnyEvent) -> bool:
    """Whether the mailbox took mail, and so was not full."""
    return isinstance(event, Delivered)


def full_entry(event: AnyEvent, rules: SuppressionRules) -> Entry:
    """For a mailbox that was full as often as the rules say; ``event`` is the last of these."""
    assert isinstance(event, Bounced | Expired)
    tenant = GLOBAL if rules.global_hard_bounces else event.tenant
    return _entry(event, event.recipient, tenant, ALL_CLASSES, MAILBOX_FULL, rules)


def _entry(
    event: AnyEvent, address: str, tenant: str, scope: str, reason: str, rules: SuppressionRules
) -> Entry:
    since = seconds(event.at)
    return Entry(address, tenant, scope, reason, event.id, since, rules.until(reason, since))


def seconds(at: str) -> float:
    """Seconds since the epoch of an event's time."""
    return datetime.fromisoformat(at).timestamp()
