"""From the event log into the queues: the part that reads along with everybody's events.

:meth:`Queues.take` sorts events by endpoint and keeps them in memory; :meth:`Queues.flush` writes
them and the places in the log in one commit. An error of the disk is raised, with nothing lost and
nothing moved: the same call may be made again.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

import structlog

from penstock.events.reading import Position
from penstock.events.records import AnyEvent
from penstock.webhooks.backlog import BEGIN
from penstock.webhooks.config import WebhooksConfig
from penstock.webhooks.line import Line, Told
from penstock.webhooks.store import Chunk, Store
from penstock.webhooks.wanted import Wanted

_log = structlog.get_logger("penstock.webhooks")


def moment(seconds: float) -> str:
    """A time as events give it."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


class Queues:
    """``now`` is the time of day in seconds. ``on_queued`` is told, in the thread of the caller,
    of the endpoints to whose queues something was added."""

    def __init__(self, config: WebhooksConfig, store: Store, now: Callable[[], float]) -> None:
        self._config = config
        self._store = store
        self._now = now
        self.lock: threading.RLock = store.lock
        self.positions = store.positions()
        self.on_queued: Callable[[Collection[str]], None] = lambda names: None
        self._wanted = Wanted(config.endpoints)
        self._chunks: list[Chunk] = []
        self._buffered_bytes = 0
        kept = store.states()
        since = moment(now() - config.first_s)
        self.lines = {one.name: Line(one, since) for one in config.endpoints}
        for name in kept.keys() - self.lines.keys():
            events = store.forget(name)
            _log.warning("webhook removed from the settings", webhook=name, events_dropped=events)
        self.checkpoint()

    def checkpoint(self) -> dict[str, Position]:
        """Up to where each log has been read for good; what was taken after that is forgotten."""
        with self.lock:
            self._chunks, self._buffered_bytes = [], 0
            self.positions = self._store.positions()
            self._durable: dict[str, Position] = {}
            kept = self._store.states()
            for name, line in self.lines.items():
                line.load(kept.get(name), *self._store.queued(name))
            return dict(self.positions)

    def take(self, log: str, events: Sequence[tuple[bytes, AnyEvent]], upto: Position) -> None:
        """Sort ``events``, all there is of ``log`` from the last ``upto`` to this one."""
        with self.lock:
            if self._buffered_bytes >= self._config.buffer_bytes_max:
                self._commit(sync=False)
            told: defaultdict[str, list[Told]] = defaultdict(list)
            by = self._wanted.by
            for text, event in events:
                for name in by(event):
                    told[name].append((event.at, text))
            now = self._now()
            start = self.positions.get(log, BEGIN)
            for name, line in self.lines.items():
                if name in told or line.backlog is not None:
                    chunks = line.offer(log, start, upto, told.get(name, ()), now, self.positions)
                    self._chunks += chunks
                    self._buffered_bytes += sum(chunk.size for chunk in chunks)
            self.positions[log] = upto

    def flush(self) -> dict[str, Position]:
        """Make durable what was taken; up to where each log is read then."""
        with self.lock:
            added = {chunk.endpoint for chunk in self._chunks}
            if self.positions != self._durable or any(one.changed for one in self.lines.values()):
                self._commit(sync=True)
                self._durable = dict(self.positions)
            positions = dict(self.positions)
        if added:
            self.on_queued(added)
        return positions

    def add(self, line: Line, told: Sequence[Told]) -> None:
        """Put events into one queue at once, with what changed of its line."""
        with self.lock:
            chunks = line.take(told, self._now())
            self._store.commit(chunks, {line.endpoint.name: line.state()}, {})
            line.changed = False
        if chunks:
            self.on_queued({line.endpoint.name})

    def keep(self, line: Line) -> None:
        """Make a change of ``line`` durable that was not made by reading."""
        with self.lock:
            self._store.commit((), {line.endpoint.name: line.state()}, {}, sync=True)
            line.changed = False

    def _commit(self, *, sync: bool) -> None:
        changed = {n: line.state() for n, line in self.lines.items() if line.changed}
        self._store.commit(self._chunks, changed, self.positions, sync=sync)
        self._chunks, self._buffered_bytes = [], 0
        for name in changed:
            self.lines[name].changed = False
