"""The suppression list of one worker: opened, asked, and told about in metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lmdb

from penstock.events.metrics import Registry
from penstock.policy.policies import Policies
from penstock.settings.models import Settings
from penstock.suppression.configure import store_config, suppression_directory, suppression_rules
from penstock.suppression.screen import Ports, Screen
from penstock.suppression.store import Store, Suppressions


class SuppressionList:
    """``screen`` is what intake and relay ask. ``policies()``: those of now, for the class of mail;
    ``write``: ``Journal.write``."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        policies: Callable[[], Policies],
        now: Callable[[], float],
        write: Callable[..., Any],
    ) -> None:
        self._directory = suppression_directory(settings)
        self._config = store_config(settings)
        self._store: Store | None = None
        self._policies = policies
        suppressed = registry.counter("penstock_suppressed_total")
        ports = Ports(
            class_of=lambda tenant, class_: self._policies().resolve_class(tenant, class_)[0],
            now=now,
            write=write,
            counted=lambda stage, reason: suppressed.inc((stage, reason)),
            unread=registry.counter("penstock_suppression_unread_total").inc,
        )
        self.screen = Screen(self._open, ports, suppression_rules(settings))
        self._addresses = registry.gauge("penstock_suppression_addresses")
        self._bytes = registry.gauge("penstock_suppression_bytes")
        self._bytes_max = registry.gauge("penstock_suppression_bytes_max")
        registry.on_snapshot(self._collect)

    def _open(self) -> Suppressions:
        self.close()  # one that was in trouble
        self._store = Store(self._directory, self._config, readonly=True)
        return Suppressions(self._store)

    def _collect(self) -> None:
        if self._store is None or self.screen.usable is None:
            return
        try:
            usage = self._store.usage()
        except lmdb.Error:
            return  # the next look-up says so, loudly
        self._addresses.set(usage.addresses)
        self._bytes.set(usage.bytes)
        self._bytes_max.set(usage.map_bytes)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
