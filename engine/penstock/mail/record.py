"""Envelopes, recipients and queue keys as the bytes that the queue keeps for us.

The queue stores what it is given and asks nothing. Each record is a msgpack array that opens with
its version; fields are only ever added at the end, so a reader ignores what it does not know yet
and fills in what an older writer did not have. A version is raised only where that is not enough.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import msgpack

from penstock.mail.envelope import Envelope, Recipient

VERSION = 1
_SMTPUTF8 = 1
_EIGHTBIT = 2
_DOTLESS = 4
_ENVELOPE_FIELDS = 13
_ENVELOPE_DEFAULTS: tuple[Any, ...] = (VERSION, "", 0.0, 0, "", "", "", "", "", "", 0, 0.0, {})
# class, pool, deliver_at, tls, metadata: not in every record
_SAID_DEFAULTS: tuple[Any, ...] = ("", "", 0.0, "", {})
_pack = msgpack.Packer(autoreset=True).pack  # packb makes one for every call
_unpack = msgpack.unpackb


class BadRecord(ValueError):
    """Bytes that this version cannot read."""


class Key(NamedTuple):
    """What is scheduled together: mail of one class and campaign of one tenant, by one pool, to one
    domain, with one demand on TLS. ``class_``, ``pool`` and ``tls`` (see ``Envelope``) are as the
    mail says; ``""``: the policy decides."""

    domain: str
    tenant: str
    campaign: str
    class_: str = ""
    pool: str = ""
    tls: str = ""


def pack_envelope(envelope: Envelope) -> bytes:
    """All of ``envelope`` but its recipients."""
    flags = 0 if envelope.dotted else _DOTLESS
    if envelope.smtputf8:
        flags |= _SMTPUTF8
    if envelope.eightbit:
        flags |= _EIGHTBIT
    fields: tuple[object, ...] = (
        VERSION,
        envelope.sender,
        envelope.received_at,
        envelope.ref,
        envelope.tenant,
        envelope.campaign,
        envelope.account,
        envelope.client,
        envelope.ret,
        envelope.envid,
        flags,
        envelope.expires_at,
        envelope.tags,
    )
    if envelope.class_ or envelope.pool or envelope.deliver_at or envelope.tls or envelope.metadata:
        fields += (envelope.class_, envelope.pool, envelope.deliver_at)
        if envelope.metadata:
            fields += (envelope.tls, envelope.metadata)
        elif envelope.tls:
            fields += (envelope.tls,)
    packed: bytes = _pack(fields)
    return packed


def unpack_envelope(meta: bytes) -> Envelope:
    """The envelope with no recipients; raises :class:`BadRecord`."""
    fields = _fields(meta)
    said = None
    if len(fields) != _ENVELOPE_FIELDS:
        said = fields[_ENVELOPE_FIELDS:]
        fields = [*fields[:_ENVELOPE_FIELDS], *_ENVELOPE_DEFAULTS[len(fields) :]]
    (
        _, sender, received_at, ref, tenant, campaign, account, client, ret, envid, flags,
        expires_at, tags,
    ) = fields  # fmt: skip
    envelope = Envelope(
        sender,
        [],
        received_at,
        ref,
        tenant,
        campaign,
        account,
        client,
        ret,
        envid,
        flags & _SMTPUTF8 != 0,
        flags & _EIGHTBIT != 0,
        expires_at,
        dict(tags),
        flags & _DOTLESS == 0,
    )
    if said:
        said += _SAID_DEFAULTS[len(said) :]
        envelope.class_, envelope.pool, envelope.deliver_at, envelope.tls = said[:4]
        envelope.metadata = dict(said[4])
    return envelope


def pack_recipient(recipient: Recipient) -> bytes:
    """Without DSN parameters, as nearly always, the address and three bytes."""
    if recipient.notify or recipient.orcpt:
        fields: tuple[object, ...] = (
            VERSION,
            recipient.address,
            recipient.notify,
            recipient.orcpt,
        )
    else:
        fields = (VERSION, recipient.address)
    packed: bytes = _pack(fields)
    return packed


def unpack_recipient(meta: bytes) -> Recipient:
    """The inverse of :func:`pack_recipient`; raises :class:`BadRecord`."""
    fields = _fields(meta)
    if len(fields) < 4:
        return Recipient(fields[1], tuple(fields[2]) if len(fields) == 3 else ())
    return Recipient(fields[1], tuple(fields[2]), fields[3])


def _fields(meta: bytes) -> list[Any]:
    try:
        fields = _unpack(meta)
    except (ValueError, msgpack.UnpackException) as error:
        raise BadRecord(f"not a record: {error}") from None
    if not isinstance(fields, list) or len(fields) < 2:
        raise BadRecord("not a record")
    if fields[0] != VERSION:
        raise BadRecord(f"a record of version {fields[0]!r}; this is version {VERSION}")
    return fields


@lru_cache(maxsize=1024)
def pack_key(
    domain: str, tenant: str, campaign: str, class_: str = "", pool: str = "", tls: str = ""
) -> bytes:
    """Three fields, as ever, where neither a class nor a pool nor anything on TLS is said."""
    fields: tuple[str, ...] = (domain, tenant, campaign)
    if tls:
        fields = (*fields, class_, pool, tls)
    elif class_ or pool:
        fields = (*fields, class_, pool)
    packed: bytes = _pack(fields)
    return packed


def key_prefixes(domain: str) -> tuple[bytes, ...]:
    """What the packed keys of ``domain`` begin with, of three, five and six fields."""
    packed: bytes = _pack(domain)
    return b"\x93" + packed, b"\x95" + packed, b"\x96" + packed


def unpack_key(key: bytes) -> Key:
    """The inverse of :func:`pack_key`; raises :class:`BadRecord`."""
    try:
        domain, tenant, campaign, *said = _unpack(key)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadRecord(f"not a queue key: {error}") from None
    return Key(domain, tenant, campaign, *said[:3])
