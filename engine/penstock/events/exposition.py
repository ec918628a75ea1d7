"""One page of metrics from the snapshots of all processes.

Counters and histograms are summed. A sum would fall when a worker is replaced, and Prometheus would
read the fall as a reset and count everything again; so :class:`Merger` keeps what the processes
counted that are gone (another ``incarnation`` of the same name), and the sums never fall. A process
that did not answer this time counts with its last snapshot; its gauges are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

from penstock.events.definition import Definition
from penstock.events.definitions import BY_NAME, DEFINITIONS

Snapshot = Mapping[str, Any]
_Rows = dict[tuple[str, ...], Any]
_Totals = dict[str, _Rows]

_FIGURES = (
    ("resident_memory_bytes", "rss_bytes", "Resident memory of each process."),
    ("open_fds", "open_fds", "Open file descriptors of each process."),
    ("max_fds", "max_fds", "Most file descriptors each process may open."),
    ("start_time_seconds", "started", "Start of each process since the epoch."),
)


class Merger:
    """Lives as long as the supervisor; ``merge`` at each scrape."""

    def __init__(self) -> None:
        self._retired: _Totals = {}
        self._last: dict[str, Snapshot] = {}

    def merge(self, snapshots: Mapping[str, Snapshot]) -> Merged:
        """The snapshots of this moment by the name of the process (``"0"``, ``"supervisor"``); one
        without a registry may leave out ``series`` and ``incarnation``."""
        for process, snapshot in snapshots.items():
            before = self._last.get(process)
            if before is not None and before.get("incarnation") != snapshot.get("incarnation"):
                _add_counts(self._retired, before)
            self._last[process] = snapshot
        totals: _Totals = {name: dict(rows) for name, rows in self._retired.items()}
        for snapshot in self._last.values():
            _add_counts(totals, snapshot)
        gauges: _Totals = {}
        for process, snapshot in snapshots.items():
            _add_gauges(gauges, process, snapshot)
        figures = {process: snapshot["process"] for process, snapshot in snapshots.items()}
        return Merged(totals | gauges, figures)


def _add_counts(into: _Totals, snapshot: Snapshot) -> None:
    for name, rows in snapshot.get("series", {}).items():
        definition = BY_NAME.get(name)
        if definition is None or definition.kind == "gauge":
            continue
        sums = into.setdefault(name, {})
        for labels, value in rows:
            key = tuple(labels)
            before = sums.get(key)
            if before is None:
                sums[key] = value
            elif definition.kind == "histogram":
                sums[key] = [a + b for a, b in zip(before, value, strict=True)]
            else:
                sums[key] = before + value


def _add_gauges(into: _Totals, process: str, snapshot: Snapshot) -> None:
    for name, rows in snapshot.get("series", {}).items():
        definition = BY_NAME.get(name)
        if definition is None or definition.kind != "gauge":
            continue
        merged = into.setdefault(name, {})
        for labels, value in rows:
            key = tuple(labels)
            if definition.merge == "worker":
                merged[(*key, process)] = value
            elif key not in merged:
                merged[key] = value
            elif definition.merge == "max":
                merged[key] = max(merged[key], value)
            else:
                merged[key] += value


class Merged(Collector):
    """All processes at one moment, as prometheus_client reads it."""

    def __init__(self, totals: _Totals, figures: Mapping[str, Mapping[str, float]]) -> None:
        self._totals = totals
        self._figures = figures

    def value(self, name: str, labels: tuple[str, ...] = ()) -> float:
        """One number, or 0.0: for those who ask for a figure rather than for a page."""
        value = self._totals.get(name, {}).get(labels, 0)
        return float(sum(value[:-1]) if isinstance(value, list) else value)

    def by(self, name: str, label: str) -> dict[str, float]:
        """A counter's sums by the values of one of its labels."""
        at = BY_NAME[name].label_names.index(label)
        sums: dict[str, float] = {}
        for labels, value in self._totals.get(name, {}).items():
            sums[labels[at]] = sums.get(labels[at], 0) + value
        return sums

    def collect(self) -> Iterable[Metric]:
        for definition in DEFINITIONS:
            yield _family(definition, self._totals.get(definition.name, {}))
        for name, key, text in _FIGURES:
            gauge = GaugeMetricFamily(f"penstock_process_{name}", text, labels=("process",))
            for process, figures in self._figures.items():
                gauge.add_metric((process,), figures[key])
            yield gauge
        cpu = CounterMetricFamily(
            "penstock_process_cpu_seconds", "CPU time of each process.", labels=("process",)
        )
        for process, figures in self._figures.items():
            cpu.add_metric((process,), figures["cpu_seconds"])
        yield cpu


def _family(definition: Definition, rows: _Rows) -> Metric:
    name, text, labels = definition.name, definition.help, definition.label_names
    if not rows and not labels and definition.kind != "histogram":
        rows = {(): 0}  # a counter that is not there yet cannot be told from one that is gone
    if definition.kind == "histogram":
        histogram = HistogramMetricFamily(name, text, labels=labels)
        for key, row in rows.items():
            histogram.add_metric(key, _cumulative(definition.buckets, row), row[-1])
        return histogram
    if definition.kind == "counter":
        counter = CounterMetricFamily(name.removesuffix("_total"), text, labels=labels)
        for key, value in rows.items():
            counter.add_metric(key, value)
        return counter
    names = (*labels, "process") if definition.merge == "worker" else labels
    gauge = GaugeMetricFamily(name, text, labels=names)
    for key, value in rows.items():
        gauge.add_metric(key, value)
    return gauge


def _cumulative(bounds: tuple[float, ...], row: list[float]) -> list[tuple[str, float]]:
    buckets: list[tuple[str, float]] = []
    total = 0.0
    for bound, count in zip((*bounds, float("inf")), row[:-1], strict=True):
        total += count
        le: str = floatToGoString(bound)  # type: ignore[no-untyped-call]
        buckets.append((le, total))
    return buckets


def page(merged: Collector, accept: str) -> tuple[bytes, str]:
    """The page and its media type: OpenMetrics where ``accept`` asks for it, else plain text."""
    encoder, media_type = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(merged)
    return encoder(registry), media_type
