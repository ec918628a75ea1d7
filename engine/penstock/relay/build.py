"""From what the queue gave back to what goes over the wire: the transaction, signed."""

from __future__ import annotations

from collections.abc import Callable

from penstock.mail.dkim_ring import KeyRing
from penstock.mail.headers import body_offset
from penstock.relay.lane import Batch, Ticket
from penstock.relay.ports import Transaction
from penstock.relay.spool import Stored


class Builder:
    """``ring`` may be replaced at any time (reload). ``now`` is wall time, for ``t=``."""

    def __init__(self, ring: KeyRing, now: Callable[[], float]) -> None:
        self.ring = ring
        self._now = now

    def build(self, batch: Batch, ticket: Ticket) -> Transaction:
        first = batch.stored[0]
        envelope, body = first.envelope, first.body
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
        )


def _options(stored: Stored) -> str:
    """The RCPT parameters of RFC 3461 as the client gave them."""
    parts = []
    if stored.recipient.notify:
        parts.append("NOTIFY=" + ",".join(stored.recipient.notify))
    if stored.recipient.orcpt:
        parts.append("ORCPT=" + stored.recipient.orcpt)
    return " ".join(parts)
