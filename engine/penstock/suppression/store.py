"""The suppression list on disk, shared by all processes: LMDB, a B+ tree mapped into memory.

A key is the address, a zero byte, and the tenant (none for the global list), so that all that is
known of an address stands together and a look-up is two descents of a tree that is nearly always
in memory. Readers take no lock and write nothing. Each look-up is a transaction of its own, which
costs a fifth of a microsecond: what another process committed shows at once, and no reader keeps
old pages from being used again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import lmdb

from penstock.suppression.entry import Entry, unpack
from penstock.suppression.normalise import normal_address, without_tag

READERS_MAX = 512  # transactions of readers at one moment, over all processes
SEPARATOR = b"\0"
_SPARE_TRANSACTIONS = 4
_SLICE_KEYS = 5000  # read in one transaction when the whole list is walked through
_NAMES = (b"entries", b"counts", b"full", b"notes", b"meta")


class SuppressionError(Exception):
    """The list cannot be used; the text says why and what to do."""


class SuppressionFull(SuppressionError):
    """There is no room in the map; nothing of the change was made."""


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """``map_bytes``: how large the file may become. ``plus_addresses`` ``"same"``: what follows a
    ``+`` in a local part is no difference."""

    map_bytes: int = 4 << 30
    plus_addresses: Literal["distinct", "same"] = "distinct"


class Usage(NamedTuple):
    """``addresses``: pairs of an address and a tenant (or the global list)."""

    addresses: int
    bytes: int
    map_bytes: int


class Store:
    """One process's handle; LMDB allows one for each file and process. ``readonly``: nothing is
    written by it, and it is opened without the writers' lock, which an import may hold for long.
    Raises :class:`SuppressionError` where the list cannot be opened."""

    def __init__(
        self, directory: str, config: StoreConfig = StoreConfig(), *, readonly: bool = False
    ) -> None:
        self.directory, self.config = directory, config
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            if readonly and not _is_made(directory):
                _open(directory, config, readonly=False)[0].close()
            self.environment, handles = _open(directory, config, readonly)
        except (OSError, lmdb.Error) as error:
            raise SuppressionError(f"the suppression list in {directory}: {error}") from None
        self.entries, self.counts, self.full, self.notes, self.meta = handles

    def begin(self, *, write: bool = False) -> Any:
        """A transaction; another process may have made the map larger meanwhile."""
        try:
            return self.environment.begin(write=write)
        except lmdb.MapResizedError:
            self.environment.set_mapsize(0)
            return self.environment.begin(write=write)

    def usage(self) -> Usage:
        with self.begin() as reading:
            addresses = reading.stat(self.entries)["entries"]
        size = self.environment.stat()["psize"]
        info = self.environment.info()
        return Usage(addresses, (info["last_pgno"] + 1) * size, info["map_size"])

    def close(self) -> None:
        self.environment.close()

    def spelling(self, address: str) -> str:
        """How the list spells ``address``; raises ``ValueError``."""
        normal = normal_address(address)
        return without_tag(normal) if self.config.plus_addresses == "same" else normal

    def walk(self, prefix: bytes = b"") -> Iterator[Entry]:
        """All entries whose key begins so, in the order of their keys; slice by slice, so that a
        long walk keeps no old pages."""
        yield from self._walk(prefix, prefix)

    def walk_after(self, address: str, tenant: str) -> Iterator[Entry]:
        """All entries behind those of ``address``, in its one spelling, with ``tenant``."""
        yield from self._walk(address.encode() + SEPARATOR + tenant.encode() + b"\0", b"")

    def _walk(self, start: bytes | None, prefix: bytes) -> Iterator[Entry]:
        while start is not None:
            rows, start = self._slice(start, prefix)
            for key, value in rows:
                address, _, tenant = key.partition(SEPARATOR)
                yield from unpack(address.decode(), tenant.decode(), value)

    def _slice(self, start: bytes, prefix: bytes) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
        rows: list[tuple[bytes, bytes]] = []
        with self.begin() as reading:
            cursor = reading.cursor(self.entries)
            if cursor.set_range(start) if start else cursor.first():
                for key, value in cursor:
                    if not key.startswith(prefix):
                        break
                    if len(rows) == _SLICE_KEYS:
                        return rows, key
                    rows.append((key, value))
        return rows, None


def _is_made(directory: str) -> bool:
    """Whether a writer has made it, with all that is in it."""
    try:
        _open(directory, StoreConfig(), readonly=True)[0].close()
    except lmdb.Error:
        return False
    return True


def _open(directory: str, config: StoreConfig, readonly: bool) -> tuple[Any, list[Any]]:
    environment = lmdb.open(
        directory,
        map_size=config.map_bytes,
        max_dbs=len(_NAMES),
        max_readers=READERS_MAX,
        max_spare_txns=_SPARE_TRANSACTIONS,
        readahead=False,  # look-ups jump about
        mode=0o600,
        readonly=readonly,
    )
    try:
        environment.reader_check()  # slots of processes that were killed
        handles = [environment.open_db(name, create=not readonly) for name in _NAMES]
    except lmdb.Error:
        environment.close()
        raise
    return environment, handles


class Suppressions:
    """What readers ask, in every worker. Raises ``lmdb.Error`` where the file is in trouble."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._entries = store.entries
        self._begin = store.environment.begin
        self._tags_too = store.config.plus_addresses == "same"

    def find(
        self, address: str, tenant: str, class_: str, now: float, mailing_list: str = ""
    ) -> Entry | None:
        """The entry that keeps mail of this class from ``address``, the global list's before the
        tenant's; ``None`` where it may have it."""
        for entry in self.entries(address, tenant):
            if entry.covers(class_, mailing_list, now):
                return entry
        return None

    def entries(self, address: str, tenant: str) -> list[Entry]:
        """All entries of the global list and of ``tenant``, whatever they cover. What is no address
        is on no list."""
        try:
            normal = normal_address(address)
        except ValueError:
            return []
        if self._tags_too and "+" in normal:
            return self._get(normal, tenant) + self._get(without_tag(normal), tenant)
        return self._get(normal, tenant)

    def _get(self, normal: str, tenant: str) -> list[Entry]:
        key = normal.encode() + SEPARATOR
        try:
            reading = self._begin(self._entries)
        except lmdb.MapResizedError:
            self.store.environment.set_mapsize(0)
            reading = self._begin(self._entries)
        try:
            cursor = reading.cursor()
            if not cursor.set_range(key) or not (first := cursor.key()).startswith(key):
                return []  # nothing is known of most addresses, and one descent says so
            for_all = cursor.value() if first == key else None
            own = cursor.get(key + tenant.encode()) if tenant else None
        finally:
            reading.abort()
        found = [] if for_all is None else unpack(normal, "", for_all)
        return found if own is None else found + unpack(normal, tenant, own)

    def lookup(self, address: str) -> list[Entry]:
        """All entries of an address, of all tenants; raises ``ValueError`` for what is none."""
        return list(self.store.walk(self.store.spelling(address).encode() + SEPARATOR))
