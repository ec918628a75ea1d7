"""Counting at the price of a dictionary look-up.

A worker has one :class:`Registry`. Its handles are bound once (``accepted =
registry.counter("penstock_messages_accepted_total")``) and count plain numbers in plain dicts,
since they run several times a message. Workers share nothing: the supervisor gathers a
:meth:`Registry.snapshot` of each and :mod:`penstock.events.exposition` makes one page of them.

The cost of hostile or careless label values is bounded here, at the door: the first time that a
combination of labels turns up it is checked against the table, and what is over the bound is
counted as ``"other"``.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Callable
from typing import Any, TypeVar

from penstock.events.definition import LABEL_CHARS_MAX, LABEL_VALUES_MAX, OTHER, Definition
from penstock.events.definitions import BY_NAME
from penstock.events.process import process_snapshot

Labels = tuple[str, ...]


class _Series:
    """What all kinds share: admitting label values within their bounds."""

    __slots__ = ("_capped", "_seen", "_values", "_values_max", "definition")

    def __init__(self, definition: Definition, capped: Counter | None, values_max: int) -> None:
        self.definition = definition
        self._values: dict[Labels, Any] = {}
        self._seen: tuple[set[str], ...] = tuple(set(label.values) for label in definition.labels)
        self._values_max = values_max
        self._capped = capped

    def _admit(self, labels: Labels) -> Labels:
        """``labels`` with every value that is over its bound replaced by ``"other"``."""
        if len(labels) != len(self._seen):
            wanted = self.definition.label_names
            raise ValueError(f"{self.definition.name} has the labels {wanted}, not {labels}")
        admitted = []
        for value, seen, label in zip(labels, self._seen, self.definition.labels, strict=True):
            text = value[:LABEL_CHARS_MAX]
            if text not in seen and text != OTHER:
                if label.values or len(seen) >= self._values_max:
                    if self._capped is not None:
                        self._capped.inc((self.definition.name,))
                    text = OTHER
                else:
                    seen.add(text)
            admitted.append(text)
        return tuple(admitted)

    def rows(self) -> list[list[Any]]:
        """``[[label values, number or list of numbers], ...]``, fit for msgpack."""
        return [[list(labels), value] for labels, value in self._values.items()]


class Counter(_Series):
    """Goes up only."""

    __slots__ = ()

    def inc(self, labels: Labels = (), n: float = 1) -> None:
        try:
            self._values[labels] += n
        except KeyError:
            labels = self._admit(labels)
            self._values[labels] = self._values.get(labels, 0) + n


class Gauge(_Series):
    """A number of now."""

    __slots__ = ()

    def set(self, value: float, labels: Labels = ()) -> None:
        if labels not in self._values:
            labels = self._admit(labels)
        self._values[labels] = value

    def add(self, n: float, labels: Labels = ()) -> None:
        if labels not in self._values:
            labels = self._admit(labels)
        self._values[labels] = self._values.get(labels, 0) + n


class Histogram(_Series):
    """A row is the count of each bucket (not cumulative), then of +Inf, then the sum."""

    __slots__ = ("_bounds",)

    def __init__(self, definition: Definition, capped: Counter | None, values_max: int) -> None:
        super().__init__(definition, capped, values_max)
        self._bounds = definition.buckets

    def observe(self, value: float, labels: Labels = (), n: int = 1) -> None:
        """``n`` observations of ``value``."""
        try:
            row = self._values[labels]
        except KeyError:
            labels = self._admit(labels)
            row = self._values.setdefault(labels, [0] * (len(self._bounds) + 1) + [0.0])
        row[bisect_left(self._bounds, value)] += n
        row[-1] += value * n

    def rows(self) -> list[list[Any]]:
        return [[list(labels), list(row)] for labels, row in self._values.items()]


_S = TypeVar("_S", Counter, Gauge, Histogram)


class Registry:
    """All series of one process."""

    def __init__(self, label_values_max: int = LABEL_VALUES_MAX) -> None:
        self._incarnation = f"{os.getpid()}-{time.time_ns()}"
        self._values_max = label_values_max
        self._collectors: list[Callable[[], None]] = []
        self._capped = Counter(
            BY_NAME["penstock_metric_labels_capped_total"],
            None,
            max(len(BY_NAME), label_values_max),
        )
        self._series: dict[str, _Series] = {self._capped.definition.name: self._capped}

    def counter(self, name: str) -> Counter:
        """The counter ``name`` of the table, the same one at every call."""
        return self._bind(name, "counter", Counter)

    def gauge(self, name: str) -> Gauge:
        return self._bind(name, "gauge", Gauge)

    def histogram(self, name: str) -> Histogram:
        return self._bind(name, "histogram", Histogram)

    def on_snapshot(self, collect: Callable[[], None]) -> None:
        """Have ``collect`` set gauges that are cheaper to read than to keep."""
        self._collectors.append(collect)

    def snapshot(self) -> dict[str, Any]:
        """Everything counted so far, in values that msgpack and JSON know. ``incarnation`` is
        another one in every process and registry; ``process`` is what the system says of it."""
        for collect in self._collectors:
            collect()
        return {
            "incarnation": self._incarnation,
            "process": process_snapshot(),
            "series": {name: rows for name, one in self._series.items() if (rows := one.rows())},
        }

    def _bind(self, name: str, kind: str, cls: type[_S]) -> _S:
        definition = BY_NAME.get(name)
        if definition is None or definition.kind != kind:
            raise KeyError(f"no {kind} named {name} in the table of metrics")
        series = self._series.get(name)
        if series is None:
            series = self._series[name] = cls(definition, self._capped, self._values_max)
        assert isinstance(series, cls)
        return series
