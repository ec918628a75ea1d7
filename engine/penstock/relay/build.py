"""From what the queue gave back to what goes over the wire: the transaction, stamped and signed."""

from __future__ import annotations

from collections.abc import Callable

from penstock.mail import canonical
from penstock.mail.dkim_ring import KeyRing
from penstock.mail.headers import body_offset
from penstock.policy.feedback import Feedback
from penstock.relay.lane import Batch, Ticket
from penstock.relay.ports import Transaction
from penstock.relay.spool import Stored
from penstock.relay.stamp import Stamp


class Builder:
    """``ring`` and ``stamp`` may be replaced at any time (reload); ``stamp`` is ``None`` where
    there are no keys for tokens. ``now`` is wall time, for ``t=``."""

    def __init__(self, ring: KeyRing, now: Callable[[], float], stamp: Stamp | None = None) -> None:
        self.ring, self.stamp = ring, stamp
        self._now = now

    def build(self, batch: Batch, ticket: Ticket) -> Transaction:
        first = batch.stored[0]
        envelope, body = first.envelope, first.body
        stamp = self.stamp
        if stamp is not None and envelope.sender:
            feedback = stamp.of(envelope.tenant)
            if feedback is not None:
                return self._stamped(stamp, feedback, batch, ticket)
        chunks = [body]
        size = len(body)
        if self.ring:
            signature = self.ring.sign(body, body_offset(body), self._now())
            if signature:
                chunks = [signature, body]
                size += len(signature)
        stored = batch.stored
        options: tuple[str, ...] = ()
        if any(one.recipient.notify or one.recipient.orcpt for one in stored):
            options = tuple(_options(one) for one in stored)
        return Transaction(
            envelope.sender,
            tuple([one.recipient.address for one in stored]),
            chunks,
            size,
            options,
            envelope.ret,
            envelope.envid,
            envelope.eightbit,
            envelope.smtputf8,
            ticket,
            envelope.dotted,
            envelope.tls == "require",
        )

    def _stamped(
        self, stamp: Stamp, feedback: Feedback, batch: Batch, ticket: Ticket
    ) -> Transaction:
        """With another return path, reports of other hosts come to us: what the client asked for in
        NOTIFY is ours to fulfil (RFC 3461 5.2.7.3), and of the message they need the header only.
        """
        stored = batch.stored
        envelope, body = stored[0].envelope, stored[0].body
        headers_end = body_offset(body)
        fields = canonical.parse(body, headers_end)
        return_path, added, also = stamp.stamp(feedback, batch, fields.names)
        chunks = [added, body]
        if self.ring:
            whole = canonical.put_before(added, fields)
            signature = self.ring.sign_fields(body, headers_end, whole, self._now(), also)
            chunks = [signature + added, body]
        ticket.returns_to_us = bool(return_path)
        options: tuple[str, ...] = ()
        if any(one.recipient.notify or one.recipient.orcpt for one in stored):
            options = tuple(_options(one, ticket.returns_to_us) for one in stored)
        return Transaction(
            return_path or envelope.sender,
            tuple([one.recipient.address for one in stored]),
            chunks,
            len(chunks[0]) + len(body),
            options,
            "HDRS" if return_path else envelope.ret,
            envelope.envid,
            envelope.eightbit,
            envelope.smtputf8,
            ticket,
            envelope.dotted,
            envelope.tls == "require",
        )


def _options(stored: Stored, returns_to_us: bool = False) -> str:
    """The RCPT parameters of RFC 3461 as the client gave them; without NOTIFY where reports come
    to us."""
    parts = []
    if stored.recipient.notify and not returns_to_us:
        parts.append("NOTIFY=" + ",".join(stored.recipient.notify))
    if stored.recipient.orcpt:
        parts.append("ORCPT=" + stored.recipient.orcpt)
    return " ".join(parts)
