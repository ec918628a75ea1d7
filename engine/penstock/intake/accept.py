"""From a received message to what is stored: trace fields, control fields, loop check.

Pure. One scan of the header block (:mod:`penstock.mail.headers`) answers all questions; the body is
passed on as it is, without a copy.
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock.intake.control import ANYTHING, ControlRules, Permit, obey
from penstock.mail.envelope import Envelope
from penstock.mail.headers import (
    date_field,
    message_id_field,
    protocol,
    received,
    scan,
    strip,
)
from penstock.smtp.reply import Reply

RECEIVED_MAX = 50
LOOP = Reply.of(554, "5.4.6 Too many hops: mail loop")
HEADER_TOO_BIG = Reply.of(552, "5.3.4 Message header exceeds fixed maximum size")
_NO_POOLS = ControlRules()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a message comes from, for the trace field. ``tls``: version and cipher, or ``""``.
    ``trusted``: it may relay, so control fields are obeyed and missing fields are added;
    ``permit``: what those fields may name. ``protocol``: how it came, where that was not SMTP."""

    helo: str
    address: str
    extended: bool = True
    tls: str = ""
    authenticated: bool = False
    trusted: bool = False
    permit: Permit = ANYTHING
    protocol: str = ""


def prepare(
    envelope: Envelope,
    content: bytes,
    origin: Origin,
    *,
    hostname: str,
    now: float,
    received_max: int = RECEIVED_MAX,
    id: str = "",
    rules: ControlRules = _NO_POOLS,
) -> list[bytes] | Reply:
    """The body to store, in chunks, or the refusal; ``now`` in seconds since the epoch; ``id``:
    ``envelope.id`` where it is at hand.

    Writes into ``envelope`` what the control fields of a trusted client say, by ``rules``.
    """
    headers = scan(content)
    if headers.received_count > received_max:
        return LOOP
    if headers.truncated:
        return HEADER_TOO_BIG
    if origin.trusted and headers.control:
        refusal = obey(envelope, headers, origin.permit, rules, now)
        if refusal is not None:
            return refusal
    if origin.trusted and headers.relaxed and not envelope.tls:
        envelope.tls = "relax"
    id = id or envelope.id
    trace = received(
        helo=origin.helo,
        address=origin.address,
        hostname=hostname,
        protocol=origin.protocol
        or protocol(
            extended=origin.extended,
            tls=bool(origin.tls),
            authenticated=origin.authenticated,
            utf8=envelope.smtputf8,
        ),
        id=id,
        now=now,
        tls=origin.tls,
    )
    if origin.trusted:
        if not headers.has_date:
            trace += date_field(now)
        if not headers.has_message_id:
            trace += message_id_field(id, hostname)
    return [trace, *strip(content, headers)]
