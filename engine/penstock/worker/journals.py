"""How mail is described in a worker's event log, and what is missing there after a crash."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from penstock.events.configure import Keeper
from penstock.mail.envelope import SEQUENCE_BITS, SEQUENCE_MASK, Envelope
from penstock.policy.policies import Policies
from penstock.relay.spool import Spool

_KNOWN_MAX = 10_000
_CAUGHT_UP_MAX = 100_000  # deliveries; those of a tenth of a second are far fewer


def catch_up(journal: Keeper, spool: Spool) -> int:
    """Write what a crash kept from being written: ``accepted`` of messages that are in the queue
    and newer than the newest in the log; their number. Where they are too many, the log was turned
    off meanwhile, and they are left as they are. Their sizes are those of the whole records: the
    content is not read for that."""
    shard = spool.shards[0]
    last = max(journal.last_accepted(), shard.base)
    if last >> SEQUENCE_BITS != shard.number:
        return 0
    seqs = shard.queue.seqs(last & SEQUENCE_MASK)
    refs = [shard.base | seq for seq in islice(seqs, _CAUGHT_UP_MAX + 1)]
    if len(refs) > _CAUGHT_UP_MAX:
        return 0
    found: dict[int, Envelope] = {}
    for stored in spool.read_heads(refs):
        # our own reports come from no client, and nobody accepted them
        if stored is not None and stored.envelope.client and stored.envelope.ref > last:
            envelope = found.setdefault(stored.envelope.ref, stored.envelope)
            envelope.recipients.append(stored.recipient)
    journal.accepted([(one, spool.size(ref)) for ref, one in found.items() if spool.exists(ref)])
    return len(found)


class Sent:
    """The class and the pool that a message goes by, as the policies of now say."""

    def __init__(self, policies: Callable[[], Policies]) -> None:
        self._policies = policies
        self._of: Policies | None = None
        self._known: dict[tuple[str, str, str], tuple[str, str]] = {}

    def __call__(self, envelope: Envelope) -> tuple[str, str]:
        policies = self._policies()
        if policies is not self._of or len(self._known) >= _KNOWN_MAX:
            self._of = policies
            self._known.clear()
        key = envelope.tenant, envelope.class_, envelope.pool
        found = self._known.get(key)
        if found is None:
            class_ = policies.resolve_class(envelope.tenant, envelope.class_)[0]
            pool = policies.resolve_pool(envelope.tenant, class_, envelope.pool)[0]
            found = self._known[key] = class_, pool
        return found
