"""What an event log says of itself, as metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from penstock.events.metrics import Registry

_GAUGES = {
    "buffered_bytes": "penstock_events_buffered_bytes",
    "segments": "penstock_events_segments",
    "log_bytes": "penstock_events_log_bytes",
    "oldest_age_s": "penstock_events_oldest_age_seconds",
}


class EventFigures:
    """Read when the metrics are; ``stats`` is :meth:`penstock.events.journal.Journal.stats`."""

    def __init__(self, registry: Registry, stats: Callable[[], Mapping[str, float]]) -> None:
        self._stats = stats
        self._gauges = {name: registry.gauge(metric) for name, metric in _GAUGES.items()}
        self._counters = {
            "written": (registry.counter("penstock_events_written_total"), ()),
            "dropped": (registry.counter("penstock_events_dropped_total"), ("disk",)),
            "errors": (registry.counter("penstock_events_errors_total"), ()),
        }
        self._counted: dict[str, float] = {}
        registry.on_snapshot(self._collect)

    def _collect(self) -> None:
        stats = self._stats()
        for name, gauge in self._gauges.items():
            if name in stats:
                gauge.set(stats[name])
        for name, (counter, labels) in self._counters.items():
            total = stats.get(name, 0)
            counter.inc(labels, total - self._counted.get(name, 0))
            self._counted[name] = total
