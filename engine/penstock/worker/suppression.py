"""The suppression list of one worker: opened, asked, and told about in metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lmdb

from penstock.events.metrics import Registry
from penstock.settings.models import Settings
from penstock.suppression.configure import store_config, suppression_directory, suppression_rules
from penstock.suppression.screen import Ports, Screen
from penstock.suppression.store import Store, Suppressions
from penstock.worker.machine import Machine


class SuppressionList:
    """``screen`` is what intake and relay ask; ``None`` where nobody is to. ``class_of``: see
    :class:`Ports`; ``write``: ``Journal.write``."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        machine: Machine,
        class_of: Callable[[str, str], str],
        write: Callable[..., Any],
    ) -> None:
        self._directory = suppression_directory(settings)
        self._config = store_config(settings)
        self._store: Store | None = None
        suppressed = registry.counter("penstock_suppressed_total")
        ports = Ports(
            class_of=class_of,
            now=machine.now,
            write=write,
            counted=lambda stage, reason: suppressed.inc((stage, reason)),
            unread=registry.counter("penstock_suppression_unread_total").inc,
        )
        self.screen: Screen | None = None
        if settings.suppression.enabled and machine.suppressing:
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
        if self._store is None or self.screen is None or self.screen.usable is None:
            return
        try:
            usage = self._store.usage()
        except lmdb.Error:
            return  # the next look-up says so, loudly
        self._addresses.set(usage.addresses)
        self._bytes.set(usage.bytes)
        self._bytes_max.set(usage.map_bytes)

    def look(self) -> None:
        """Called every second."""
        if self.screen is not None:
            self.screen.look()

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
