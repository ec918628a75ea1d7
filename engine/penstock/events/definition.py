"""What the definition of a metric is made of; the metrics themselves are in
:mod:`penstock.events.definitions`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Merge = Literal["sum", "max", "worker"]

LABEL_VALUES_MAX = 64
LABEL_CHARS_MAX = 64
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Label:
    """``values`` empty: open, the first ``LABEL_VALUES_MAX`` values seen are kept."""

    name: str
    help: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric. ``buckets`` are upper bounds in the metric's unit, without +Inf; ``merge`` says
    how gauges of several workers become one (counters and histograms are always summed)."""

    name: str
    kind: Kind
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    merge: Merge = "sum"

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)


PROVIDER = Label("provider", "provider named by the policies; empty where none matches")
FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
ATTEMPT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


def counter(name: str, text: str, *labels: Label) -> Definition:
    return Definition(name, "counter", text, labels)


def gauge(name: str, text: str, *labels: Label, merge: Merge = "sum") -> Definition:
    return Definition(name, "gauge", text, labels, merge=merge)


def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: Label) -> Definition:
    return Definition(name, "histogram", text, labels, buckets)
