"""Calls of the HTTP API that are remembered by their ``Idempotency-Key``, on disk: LMDB.

One file for all workers, since each request of a client may reach another one. Looking something up
is a transaction of a microsecond that takes no lock. Changes are made by a thread, all that have
come while it made others in one durable transaction: so what they cost is shared as in the queue,
and the event loop never waits for a lock that another process holds, or for the disk.

A record is *pending* from before the first of its messages is given to the queue. Whoever owns the
queue finds out, when it starts, what became of those that a crash left so.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import lmdb
import msgspec
import structlog

log = structlog.get_logger("penstock.api")
READERS_MAX = 512
_NAMES = (b"records", b"ages", b"pending")
_SWEEP_ENTRIES = 256  # with each change: more than are added by one
_SWEPT_AT_ONCE = 2000
_EVICTED_FOR_ROOM = 16  # with each change, while the file is fuller than this share
_FULL_SHARE = 0.7
_SWEEP_S = 30.0
_MARGIN_ENTRIES = 8
_STAMP = struct.Struct(">Q")
_SHARD = struct.Struct(">H")
State = Literal["pending", "partial", "done"]
PENDING: Final = "pending"
PARTIAL: Final = "partial"
DONE: Final = "done"
_R = TypeVar("_R")


class Record(msgspec.Struct, array_like=True, frozen=True):
    """One call. ``digest`` is that of its request; ``refs`` are those of its messages in their
    order, 0 for one that is not in the queue and never was; ``shard`` is where they went.

    *partial*: of ``refs`` those that are not 0 are accepted, the rest has still to be done.
    ``status``, ``headers`` and ``answer`` are what the client was told, or will be."""

    state: State
    digest: bytes
    at: float
    shard: int
    refs: tuple[int, ...] = ()
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    answer: bytes = b""


class StoreTrouble(Exception):
    """Nothing can be remembered now; the text says why."""


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """``keep_s``: how long a call is remembered; ``entries_max`` and ``map_bytes``: how many, and
    how much of them, at most."""

    keep_s: float = 86_400.0
    entries_max: int = 1_000_000
    map_bytes: int = 1 << 30


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


class Store:
    """One process's. ``forgotten``: records that had to go before their time."""

    def __init__(self, directory: str, config: StoreConfig, now: Callable[[], float]) -> None:
        self._config, self._now = config, now
        self.forgotten = 0
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            self._environment = lmdb.open(
                directory,
                map_size=config.map_bytes,
                max_dbs=len(_NAMES),
                max_readers=READERS_MAX,
                max_spare_txns=2,
                readahead=False,
                mode=0o600,
            )
            self._environment.reader_check()  # slots of processes that were killed
            self._records, self._ages, self._pending = map(self._environment.open_db, _NAMES)
            pages = config.map_bytes / self._environment.stat()["psize"]
            self._pages_max = int(pages * _FULL_SHARE)
        except (OSError, lmdb.Error) as error:
            raise StoreTrouble(f"the memory of calls in {directory}: {error}") from None
        self._changes: list[tuple[Callable[[Any], Any], asyncio.Future[Any]]] = []
        self._thread = ThreadPoolExecutor(1, "idempotency")
        self._working = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Old records go by themselves from now on."""
        self._timer = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep_now)

    def close(self) -> None:
        """Changes that were asked for are made first. Blocking."""
        if self._timer is not None:
            self._timer.cancel()
        self._thread.shutdown(wait=True)
        self._environment.close()

    # looking

    def find(self, key: bytes) -> Record | None:
        """What is remembered by ``key``. Raises :class:`StoreTrouble`."""
        try:
            with self._environment.begin(self._records) as reading:
                value = reading.get(key)
            return self._read(value)
        except lmdb.Error as error:
            raise StoreTrouble(str(error)) from None

    def _read(self, value: bytes | None) -> Record | None:
        if value is None:
            return None
        try:
            record = _decode(value)
        except msgspec.MsgspecError:
            return None
        return record if record.at + self._config.keep_s > self._now() else None

    def unfinished(self, shards: Iterable[int]) -> list[tuple[bytes, Record]]:
        """All that are pending with messages in these shards."""
        wanted = set(shards)
        found = []
        with self._environment.begin() as reading:
            for key, shard in reading.cursor(self._pending):
                if _SHARD.unpack(shard)[0] in wanted:
                    record = self._read(reading.get(key, db=self._records))
                    if record is not None and record.state == PENDING:
                        found.append((bytes(key), record))
        return found

    def usage(self) -> tuple[int, int]:
        """Entries, and bytes of the file."""
        with self._environment.begin() as reading:
            entries = int(reading.stat(self._records)["entries"])
        info = self._environment.info()
        return entries, (info["last_pgno"] + 1) * self._environment.stat()["psize"]

    # changing; each is durable when it resolves, and raises StoreTrouble where it was not made

    def claim(
        self, key: bytes, record: Record, expected: Record | None
    ) -> asyncio.Future[Record | None]:
        """Remember ``record`` where ``expected`` is what is there; ``None`` if so, else what is."""

        def change(writing: Any) -> Record | None:
            there = self._read(writing.get(key, db=self._records))
            if there != expected:
                return there or record  # gone meanwhile: whoever asks again sees nothing
            self._put(writing, key, record)
            return None

        return self._change(change)

    def put(self, key: bytes, record: Record) -> asyncio.Future[None]:
        return self._change(lambda writing: self._put(writing, key, record))

    def drop(self, key: bytes) -> asyncio.Future[None]:
        return self._change(lambda writing: self._drop(writing, key))

    def _put(self, writing: Any, key: bytes, record: Record) -> None:
        self._drop(writing, key)
        writing.put(key, _encode(record), db=self._records)
        writing.put(_age(record.at) + key, b"", db=self._ages)
        if record.state == PENDING:
            writing.put(key, _SHARD.pack(record.shard), db=self._pending)

    def _drop(self, writing: Any, key: bytes) -> None:
        value = writing.get(key, db=self._records)
        if value is None:
            return
        try:
            writing.delete(_age(_decode(value).at) + key, db=self._ages)
        except msgspec.MsgspecError:
            log.error("a remembered call cannot be read and is dropped")
        writing.delete(key, db=self._records)
        writing.delete(key, db=self._pending)

    def _change(self, change: Callable[[Any], _R]) -> asyncio.Future[_R]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_R] = loop.create_future()
        self._changes.append((change, future))
        if not self._working:
            self._working = True
            loop.call_soon(self._begin, loop)  # whoever comes in this turn comes along
        return future

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        changes, self._changes = self._changes, []
        done = loop.run_in_executor(self._thread, self._commit, [one for one, _ in changes])
        done.add_done_callback(lambda done: self._ended(loop, changes, done))

    def _ended(
        self,
        loop: asyncio.AbstractEventLoop,
        changes: list[tuple[Callable[[Any], Any], asyncio.Future[Any]]],
        done: asyncio.Future[list[Any]],
    ) -> None:
        error = done.exception()
        answers = [None] * len(changes) if error is not None else done.result()
        for (_, future), answer in zip(changes, answers, strict=True):
            if future.done():
                continue
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)
                future.exception()  # nobody need wait for it
        if self._changes:
            self._begin(loop)
        else:
            self._working = False

    def _commit(self, changes: list[Callable[[Any], Any]]) -> list[Any]:
        """In the thread."""
        try:
            return self._made(changes)
        except (lmdb.Error, OSError) as error:
            log.error("calls cannot be remembered", error=str(error))
            raise StoreTrouble(str(error)) from None

    def _made(self, changes: list[Callable[[Any], Any]]) -> list[Any]:
        with self._environment.begin(write=True) as writing:
            answers = [change(writing) for change in changes]
            self._sweep(writing, _SWEEP_ENTRIES + len(changes))
        return answers

    def _sweep(self, writing: Any, entries: int) -> None:
        """Forget what is too old, and the oldest of what is too many or too much."""
        over = writing.stat(self._records)["entries"] - self._config.entries_max
        if self._pages(writing) > self._pages_max:
            over = max(over, _EVICTED_FOR_ROOM)
        ended = _age(self._now() - self._config.keep_s)
        early = 0
        with writing.cursor(self._ages) as ages:
            for _ in range(entries):
                if not ages.first():
                    break
                stamp = bytes(ages.key())
                old = stamp[:8] < ended
                if not old and over <= 0:
                    break
                self._drop(writing, stamp[8:])
                writing.delete(stamp, db=self._ages)  # also where its record was replaced
                over -= 1
                early += not old
        self.forgotten += early

    def _pages(self, writing: Any) -> int:
        """Those that are in use. A file in which none is free cannot even be deleted from, so
        room is made while there is some."""
        stats = [writing.stat(one) for one in (self._records, self._ages, self._pending)]
        kinds = ("branch_pages", "leaf_pages", "overflow_pages")
        return sum(stat[kind] for stat in stats for kind in kinds)

    def _sweep_now(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep_now)
        self._change(lambda writing: self._sweep(writing, _SWEPT_AT_ONCE))


def _age(at: float) -> bytes:
    return _STAMP.pack(max(0, int(at * 1000)))
