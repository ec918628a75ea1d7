"""The queue as the engine sees it: several shards behind one number space.

A *ref* is ``shard << 48 | sequence`` (see :mod:`penstock.mail.envelope`). New mail goes to the
primary shard; shards adopted from an earlier run with more workers are only drained. A ref is
handed to the dispatcher in the moment its commit returned, never before: what is not on disk is
not sent.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from penstock.mail.envelope import SEQUENCE_BITS, SEQUENCE_MASK, Envelope, Recipient
from penstock.mail.record import (
    BadRecord,
    pack_envelope,
    pack_key,
    pack_recipient,
    unpack_envelope,
    unpack_recipient,
)
from penstock_queue import Committer, Loaded, NewEntry, Queue

KNOWN_MAX = 1000


def shard_path(spool: str, number: int) -> str:
    """The directory of a shard."""
    return os.path.join(spool, f"shard-{number:02d}")


@dataclass(slots=True)
class Shard:
    """One queue directory and the thread that commits it."""

    number: int
    queue: Queue
    committer: Committer

    @property
    def base(self) -> int:
        return self.number << SEQUENCE_BITS


@dataclass(slots=True, eq=False)
class _Group:
    """The messages of one commit, and what their submitters wait for."""

    future: asyncio.Future[None]
    refs: list[int] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    then: list[Callable[[bool], None]] = field(default_factory=list)


class Stored(NamedTuple):
    """A message read back: its envelope (its recipients are not to be relied on), this recipient,
    the content, and the note of the last deferral."""

    envelope: Envelope
    recipient: Recipient
    body: bytes
    note: bytes


class Spool:
    """All shards of one worker; ``shards[0]`` is the primary.

    ``fresh(refs, keys)`` is called after each commit with what it made durable and due, and the
    queue key of each;
    ``refused(error)`` turns a failed commit into what the submitter is told.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        fresh: Callable[[list[int], list[bytes]], None],
        refused: Callable[[BaseException], BaseException],
    ) -> None:
        self._primary = shards[0]
        self._shards = {shard.number: shard for shard in shards}
        self._fresh, self._refused = fresh, refused
        self._loop = asyncio.get_running_loop()
        # what was taken in a moment ago need not be unpacked to be sent
        self._known: dict[int, tuple[Envelope, Recipient]] = {}
        self._commit: asyncio.Future[None] | None = None
        self._group = _Group(self._loop.create_future())

    @property
    def shards(self) -> list[Shard]:
        return list(self._shards.values())

    @property
    def full(self) -> bool:
        """The disk refused the last commit; intake stays shut until one succeeds."""
        return self._primary.queue.full

    @property
    def uncommitted_bytes(self) -> int:
        """What waits in memory for the disk."""
        return self._primary.queue.uncommitted_bytes

    @property
    def handed_out(self) -> int:
        """Deliveries that wait for no time any more, those under way included."""
        return sum(shard.queue.handed_out for shard in self._shards.values())

    # in

    def reserve(self, recipients: int, now: float) -> int:
        return self._primary.base | self._primary.queue.reserve(recipients, now)

    def append(
        self,
        envelope: Envelope,
        body: Sequence[bytes],
        due: float = 0.0,
        then: Callable[[bool], None] | None = None,
    ) -> asyncio.Future[None]:
        """Take the message in; the future resolves when it is on disk. ``due`` 0 is at once.
        ``then(stored)`` is called with the end of the commit, before anybody who waits for it.

        ``envelope.ref`` must come from :meth:`reserve`. Raises ``QueueFull``.
        """
        primary = self._primary
        if due and due <= primary.queue.now:
            due = 0.0  # passed already: the timers would not have it
        expires, tenant, campaign = envelope.expires_at, envelope.tenant, envelope.campaign
        people, class_, pool = envelope.recipients, envelope.class_, envelope.pool
        if class_ or pool or envelope.tls:
            tls = envelope.tls
            keys = [pack_key(one.domain, tenant, campaign, class_, pool, tls) for one in people]
        else:
            keys = [pack_key(one.domain, tenant, campaign) for one in people]
        entries = [
            NewEntry(key, due, expires, pack_recipient(one))
            for key, one in zip(keys, people, strict=True)
        ]
        ref = envelope.ref
        primary.queue.append(ref & SEQUENCE_MASK, pack_envelope(envelope), body, entries)
        commit = primary.committer.commit()
        if commit is not self._commit:
            self._commit = commit
            self._group = group = _Group(self._loop.create_future())
            commit.add_done_callback(lambda done: self._committed(done, group))
        group = self._group
        if then is not None:
            group.then.append(then)
        if not due:  # else the timers have it
            group.keys += keys
            if len(keys) == 1:
                group.refs.append(ref)
                if len(self._known) >= KNOWN_MAX:
                    self._known.clear()
                self._known[ref] = envelope, envelope.recipients[0]
            else:
                group.refs += range(ref, ref + len(keys))
        return group.future

    def _committed(self, done: asyncio.Future[None], group: _Group) -> None:
        error = done.exception()
        if error is None:
            group.future.set_result(None)
            self._fresh(group.refs, group.keys)
        else:
            group.future.set_exception(self._refused(error))
            group.future.exception()  # the group may be reports of our own, for which nobody waits
        for call in group.then:
            call(error is None)

    # out

    def pop_due(self, now: float, limit: int) -> list[int]:
        refs: list[int] = []
        for shard in self._shards.values():
            base = shard.base
            refs += [base | seq for seq in shard.queue.pop_due(now, limit - len(refs))]
            if len(refs) >= limit:
                break
        return refs

    def next_deadline(self) -> float | None:
        deadlines = [
            deadline
            for shard in self._shards.values()
            if (deadline := shard.queue.next_deadline()) is not None
        ]
        return min(deadlines, default=None)

    def settle(self, ref: int) -> None:
        shard = self._shards[ref >> SEQUENCE_BITS]
        shard.queue.settle(ref & SEQUENCE_MASK)
        shard.committer.nudge()

    def defer(self, ref: int, due: float, attempts: int, note: bytes) -> None:
        shard = self._shards[ref >> SEQUENCE_BITS]
        shard.queue.defer(ref & SEQUENCE_MASK, due, attempts, note)
        shard.committer.nudge()

    def wake_at(self, ref: int, due: float) -> None:
        self._shards[ref >> SEQUENCE_BITS].queue.wake_at(ref & SEQUENCE_MASK, due)

    def mark(self, ref: int) -> None:
        self._shards[ref >> SEQUENCE_BITS].queue.mark(ref & SEQUENCE_MASK)

    def unmark(self, ref: int) -> None:
        self._shards[ref >> SEQUENCE_BITS].queue.unmark(ref & SEQUENCE_MASK)

    # what is known without reading the disk

    def exists(self, ref: int) -> bool:
        shard = self._shards.get(ref >> SEQUENCE_BITS)
        return shard is not None and shard.queue.exists(ref & SEQUENCE_MASK)

    def message(self, ref: int) -> int:
        """The ref of the message's first recipient: equal for all recipients of one message."""
        shard = self._shards[ref >> SEQUENCE_BITS]
        return shard.base | shard.queue.body(ref & SEQUENCE_MASK)

    def siblings(self, ref: int) -> list[int]:
        """The recipients of this ref's message that are still queued; ``ref`` may be settled
        itself if it is the message's first."""
        shard = self._shards.get(ref >> SEQUENCE_BITS)
        if shard is None:
            return []
        first = self.message(ref) if self.exists(ref) else ref
        found = []
        for seq in shard.queue.seqs(max(0, (first & SEQUENCE_MASK) - 1)):
            if shard.queue.body(seq) != first & SEQUENCE_MASK:
                break
            found.append(shard.base | seq)
        return found

    def size(self, ref: int) -> int:
        """Bytes of the message's content."""
        return self._shards[ref >> SEQUENCE_BITS].queue.size(ref & SEQUENCE_MASK)

    def attempts(self, ref: int) -> int:
        return self._shards[ref >> SEQUENCE_BITS].queue.attempts(ref & SEQUENCE_MASK)

    def due(self, ref: int) -> float:
        return self._shards[ref >> SEQUENCE_BITS].queue.due(ref & SEQUENCE_MASK)

    def expires(self, ref: int) -> float:
        return self._shards[ref >> SEQUENCE_BITS].queue.expires(ref & SEQUENCE_MASK)

    def tried(self, ref: int) -> bool:
        """Whether it was attempted before; not for what is settled."""
        shard = self._shards[ref >> SEQUENCE_BITS]
        seq = ref & SEQUENCE_MASK
        return shard.queue.exists(seq) and shard.queue.attempts(seq) > 0

    def created(self, ref: int) -> int:
        """Seconds since the epoch, rounded down."""
        return self._shards[ref >> SEQUENCE_BITS].queue.created(ref & SEQUENCE_MASK)

    def key_bytes(self, ref: int) -> bytes:
        """The queue key, packed: what the deliveries of one lane have in common."""
        queue = self._shards[ref >> SEQUENCE_BITS].queue
        return queue.key(queue.key_id(ref & SEQUENCE_MASK))

    def group(self, ref: int) -> int:
        """Equal for refs that may share a transaction; a settled ref is a group of its own."""
        queue = self._shards[ref >> SEQUENCE_BITS].queue
        seq = ref & SEQUENCE_MASK
        return queue.body(seq) if queue.exists(seq) else -ref

    def refs(self) -> Iterator[int]:
        for shard in self._shards.values():
            for seq in shard.queue.seqs():
                yield shard.base | seq

    def refs_of(self, wanted: Callable[[bytes], bool]) -> Iterator[int]:
        """All with a queue key that is ``wanted``; that is asked once a key and shard."""
        for shard in self._shards.values():
            for seq in shard.queue.seqs_of(wanted):
                yield shard.base | seq

    def refs_of_key(self, key: bytes) -> Iterator[int]:
        """The same for one queue key, without a walk through all."""
        for shard in self._shards.values():
            for seq in shard.queue.seqs_of_key(key):
                yield shard.base | seq

    def key_counts(self) -> Iterator[tuple[bytes, int]]:
        """Every queue key with its number of deliveries, once a shard that has any."""
        for shard in self._shards.values():
            yield from shard.queue.key_counts()

    def key_counts_of(self, prefixes: tuple[bytes, ...]) -> Iterator[tuple[bytes, int]]:
        """The same for keys that begin with one of ``prefixes``."""
        for shard in self._shards.values():
            yield from shard.queue.key_counts_of(prefixes)

    def armed(self) -> Iterator[tuple[int, int]]:
        """Piece by piece of the index: how many deliveries wait for a time, and how many of them
        were attempted before."""
        for shard in self._shards.values():
            yield from shard.queue.armed()

    def expire_at(self, ref: int, expires: float) -> None:
        """Expires at another time, until a restart."""
        self._shards[ref >> SEQUENCE_BITS].queue.expire_at(ref & SEQUENCE_MASK, expires)

    # content

    def cached(self, ref: int) -> Stored | None:
        loaded = self._shards[ref >> SEQUENCE_BITS].queue.cached(ref & SEQUENCE_MASK)
        known = self._known.pop(ref, None)
        if loaded is None:
            return None
        return _stored(loaded) if known is None else Stored(*known, loaded.body, loaded.note)

    def read(self, refs: Sequence[int]) -> list[Stored | None]:
        """From disk, blocking, safe in a thread; ``None`` where the entry is gone."""
        return self._read(refs, Queue.read)

    def read_heads(self, refs: Sequence[int]) -> list[Stored | None]:
        """The same without the content, of which nothing is read."""
        return self._read(refs, Queue.read_heads)

    def _read(
        self,
        refs: Sequence[int],
        read: Callable[[Queue, Sequence[int]], list[Loaded | None]],
    ) -> list[Stored | None]:
        found: dict[int, Stored | None] = {}
        for number, shard in self._shards.items():
            mine = [ref for ref in refs if ref >> SEQUENCE_BITS == number]
            if mine:
                loaded = read(shard.queue, [ref & SEQUENCE_MASK for ref in mine])
                found.update((ref, _readable(one)) for ref, one in zip(mine, loaded, strict=True))
        return [found.get(ref) for ref in refs]

    def stats(self) -> dict[str, float]:
        """Sums over the shards, but for ``oldest_created``, which is the least."""
        total: dict[str, float] = {}
        for shard in self._shards.values():
            for name, value in shard.queue.stats().items():
                if name == "oldest_created":
                    if value:
                        total[name] = min(value, total.get(name) or value)
                else:
                    total[name] = total.get(name, 0) + value
        return total

    async def stop(self, before_release: Callable[[], None] | None = None) -> None:
        """``before_release()`` is called when all is written, while the shards are still ours."""
        for shard in self._shards.values():
            await shard.committer.stop()
        if before_release is not None:
            before_release()
        for shard in self._shards.values():
            shard.queue.close()


def _readable(loaded: Loaded | None) -> Stored | None:
    """One record that cannot be read must not keep those read with it from anybody."""
    try:
        return None if loaded is None else _stored(loaded)
    except BadRecord:
        return None


def _stored(loaded: Loaded) -> Stored:
    return Stored(
        unpack_envelope(loaded.meta),
        unpack_recipient(loaded.entry_meta),
        loaded.body,
        loaded.note,
    )
