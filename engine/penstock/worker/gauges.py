"""Figures of a worker's state, read when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from penstock.events.definitions import SHUT_REASONS
from penstock.events.metrics import Registry
from penstock.mail.waits import Wait
from penstock.relay.dispatch import Dispatcher
from penstock.relay.reading import Reading
from penstock.relay.spool import Spool

_FROM_SPOOL = {
    "entries": "penstock_queue_entries",
    "uncommitted_bytes": "penstock_queue_uncommitted_bytes",
    "cache_bytes": "penstock_queue_cache_bytes",
    "disk_bytes": "penstock_queue_disk_bytes",
    "segments": "penstock_queue_segments",
}
_FROM_DISPATCHER = {
    "ready": "penstock_queue_ready_entries",
    "in_flight": "penstock_queue_in_flight_entries",
    "suspended": "penstock_queue_suspended_entries",
}


class CommitFigures:
    """The observer of a committer: one call for each group that reached the disk."""

    def __init__(self, registry: Registry) -> None:
        self._seconds = registry.histogram("penstock_commit_seconds")
        self._messages = registry.histogram("penstock_commit_messages")
        self._direct = registry.counter("penstock_commits_direct_total")

    def __call__(self, messages: int, size: int, seconds: float, direct: bool) -> None:
        self._seconds.observe(seconds)
        if direct:
            self._direct.inc()
        if messages:
            self._messages.observe(messages)


class ReplyFigures:
    """What is kept of replies. Read when the metrics are."""

    def __init__(self, registry: Registry, reading: Reading) -> None:
        self._reading = reading
        self._unmatched = registry.gauge("penstock_unmatched_replies")
        self._words = registry.gauge("penstock_reply_words")
        registry.on_snapshot(self._collect)

    def _collect(self) -> None:
        self._unmatched.set(len(self._reading.unmatched))
        self._words.set(self._reading.classifier.words)


class Gauges:
    """Bound to one registry; ``now`` is wall time, ``shut()`` says why intake takes no mail,
    ``waiting()`` what the queue waits for, ``sources()`` which can be used."""

    def __init__(
        self,
        registry: Registry,
        spool: Spool,
        dispatcher: Dispatcher,
        now: Callable[[], float],
        shut: Callable[[], str],
        waiting: Callable[[], Mapping[Wait, int]],
        sources: Callable[[], Mapping[str, bool]],
    ) -> None:
        self._spool, self._dispatcher, self._now, self._shut_by = spool, dispatcher, now, shut
        self._shut = registry.gauge("penstock_intake_shut")
        self._waiting_now, self._sources_now = waiting, sources
        self._waiting = registry.gauge("penstock_queue_waiting_entries")
        self._source = registry.gauge("penstock_source_up")
        self._gates = registry.gauge("penstock_gates")
        names = (*_FROM_SPOOL.values(), *_FROM_DISPATCHER.values())
        self._gauges = {name: registry.gauge(name) for name in names}
        self._oldest = registry.gauge("penstock_queue_oldest_age_seconds")
        self._connections = registry.gauge("penstock_connections_open")
        self._lag = registry.histogram("penstock_loop_lag_seconds")
        self._clock = registry.gauge("penstock_clock_offset_seconds")
        self._recovered = registry.gauge("penstock_recovered_entries")
        self._doubled = registry.gauge("penstock_recovered_in_flight_entries")
        registry.on_snapshot(self._collect)

    def _collect(self) -> None:
        spool, dispatcher = self._spool.stats(), self._dispatcher.stats()
        for key, name in _FROM_SPOOL.items():
            self._gauges[name].set(spool[key])
        for key, name in _FROM_DISPATCHER.items():
            self._gauges[name].set(dispatcher[key])
        oldest = spool.get("oldest_created", 0)
        self._oldest.set(max(0.0, self._now() - oldest) if oldest else 0.0)
        reason = self._shut_by()
        for one in SHUT_REASONS:
            self._shut.set(1 if one == reason else 0, (one,))
        self._connections.set(dispatcher["connections"], ("out",))
        self._gates.set(dispatcher["gates"])
        for wait, count in self._waiting_now().items():
            self._waiting.set(count, (wait.value,))
        for name, up in self._sources_now().items():
            self._source.set(up, (name,))

    def lag(self, seconds: float) -> None:
        self._lag.observe(max(0.0, seconds))

    def clock(self, offset_s: float) -> None:
        self._clock.set(offset_s)

    def recovered(self, entries: int, in_flight: int) -> None:
        """What the last start found; ``in_flight`` deliveries may be doubled."""
        self._recovered.set(entries)
        self._doubled.set(in_flight)
