"""Changes of the suppression list: each is one transaction, made whole or not at all.

Any number of processes may write (the collector, commands): LMDB lets one in at a time, and one
that is killed leaves nothing half done. With the entries go the counts by reason, the checkpoint of
whoever reads events, and notes of what operators did, which the collector makes events of.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import lmdb
import msgspec

from penstock.policy.units import size_text
from penstock.suppression.entry import Entry, merged, pack, problem_of, unpack
from penstock.suppression.store import SEPARATOR, Store, SuppressionError, SuppressionFull

NOTES_MAX = 10_000  # that nobody has made events of yet; the oldest go
FULL_TIMES_MAX = 100
_DAY_S = 86400.0
_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.decode
_PURGED_TO, _FULL_PURGED_TO = b"purged-to", b"full-purged-to"
_CHECKPOINT = b"checkpoint:"


class Counted(NamedTuple):
    """So many entries of the same tenant, reason and scope."""

    tenant: str
    reason: str
    scope: str
    entries: int


class Change:
    """One transaction under way; made by :meth:`SuppressionWriter.change`."""

    def __init__(self, store: Store, transaction: Any) -> None:
        self._store, self._transaction = store, transaction
        self._deltas: Counter[tuple[bytes, str, str]] = Counter()

    def put(self, entry: Entry) -> bool:
        """Whether it is new; else it replaced the one of its tenant, scope and reason. Raises
        ``ValueError`` where something about it is wrong."""
        problem = problem_of(entry)
        if problem:
            raise ValueError(problem)
        address = self._store.spelling(entry.address)
        return self.put_key(key_of(address, entry.tenant), [entry])

    def put_key(self, key: bytes, entries: Sequence[Entry], *, last: bytes | None = None) -> bool:
        """Entries of one normal address and tenant, already checked; whether any is new. ``last``:
        the last key of the list, where that is known: what lies behind it is appended, which fills
        the pages and needs no look at what was there."""
        transaction, database = self._transaction, self._store.entries
        append = last is not None and key > last
        value = None if append else transaction.get(key, db=database)
        old = [] if value is None else unpack("", "", value)
        kept = merged(old, entries)
        self._count(key, old, -1)
        self._count(key, kept, 1)
        transaction.put(key, pack(kept), db=database, append=append)
        return len(kept) > len(old)

    def last_key(self) -> bytes:
        """The key that all others stand before; ``b""`` where there is none."""
        cursor = self._transaction.cursor(self._store.entries)
        return bytes(cursor.key()) if cursor.last() else b""

    def remove(
        self, address: str, tenant: str | None, scope: str | None = None, reason: str | None = None
    ) -> int:
        """How many entries went; ``None`` is any. Raises ``ValueError`` for what is no address."""
        start = self._store.spelling(address).encode() + SEPARATOR
        keys = [start + tenant.encode()] if tenant is not None else self._keys(start)
        removed = 0
        for key in keys:
            value = self._transaction.get(key, db=self._store.entries)
            old = [] if value is None else unpack("", "", value)
            kept = [
                one
                for one in old
                if scope not in (None, one.scope) or reason not in (None, one.reason)
            ]
            removed += len(old) - len(kept)
            self._keep(key, old, kept)
            if reason in (None, "bounce:mailbox-full"):
                self._transaction.delete(key, db=self._store.full)
        return removed

    def _keys(self, prefix: bytes) -> list[bytes]:
        found = []
        for database in (self._store.entries, self._store.full):
            cursor = self._transaction.cursor(database)
            if cursor.set_range(prefix):
                for key in cursor.iternext(values=False):
                    if not key.startswith(prefix):
                        break
                    found.append(key)
        return sorted(set(found))

    def _keep(self, key: bytes, old: Sequence[Entry], kept: Sequence[Entry]) -> None:
        if len(kept) == len(old):
            return
        self._count(key, old, -1)
        self._count(key, kept, 1)
        if kept:
            self._transaction.put(key, pack(kept), db=self._store.entries)
        else:
            self._transaction.delete(key, db=self._store.entries)

    def bounced_full(self, address: str, tenant: str, at: float, times: int, days: float) -> bool:
        """Count that a mailbox was full; ``True``: for the ``times``-th time within ``days``, which
        begins the count anew. Raises ``ValueError`` for what is no address."""
        key = key_of(self._store.spelling(address), tenant)
        value = self._transaction.get(key, db=self._store.full)
        before = [] if value is None else _decode(value, type=list[int])
        recent = sorted([one for one in before if one > at - days * _DAY_S] + [int(at)])
        if len(recent) >= min(times, FULL_TIMES_MAX):
            self._transaction.delete(key, db=self._store.full)
            return True
        self._transaction.put(key, _encode(recent), db=self._store.full)
        return False

    def not_full(self, address: str, tenant: str) -> None:
        """Mail was delivered there: the count begins anew."""
        key = key_of(self._store.spelling(address), tenant)
        self._transaction.delete(key, db=self._store.full)

    def note(self, note: Mapping[str, Any]) -> None:
        """Something that an operator did, for the collector to make an event of. It has the id of
        that event from now on, so that one told twice is known by it."""
        cursor = self._transaction.cursor(self._store.notes)
        number = int.from_bytes(cursor.key(), "big") + 1 if cursor.last() else 0
        if self._transaction.stat(self._store.notes)["entries"] >= NOTES_MAX and cursor.first():
            cursor.delete()
        self._transaction.put(
            number.to_bytes(8, "big"),
            _encode({"id": uuid.uuid4().hex, **note}),
            db=self._store.notes,
        )

    def told(self, numbers: Iterable[bytes]) -> None:
        """These notes have become events."""
        for number in numbers:
            self._transaction.delete(number, db=self._store.notes)

    def checkpoint(self, log: str, position: tuple[int, int]) -> None:
        """How far in an event log this list has come."""
        key = _CHECKPOINT + log.encode()
        self._transaction.put(key, _encode(list(position)), db=self._store.meta)

    def purge(self, now: float, keys_max: int, days: float) -> int:
        """Take out what has expired among the next ``keys_max`` keys, and as many counts of full
        mailboxes older than ``days``; the next call goes on from there. Returns how many entries
        went."""
        removed = 0
        for key, value in self._next(self._store.entries, _PURGED_TO, keys_max):
            old = unpack("", "", value)
            kept = [one for one in old if one.live(now)]
            removed += len(old) - len(kept)
            self._keep(key, old, kept)
        before = now - days * _DAY_S
        for key, value in self._next(self._store.full, _FULL_PURGED_TO, keys_max):
            if max(_decode(value, type=list[int]), default=0) < before:
                self._transaction.delete(key, db=self._store.full)
        return removed

    def _next(self, database: Any, marker: bytes, keys_max: int) -> list[tuple[bytes, bytes]]:
        """The rows behind those of the last call, at the end from the beginning again."""
        transaction = self._transaction
        start = transaction.get(marker, db=self._store.meta) or b""
        cursor = transaction.cursor(database)
        rows: list[tuple[bytes, bytes]] = []
        following = b""
        if cursor.set_range(start) if start else cursor.first():
            for key, value in cursor:
                if len(rows) == keys_max:
                    following = key
                    break
                rows.append((key, value))
        if start or following:
            transaction.put(marker, following, db=self._store.meta)
        return rows

    def _count(self, key: bytes, entries: Iterable[Entry], sign: int) -> None:
        tenant = key.partition(SEPARATOR)[2]
        for one in entries:
            self._deltas[tenant, one.reason, one.scope] += sign

    def finish(self) -> None:
        """Write down the counts; the last thing before the commit."""
        transaction, database = self._transaction, self._store.counts
        for (tenant, reason, scope), delta in self._deltas.items():
            if delta:
                key = b"\0".join((tenant, reason.encode(), scope.encode()))
                value = transaction.get(key, db=database)
                count = delta + (0 if value is None else _decode(value, type=int))
                if count > 0:
                    transaction.put(key, _encode(count), db=database)
                else:
                    transaction.delete(key, db=database)


class SuppressionWriter:
    """All that changes the list, and what only those who change it need to read."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @contextmanager
    def change(self) -> Iterator[Change]:
        """One transaction: durable when the block has ended, undone where it raises."""
        try:
            transaction = self.store.begin(write=True)
            try:
                change = Change(self.store, transaction)
                yield change
                change.finish()
            except BaseException:
                transaction.abort()
                raise
            transaction.commit()
        except (lmdb.MapFullError, lmdb.TxnFullError):
            most = size_text(self.store.environment.info()["map_size"])
            raise SuppressionFull(
                f"the suppression list in {self.store.directory} is full at {most}; nothing was "
                "changed: raise map_bytes in [suppression] of the settings and restart"
            ) from None
        except lmdb.Error as error:
            where = self.store.directory
            raise SuppressionError(f"the suppression list in {where}: {error}") from None

    def add(self, entries: Iterable[Entry], note: Mapping[str, Any] | None = None) -> int:
        """All in one transaction; how many are new. Raises ``ValueError`` where one is wrong, and
        adds none then. ``since`` 0 is now."""
        now = time.time()
        with self.change() as change:
            added = sum(
                change.put(one if one.since else one._replace(since=now)) for one in entries
            )
            if note is not None:
                change.note(note)
        return added

    def remove(
        self,
        address: str,
        tenant: str | None = None,
        scope: str | None = None,
        reason: str | None = None,
        note: Mapping[str, Any] | None = None,
    ) -> int:
        """As :meth:`Change.remove`; noted where any went."""
        with self.change() as change:
            removed = change.remove(address, tenant, scope, reason)
            if removed and note is not None:
                change.note(note)
        return removed

    def count(self) -> list[Counted]:
        """Entries by tenant, reason and scope, expired ones that are not purged yet included."""
        with self.store.begin() as reading:
            found = []
            for key, value in reading.cursor(self.store.counts):
                tenant, reason, scope = key.decode().split("\0")
                found.append(Counted(tenant, reason, scope, _decode(value, type=int)))
            return found

    def checkpoints(self) -> dict[str, tuple[int, int]]:
        """How far in each event log the list has come."""
        found = {}
        with self.store.begin() as reading:
            cursor = reading.cursor(self.store.meta)
            if cursor.set_range(_CHECKPOINT):
                for key, value in cursor:
                    if key.startswith(_CHECKPOINT):
                        at = _decode(value, type=tuple[int, int])
                        found[key[len(_CHECKPOINT) :].decode()] = at
        return found

    def notes(self, most: int) -> list[tuple[bytes, dict[str, Any]]]:
        """The oldest notes of which no events were made, each with its number."""
        found: list[tuple[bytes, dict[str, Any]]] = []
        with self.store.begin() as reading:
            for number, value in reading.cursor(self.store.notes):
                if len(found) == most:
                    break
                found.append((number, _decode(value, type=dict[str, Any])))
        return found

    def counted_among(self, pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those addresses, each with its tenant, for which full mailboxes are being counted; costs
        next to nothing while there are none."""
        store, found = self.store, set[tuple[str, str]]()
        with store.begin() as reading:
            if not reading.stat(store.full)["entries"]:
                return found
            for address, tenant in pairs:
                try:
                    key = key_of(store.spelling(address), tenant)
                except ValueError:
                    continue
                if reading.get(key, db=store.full) is not None:
                    found.add((address, tenant))
        return found


def key_of(address: str, tenant: str) -> bytes:
    """The key of a normal address."""
    return address.encode() + SEPARATOR + tenant.encode()
