"""The event log of one process: what happened, written down before it counts.

Making an event costs the mail a few microseconds: it becomes one line in a buffer. ``flush`` hands
the buffer to the operating system, and the queue calls it before each group that it writes. So a
settlement is never on disk before the event that it belongs to, and ``kill -9`` loses no event of
what was committed. Against a power loss the lines are synced every second or so, by a thread that
also packs and deletes old segments.

A disk that refuses harms no mail: events wait in a buffer that is bounded, then they are dropped,
counted, and the log says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import structlog

from penstock.events import making
from penstock.events.making import SentAs
from penstock.events.reading import LogReader
from penstock.events.records import Event
from penstock.events.stamps import Stamps, run_name
from penstock.events.store import Store, StoreConfig
from penstock.events.types import Attempt
from penstock.mail.envelope import Envelope
from penstock_queue.committer import Jobs, QueueThread
from penstock_queue.disk import Disk, RealDisk

log = structlog.get_logger("penstock.events")
_LINES_AT_ONCE = 1024
_KEEP_S = 1.0


class Recorder(Protocol):
    """What the parts of the engine tell what happened."""

    def write(self, make: type[Event], **fields: Any) -> str: ...
    def attempt(
        self, attempt: Attempt, envelope: Envelope, *, retry_at: float = 0.0, expired: bool = False
    ) -> None: ...
    def cancelled(self, attempt: Attempt, envelope: Envelope, by: str) -> None: ...
    def accepted(self, messages: Sequence[tuple[Envelope, int]]) -> None: ...
    def flush(self, patient: bool = True) -> bool: ...


@dataclass(frozen=True, slots=True)
class JournalConfig:
    """``buffer_bytes_max``: what waits for the disk at most."""

    buffer_bytes_max: int = 16 << 20
    store: StoreConfig = field(default_factory=StoreConfig)


class Journal:
    """One log, in ``directory``. Events are made by one thread at a time; ``flush`` and ``sync``
    may be called by any. ``now``: seconds since the epoch. ``sent_as``: the class and the pool that
    a message really goes by."""

    def __init__(
        self,
        directory: str,
        config: JournalConfig,
        now: Callable[[], float],
        disk: Disk | None = None,
        jobs: Callable[[str], Jobs] = QueueThread,
    ) -> None:
        self._disk = disk = disk or RealDisk()
        self._config, self._now = config, now
        self._store = Store(directory, config.store, disk)
        self._directory = directory
        self._stamps = Stamps()
        self._encode = msgspec.json.Encoder().encode
        self._run, self._count = run_name(now(), disk.token()), 0
        self._lines: list[bytes] = []
        self._added = self._taken = 0  # bytes; each is changed by one thread only
        self._room = config.buffer_bytes_max
        self._lock = threading.Lock()
        self._jobs: Jobs | None = None
        self._make_jobs = jobs
        self._keeping, self._keep_after, self._open_after = False, 0.0, 0.0
        self._refused = self._dropping = self._closed = False
        self.sent_as: SentAs = making.as_said
        self.written = self.dropped = self.errors = self.torn = 0
        with self._lock:
            self._put()

    def last_accepted(self) -> int:
        """By what is written so far: see :meth:`LogReader.last_accepted`. Blocking."""
        reader = LogReader(self._directory, self._disk)
        try:
            return reader.last_accepted()
        except OSError as error:
            self._failed(error)
            return -1
        finally:
            reader.close()

    # what happened

    def write(self, make: type[Event], **fields: Any) -> str:
        """Any event, without its time; returns its id. With an ``id`` among ``fields`` it has that
        one: for what is told again after a crash. An ``id`` names one event only."""
        id_ = fields.pop("id", "") or self._id()
        self._add(make(id=id_, at=self._stamps.text(self._now()), **fields))
        return id_

    def attempt(
        self, attempt: Attempt, envelope: Envelope, *, retry_at: float = 0.0, expired: bool = False
    ) -> None:
        """What became of one delivery. ``retry_at``: when it is tried again."""
        self._add(
            making.outcome(
                self._id(),
                self._stamps.text(attempt.at),
                attempt,
                envelope,
                self.sent_as(envelope),
                self._stamps.text(retry_at) if retry_at else "",
                expired,
            )
        )

    def cancelled(self, attempt: Attempt, envelope: Envelope, by: str) -> None:
        """One delivery was taken back before it was tried (again)."""
        at, sent_as = self._stamps.text(attempt.at), self.sent_as(envelope)
        self._add(making.cancelled(self._id(), at, attempt, envelope, sent_as, by))

    def accepted(self, messages: Sequence[tuple[Envelope, int]]) -> None:
        """These are on disk, each with its size in bytes. Not written at once: a settlement of
        theirs writes it first, and what is in the queue still is told at the next start."""
        at = self._stamps.text(self._now())
        for envelope, size in messages:
            due = envelope.deliver_at
            self._add(
                making.accepted(
                    self._id(),
                    at,
                    envelope,
                    size,
                    self.sent_as(envelope),
                    Stamps().text(due) if due else "",
                )
            )

    def _id(self) -> str:
        self._count += 1
        return f"{self._run}{self._count:x}"

    def _add(self, event: Event) -> None:
        try:
            line = self._encode(event)
        except UnicodeEncodeError:
            line = self._encode(making.encodable(event))
        size = len(line) + 1
        if self._added - self._taken + size > self._room:
            self._drop()
            return
        self._lines.append(line)
        self._added += size

    def _drop(self) -> None:
        self.dropped += 1
        if not self._dropping:
            self._dropping = True
            log.error("events are dropped", log=self._directory, so_far=self.dropped)

    # to the disk

    def flush(self, patient: bool = True) -> bool:
        """Hand everything made so far to the operating system. Never raises ``OSError``: what was
        refused waits for the next time. ``False`` where it was to be impatient, and had to wait
        for another thread or to open the log."""
        if not patient and not self._store.is_open:
            return False
        if not self._lock.acquire(blocking=patient):
            return False
        try:
            now = self._now()
            self._put()
            if now < self._keep_after or self._keeping or self._closed or not self._store.is_open:
                return True
            self._keep_after, self._keeping = now + _KEEP_S, True
            if self._jobs is None:
                self._jobs = self._make_jobs("event-log")
            jobs = self._jobs
        finally:
            self._lock.release()
        jobs.put(self._keep)
        return True

    def _put(self) -> None:
        """With the lock: no line is taken twice, and none comes before those already taken."""
        if self._closed:
            return
        lines, store = self._lines, self._store
        left = len(lines)
        now = self._now()
        try:
            if not store.is_open:
                if now < self._open_after:
                    return
                self._open_after = now + _KEEP_S
                self._opened()
            while left:
                some = lines[: min(left, _LINES_AT_ONCE)]
                # the same bytes again where it was refused before: the list only grows at its end
                self._taken += store.append([b"\n".join(some), b"\n"], now)
                del lines[: len(some)]
                self.written += len(some)
                left -= len(some)
        except OSError as error:
            self._failed(error)
            return
        if self._refused or self._dropping:
            self._refused = self._dropping = False
            log.info("events are written again", log=self._directory, dropped=self.dropped)

    def _opened(self) -> None:
        found = self._store.open()
        self.torn += found.torn
        if found.torn:
            log.warning("a torn event was cut off", log=self._directory, bytes=found.torn)

    def _failed(self, error: OSError) -> None:
        if isinstance(error, BlockingIOError):
            return  # the one before us is about to end
        self.errors += 1
        if not self._refused:
            self._refused = True
            log.error("events cannot be written and wait", log=self._directory, reason=str(error))

    def sync(self) -> None:
        """Everything made so far is durable when this returns; raises ``OSError`` where it is not.
        Blocking: it waits for the disk."""
        wanted = self._added  # more may come meanwhile
        self.flush()
        if self._taken < wanted or not self._store.is_open:
            raise OSError("events wait for the disk")
        self._store.sync()

    def _keep(self) -> None:
        """In the thread: all that would hold up the mail."""
        try:
            now = self._now()
            with self._lock:
                if not self._closed and self._store.is_due(now):
                    try:
                        self._store.roll(now)
                    except OSError as error:
                        self._failed(error)
            kept = self._store.keep(now)
            if kept.removed:
                log.info("old events are removed", log=self._directory, segments=len(kept.removed))
            for met in kept.errors:
                self.errors += 1
                log.error("the event log", log=self._directory, reason=str(met))
        except Exception:  # a bug: the thread lives on, and the next second is another try
            self.errors += 1
            log.exception("the event log", log=self._directory)
        finally:
            self._keeping = False

    def stats(self) -> dict[str, float]:
        """Bytes and counts, as the metrics name them."""
        return {
            **self._store.stats(self._now()),
            "buffered_bytes": self._added - self._taken,
            "written": self.written,
            "dropped": self.dropped,
            "errors": self.errors,
        }

    def close(self) -> None:
        """Write and sync what there is, and let the directory go. Nothing is taken after."""
        with self._lock:
            self._put()
            self._closed, self._room = True, -1
            jobs, self._jobs = self._jobs, None
        self._store.closing = True
        if jobs is not None:
            jobs.join()
        try:
            self._store.close()
        except OSError as error:
            log.error("the event log", log=self._directory, reason=str(error))
        if self._added != self._taken:
            self.dropped += len(self._lines)
            log.error("events are lost", log=self._directory, events=len(self._lines))
