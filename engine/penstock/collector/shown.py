"""The tenants that have metrics of their own: those with most mail, chosen anew every hour.

Prometheus pays for each series for good, and a platform has more tenants than anybody graphs; so
only the largest are told apart, and the rest is ``other``.
"""

from __future__ import annotations

from penstock.collector.counts import COLUMNS, What
from penstock.events.definitions import OTHER, TENANT_RESULTS
from penstock.events.metrics import Registry

_CHOOSE_S = 3600.0
_SEEN_MAX = 10_000
_COLUMN_OF = {
    **{name: name for name in TENANT_RESULTS},
    "complained": "complaints",
    "unsubscribed": "unsubscribes",
}
_RESULT_OF = {COLUMNS.index(column): result for result, column in _COLUMN_OF.items()}


class ShownTenants:
    """At most ``tenants_max`` are shown; until the first hour is over, the first that come."""

    def __init__(self, registry: Registry, tenants_max: int) -> None:
        self._recipients = registry.counter("penstock_tenant_recipients_total")
        self._tenants_max = tenants_max
        self._shown: set[str] = set()
        self._seen: dict[str, int] = {}
        self._chosen_at: float | None = None

    def count(self, tenant: str, what: What, times: int) -> None:
        if tenant not in self._shown and len(self._shown) < self._tenants_max:
            self._shown.add(tenant)
        label = tenant if tenant in self._shown else OTHER
        for index in what.columns:
            result = _RESULT_OF.get(index)
            if result is not None:
                self._recipients.inc((label, result), times)
        if tenant in self._seen or len(self._seen) < _SEEN_MAX:
            self._seen[tenant] = self._seen.get(tenant, 0) + times

    def choose(self, now: float) -> None:
        """Once an hour: those with most events in the hour before."""
        if self._chosen_at is None:
            self._chosen_at = now
        if now - self._chosen_at < _CHOOSE_S:
            return
        self._chosen_at = now
        most = sorted(self._seen, key=lambda tenant: self._seen[tenant], reverse=True)
        self._shown = set(most[: self._tenants_max])
        self._seen.clear()
