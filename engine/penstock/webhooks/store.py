"""The queues of all endpoints on disk: one SQLite database, in write-ahead mode.

``chunk`` holds events as they came, joined by commas as they will stand in the array; ``batch`` is
a number of chunks that go in one delivery, made when it is first tried and the same in every try
after that. The places in the event log up to which all of this goes stand in the same database, so
that one commit moves both. Only :meth:`Store.commit` with ``sync`` waits for the disk, and it
makes durable whatever was committed before; what a power cut takes back otherwise is that a batch
was delivered, and it is delivered again.

Every method may be called in any thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.events.reading import Position

_SCHEMA = """
CREATE TABLE IF NOT EXISTS position (log TEXT PRIMARY KEY, segment INTEGER, offset INTEGER);
CREATE TABLE IF NOT EXISTS endpoint (name TEXT PRIMARY KEY, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS chunk (
  seq INTEGER PRIMARY KEY, endpoint TEXT NOT NULL, batch TEXT, events INTEGER NOT NULL,
  bytes INTEGER NOT NULL, first_s REAL NOT NULL, queued_s REAL NOT NULL, lines BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS chunk_of ON chunk (endpoint, batch, seq);
CREATE INDEX IF NOT EXISTS chunk_in ON chunk (batch) WHERE batch IS NOT NULL;
CREATE TABLE IF NOT EXISTS batch (
  id TEXT PRIMARY KEY, endpoint TEXT NOT NULL, events INTEGER NOT NULL, bytes INTEGER NOT NULL,
  attempts INTEGER NOT NULL, due_s REAL NOT NULL);
CREATE INDEX IF NOT EXISTS batch_due ON batch (endpoint, due_s);
"""
_BUSY_S = 10.0
_GATHER_ROWS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Chunk:
    """Events of one endpoint that came together. ``first_s``: when the first of them happened."""

    endpoint: str
    events: int
    first_s: float
    queued_s: float
    lines: bytes

    @property
    def size(self) -> int:
        """With the comma that will follow."""
        return len(self.lines) + 1


@dataclass(frozen=True, slots=True)
class Batch:
    """One delivery. ``attempts`` were made before; ``body`` is the array."""

    id: str
    endpoint: str
    events: int
    size: int
    attempts: int
    body: bytes = b""


class Store:
    """``directory`` is made where it is not there. Raises ``sqlite3.Error`` and ``OSError``."""

    def __init__(self, directory: str) -> None:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self.lock = threading.RLock()
        self._base = sqlite3.connect(
            os.path.join(directory, "webhooks.sqlite"),
            timeout=_BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = NORMAL")
        self._base.executescript(_SCHEMA)

    def close(self) -> None:
        with self.lock:
            self._base.close()

    @contextlib.contextmanager
    def _transaction(self, *, sync: bool = False) -> Iterator[sqlite3.Connection]:
        with self.lock:
            if sync:
                self._base.execute("PRAGMA synchronous = FULL")
            try:
                self._base.execute("BEGIN IMMEDIATE")
                try:
                    yield self._base
                    self._base.execute("COMMIT")
                except BaseException:
                    with contextlib.suppress(sqlite3.Error):
                        self._base.execute("ROLLBACK")
                    raise
            finally:
                if sync:
                    self._base.execute("PRAGMA synchronous = NORMAL")

    # What the consumer of the event log keeps.

    def positions(self) -> dict[str, Position]:
        with self.lock:
            rows = self._base.execute("SELECT log, segment, offset FROM position")
            return {log: Position(segment, offset) for log, segment, offset in rows}

    def states(self) -> dict[str, Any]:
        """What was kept of each endpoint, by its name."""
        with self.lock:
            rows = self._base.execute("SELECT name, state FROM endpoint")
            return {name: json.loads(state) for name, state in rows}

    def commit(
        self,
        chunks: Iterable[Chunk],
        states: Mapping[str, Any],
        positions: Mapping[str, Position],
        *,
        sync: bool = False,
    ) -> None:
        """Add ``chunks`` to the queues and keep the rest in place of what was kept of it."""
        with self._transaction(sync=sync) as base:
            base.executemany(
                "INSERT INTO chunk (endpoint, events, bytes, first_s, queued_s, lines) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                ((c.endpoint, c.events, c.size, c.first_s, c.queued_s, c.lines) for c in chunks),
            )
            base.executemany(
                "INSERT OR REPLACE INTO endpoint VALUES (?, ?)",
                ((name, json.dumps(state)) for name, state in states.items()),
            )
            base.executemany(
                "INSERT OR REPLACE INTO position VALUES (?, ?, ?)",
                ((log, *position) for log, position in positions.items()),
            )

    def forget(self, endpoint: str) -> int:
        """Remove all of an endpoint that is no more; the number of events that waited for it."""
        with self._transaction() as base:
            events, _ = self.queued(endpoint)
            for table, column in (
                ("chunk", "endpoint"),
                ("batch", "endpoint"),
                ("endpoint", "name"),
            ):
                base.execute(f"DELETE FROM {table} WHERE {column} = ?", (endpoint,))  # noqa: S608
            return events

    def queued(self, endpoint: str) -> tuple[int, int]:
        """Events and bytes in its queue."""
        with self.lock:
            row = self._base.execute(
                "SELECT COALESCE(SUM(events), 0), COALESCE(SUM(bytes), 0) FROM chunk "
                "WHERE endpoint = ?",
                (endpoint,),
            ).fetchone()
            return row[0], row[1]

    def oldest_s(self, endpoint: str) -> float | None:
        """When the first event happened of those that came into the queue first."""
        with self.lock:
            row = self._base.execute(
                "SELECT first_s FROM chunk WHERE seq = "
                "(SELECT MIN(seq) FROM chunk WHERE endpoint = ?)",
                (endpoint,),
            ).fetchone()
            return row[0] if row else None

    # What the deliveries need.

    def due(self, endpoint: str, now: float, without: Collection[str]) -> Batch | None:
        """The batch of ``endpoint`` that has been due longest, of those not in ``without``."""
        with self.lock:
            rows = self._base.execute(
                "SELECT id, endpoint, events, bytes, attempts FROM batch "
                "WHERE endpoint = ? AND due_s <= ? ORDER BY due_s LIMIT ?",
                (endpoint, now, len(without) + 1),
            )
            batch = next((Batch(*row) for row in rows if row[0] not in without), None)
            return self._with_body(batch) if batch else None

    def form(
        self, endpoint: str, id: str, now: float, events_max: int, bytes_max: int, wait_s: float
    ) -> Batch | None:
        """Make a batch ``id`` of what came first; ``None`` where there is nothing, or not enough
        and none of it has waited ``wait_s``."""
        with self.lock:
            sequence: list[int] = []
            events = size = 0
            full = ripe = False
            for seq, count, length, queued_s in self._base.execute(
                "SELECT seq, events, bytes, queued_s FROM chunk "
                "WHERE endpoint = ? AND batch IS NULL ORDER BY seq LIMIT ?",
                (endpoint, _GATHER_ROWS_MAX),
            ):
                if sequence and (events + count > events_max or size + length > bytes_max):
                    full = True
                    break
                sequence.append(seq)
                events, size = events + count, size + length
                ripe = ripe or queued_s + wait_s <= now
            full = full or events >= events_max or len(sequence) == _GATHER_ROWS_MAX
            if not sequence or not (full or ripe):
                return None
            with self._transaction() as base:
                base.executemany(
                    "UPDATE chunk SET batch = ? WHERE seq = ?", ((id, seq) for seq in sequence)
                )
                base.execute(
                    "INSERT INTO batch VALUES (?, ?, ?, ?, 0, ?)", (id, endpoint, events, size, now)
                )
            return self._with_body(Batch(id, endpoint, events, size, 0))

    def next_s(self, endpoint: str, wait_s: float, without: Collection[str]) -> float | None:
        """When something of ``endpoint`` is due; ``None``: nothing waits."""
        with self.lock:
            rows = self._base.execute(
                "SELECT id, due_s FROM batch WHERE endpoint = ? ORDER BY due_s LIMIT ?",
                (endpoint, len(without) + 1),
            )
            times = [due_s for id, due_s in rows if id not in without][:1]
            row = self._base.execute(
                "SELECT queued_s FROM chunk WHERE endpoint = ? AND batch IS NULL "
                "ORDER BY seq LIMIT 1",
                (endpoint,),
            ).fetchone()
            return min([*times, *([row[0] + wait_s] if row else [])], default=None)

    def put_off(self, batch: Batch, due_s: float) -> None:
        """It was tried once more, and is to be tried again at ``due_s``."""
        with self._transaction() as base:
            base.execute(
                "UPDATE batch SET attempts = attempts + 1, due_s = ? WHERE id = ?",
                (due_s, batch.id),
            )

    def hasten(self, endpoint: str, now: float) -> None:
        """What waits for another try is due now."""
        with self._transaction() as base:
            base.execute(
                "UPDATE batch SET due_s = ? WHERE endpoint = ? AND due_s > ?", (now, endpoint, now)
            )

    def remove(self, batch: Batch) -> None:
        """It was delivered, or given up."""
        with self._transaction() as base:
            base.execute("DELETE FROM chunk WHERE batch = ?", (batch.id,))
            base.execute("DELETE FROM batch WHERE id = ?", (batch.id,))

    def _with_body(self, batch: Batch) -> Batch:
        rows = self._base.execute(
            "SELECT lines FROM chunk WHERE batch = ? ORDER BY seq", (batch.id,)
        )
        body = b"[%s]" % b",".join(row[0] for row in rows)
        return Batch(batch.id, batch.endpoint, batch.events, batch.size, batch.attempts, body)
