"""From what the engine works with to events: an accepted envelope, the outcome of an attempt.

Pure, and on the path of every message: nothing here asks or copies more than it must.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from penstock.events.records import (
    Accepted,
    Bounced,
    Cancelled,
    Deferred,
    Delivered,
    Event,
    Expired,
    OfDelivery,
)
from penstock.events.types import Attempt
from penstock.mail.envelope import Envelope
from penstock.mail.outcome import Kind

REPLY_CHARS_MAX = 1000
SentAs = Callable[[Envelope], tuple[str, str]]  # its class and its pool


def as_said(envelope: Envelope) -> tuple[str, str]:
    """What the message says of itself, where nobody knows better."""
    return envelope.class_, envelope.pool


def accepted(
    id_: str, at: str, envelope: Envelope, size: int, sent_as: tuple[str, str], deliver_at: str
) -> Accepted:
    """``size``: bytes of the content as it is kept."""
    return Accepted(
        id=id_,
        at=at,
        tenant=envelope.tenant,
        campaign=envelope.campaign,
        class_=sent_as[0],
        tags=envelope.tags,
        metadata=envelope.metadata,
        message=envelope.id,
        sender=envelope.sender,
        recipients=tuple([one.address for one in envelope.recipients]),
        size=size,
        client=envelope.client,
        account=envelope.account,
        pool=sent_as[1],
        deliver_at=deliver_at,
    )


def outcome(
    id_: str,
    at: str,
    attempt: Attempt,
    envelope: Envelope,
    sent_as: tuple[str, str],
    retry_at: str,
    expired: bool,
) -> OfDelivery:
    """The event that ``attempt`` is; ``expired``: it was the last one."""
    (
        _, message, recipient, sender, tenant, campaign, provider, site, found,
        number, age_s, duration_s, source, verdict,
    ) = attempt  # fmt: skip
    reply = found.reply
    lines = reply.lines
    text = lines[0] if len(lines) == 1 else " ".join(lines)
    make: type[OfDelivery] = Delivered
    category = fault = rule = ""
    if verdict is not None:
        category, fault, rule = verdict.category._value_, verdict.fault._value_, verdict.rule
    if expired:
        make = Expired
    elif found.kind is Kind.DEFERRED:
        make = Deferred
    elif found.kind is Kind.BOUNCED:
        make = Bounced
    # all by name and nothing unpacked: this is the cheapest call that there is
    event = make(
        id=id_,
        at=at,
        tenant=tenant,
        campaign=campaign,
        class_=sent_as[0],
        tags=envelope.tags,
        metadata=envelope.metadata,
        message=message,
        recipient=recipient,
        sender=sender,
        source=source,
        pool=sent_as[1],
        provider=provider,
        site=site,
        mx=found.host,
        address=found.address,
        tls=found.tls,
        phase=found.phase._value_,
        attempt=number,
        age_s=int(age_s * 1000) / 1000,
        duration_s=int(duration_s * 1000) / 1000,
        code=reply.code,
        enhanced=reply.enhanced,
        reply=text[:REPLY_CHARS_MAX],
        category=category,
        fault=fault,
        rule=rule,
    )
    if make is Deferred:
        return msgspec.structs.replace(event, retry_at=retry_at)
    if make is Bounced and verdict is not None and verdict.suppress:
        return msgspec.structs.replace(event, suppress=True)
    return event


def cancelled(
    id_: str, at: str, attempt: Attempt, envelope: Envelope, sent_as: tuple[str, str], by: str
) -> Cancelled:
    """It was taken back; ``attempt`` stands for the one that there will not be."""
    return Cancelled(
        id=id_,
        at=at,
        tenant=attempt.tenant,
        campaign=attempt.campaign,
        class_=sent_as[0],
        tags=envelope.tags,
        metadata=envelope.metadata,
        message=attempt.id,
        recipient=attempt.recipient,
        sender=attempt.sender,
        source=attempt.source,
        pool=sent_as[1],
        provider=attempt.provider,
        site=attempt.site,
        attempt=attempt.attempt,
        age_s=int(attempt.age_s * 1000) / 1000,
        by=by,
    )


def encodable(event: Event) -> Event:
    """The same with every text that UTF-8 cannot say made one that it can."""
    said = {name: _plain(getattr(event, name)) for name in event.__struct_fields__}
    return msgspec.structs.replace(event, **said)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_plain(name): _plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(map(_plain, value))
    return value
