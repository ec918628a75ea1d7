"""What the room counts. The first endpoints of the settings have a series each; what is over the
bound of labels is one series together, ``other``, summed up, with the longest lag of all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from penstock.events.definition import LABEL_CHARS_MAX, LABEL_VALUES_MAX, OTHER
from penstock.events.metrics import Registry
from penstock.webhooks.post import Answer


@dataclass(frozen=True, slots=True)
class Standing:
    """How one endpoint is. ``events``: waiting, in the queue and left in the log; ``lag_s``: since
    the oldest of them happened, 0 where none waits."""

    name: str
    events: int = 0
    queue_bytes: int = 0
    lag_s: float = 0.0
    behind: bool = False
    disabled: bool = False


class Measures:
    """``names``: of all endpoints, in the order of the settings."""

    def __init__(self, registry: Registry, names: Iterable[str]) -> None:
        self._own = {name[:LABEL_CHARS_MAX] for name in list(names)[: LABEL_VALUES_MAX - 1]}
        self._deliveries = registry.counter("penstock_webhook_deliveries_total")
        self._events = registry.counter("penstock_webhook_events_delivered_total")
        self._lost = registry.counter("penstock_webhook_events_lost_total")
        self._seconds = registry.histogram("penstock_webhook_delivery_seconds")
        self._waiting = registry.gauge("penstock_webhook_events_waiting")
        self._bytes = registry.gauge("penstock_webhook_queue_bytes")
        self._lag = registry.gauge("penstock_webhook_lag_seconds")
        self._behind = registry.gauge("penstock_webhook_behind")
        self._disabled = registry.gauge("penstock_webhook_disabled")
        self._busy = registry.gauge("penstock_webhook_connections")

    def attempt(self, name: str, answer: Answer, events: int) -> None:
        label = self._label(name)
        self._deliveries.inc((label, answer.kind))
        self._seconds.observe(answer.duration_s)
        if answer.kind == "delivered":
            self._events.inc((label,), events)

    def dead(self, name: str, events: int) -> None:
        self._lost.inc((self._label(name), "tries"), events)

    def missed(self, name: str, events: int) -> None:
        self._lost.inc((self._label(name), "retention"), events)

    def show(self, standings: Iterable[Standing], busy: int) -> None:
        found: dict[str, Standing] = {}
        for one in standings:
            label = self._label(one.name)
            before = found.get(label)
            found[label] = one if before is None else _together(before, one)
        for label, one in found.items():
            self._waiting.set(one.events, (label,))
            self._bytes.set(one.queue_bytes, (label,))
            self._lag.set(one.lag_s, (label,))
            self._behind.set(int(one.behind), (label,))
            self._disabled.set(int(one.disabled), (label,))
        self._busy.set(busy)

    def _label(self, name: str) -> str:
        return name if name[:LABEL_CHARS_MAX] in self._own else OTHER


def _together(one: Standing, two: Standing) -> Standing:
    return dataclasses.replace(
        one,
        events=one.events + two.events,
        queue_bytes=one.queue_bytes + two.queue_bytes,
        lag_s=max(one.lag_s, two.lag_s),
        behind=one.behind or two.behind,
        disabled=one.disabled or two.disabled,
    )
