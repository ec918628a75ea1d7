"""What happened, as it is written down and told: one type for each kind of event.

A record is one line of JSON, here and in webhooks alike; :mod:`penstock.events.schema` makes the
JSON Schema from these types. Fields are only ever added, with a default; what has its default is
left out of the line. ``at`` is RFC 3339 in UTC with milliseconds. ``message`` is the id that the
injector was told; ``recipient`` names one delivery of it.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Event(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", gc=False
):
    """``id`` is unique for good: whoever gets an event twice knows it by that."""

    id: str
    at: str


class OfTenant(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Something about mail of one tenant. ``class`` is the class that it was sent as; ``metadata``
    is what the application gave along with it over HTTP."""

    tenant: str = ""
    campaign: str = ""
    class_: str = msgspec.field(default="", name="class")
    tags: dict[str, str] = {}
    metadata: dict[str, str] = {}


class Accepted(OfTenant, frozen=True, kw_only=True, omit_defaults=True, tag="accepted"):
    """One message is on disk and acknowledged. ``deliver_at``: not before that, RFC 3339."""

    message: str
    sender: str
    recipients: tuple[str, ...]
    size: int
    client: str = ""
    account: str = ""
    pool: str = ""
    deliver_at: str = ""


class Rejected(OfTenant, frozen=True, kw_only=True, omit_defaults=True, tag="rejected"):
    """A client was refused. ``phase``: the command, or ``message`` for what was sent after DATA."""

    client: str
    phase: str
    code: int
    reply: str
    account: str = ""


class OfDelivery(OfTenant, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one message for one recipient. ``mx`` and ``address`` name the host that
    answered, ``reply`` is what it said; ``attempt`` counts from 1; ``category``, ``fault`` and
    ``rule`` are what that means (:mod:`penstock.mail.verdict`)."""

    message: str
    recipient: str
    sender: str = ""
    source: str = ""
    pool: str = ""
    provider: str = ""
    site: str = ""
    mx: str = ""
    address: str = ""
    tls: str = ""
    phase: str = ""
    attempt: int = 0
    age_s: float = 0.0
    duration_s: float = 0.0
    code: int = 0
    enhanced: str = ""
    reply: str = ""
    category: str = ""
    fault: str = ""
    rule: str = ""


class Delivered(OfDelivery, frozen=True, kw_only=True, omit_defaults=True, tag="delivered"):
    """The next hop took responsibility."""


class Deferred(OfDelivery, frozen=True, kw_only=True, omit_defaults=True, tag="deferred"):
    """Tried, and to be tried again at ``retry_at`` (RFC 3339)."""

    retry_at: str = ""


class Bounced(OfDelivery, frozen=True, kw_only=True, omit_defaults=True, tag="bounced"):
    """Refused for good. ``suppress``: the address is dead. ``late``: told by a report after the
    next hop had taken it; ``report`` is the event of that report."""

    suppress: bool = False
    late: bool = False
    report: str = ""


class Expired(OfDelivery, frozen=True, kw_only=True, omit_defaults=True, tag="expired"):
    """Given up at its maximum age; ``reply`` is the last one heard."""


class Cancelled(OfDelivery, frozen=True, kw_only=True, omit_defaults=True, tag="cancelled"):
    """Taken back by its id before it was sent; ``by``: who did it. There was no attempt, and the
    sender gets no report."""

    by: str = ""


class Suppressed(OfTenant, frozen=True, kw_only=True, omit_defaults=True, tag="suppressed"):
    """Not sent, since the address is on a suppression list. ``stage``: ``intake`` or ``delivery``;
    ``reason``: that of the entry; ``cause``: the event that put it there, where there was one."""

    recipient: str
    stage: str
    reason: str
    message: str = ""
    sender: str = ""
    cause: str = ""


class Complained(OfTenant, frozen=True, kw_only=True, omit_defaults=True, tag="complained"):
    """The recipient called it spam, or an operator of mailboxes did (RFC 5965, RFC 9477)."""

    recipient: str
    feedback_type: str
    message: str = ""
    sender: str = ""
    reporter: str = ""
    source: str = ""
    provider: str = ""
    report: str = ""


class Unsubscribed(OfTenant, frozen=True, kw_only=True, omit_defaults=True, tag="unsubscribed"):
    """The recipient wants no more of it. ``via``: ``one-click``, ``page``, ``mailto``, or
    ``feedback`` for a report of type opt-out."""

    recipient: str
    via: str
    message: str = ""
    reason: str = ""
    client: str = ""
    report: str = ""


class AutoReplied(OfTenant, frozen=True, kw_only=True, omit_defaults=True, tag="auto-replied"):
    """A machine answered in the recipient's place (RFC 3834); nothing follows from it."""

    recipient: str
    message: str = ""
    report: str = ""


class Reported(Event, frozen=True, kw_only=True, omit_defaults=True, tag="reported"):
    """A report came in, before it is known what it is about. Internal: it becomes one of the events
    above, and is not told to webhooks. ``role``: ``bounce``, ``complaint`` or ``unsubscribe``;
    ``token``: that of the address it came to; ``found``: what was read out of it."""

    role: str
    token: str = ""
    client: str = ""
    found: dict[str, Any] = {}


class TlsSeen(Event, frozen=True, kw_only=True, omit_defaults=True, tag="tls-seen"):
    """What a worker saw of the TLS of a domain's hosts since it last said so, as RFC 8460 counts
    it: ``sessions`` of one kind. Internal: it is told in reports to that domain only. ``result``:
    empty for those that met the policy; ``policy``, ``policy_text``, ``policy_mx``: the domain's
    policy, as a report names it."""

    domain: str
    sessions: int
    policy: str = "no-policy-found"
    policy_text: tuple[str, ...] = ()
    policy_mx: tuple[str, ...] = ()
    result: str = ""
    mx: str = ""
    address: str = ""
    source: str = ""
    detail: str = ""


class Admin(OfTenant, frozen=True, kw_only=True, omit_defaults=True, tag="admin"):
    """An operator did something. ``action``: the command; ``selector``: what it is about."""

    action: str
    who: str = ""
    reason: str = ""
    selector: dict[str, str] = {}
    operation: str = ""


class Policy(OfTenant, frozen=True, kw_only=True, omit_defaults=True, tag="policy"):
    """The engine did something by itself. ``rule``: what made it (a guard, a reply rule), with the
    file and line where it stands as ``where``; ``action``: what it did."""

    rule: str
    action: str
    where: str = ""
    reason: str = ""
    source: str = ""
    provider: str = ""
    until: str = ""


AnyEvent = (
    Accepted
    | Rejected
    | Delivered
    | Deferred
    | Bounced
    | Expired
    | Cancelled
    | Suppressed
    | Complained
    | Unsubscribed
    | AutoReplied
    | Reported
    | TlsSeen
    | Admin
    | Policy
)
INTERNAL = frozenset({"reported", "tls-seen"})  # types that no webhook and no sink hears of
