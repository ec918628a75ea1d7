"""The HTTP API's way into the queue of this worker, and the memory of its calls."""

from __future__ import annotations

import asyncio
import os.path
from collections.abc import Callable, Mapping

import lmdb
import structlog

from penstock.api.idempotency import Once, reconcile
from penstock.api.idempotency_store import Store, StoreConfig, StoreTrouble
from penstock.api.injection import Injector
from penstock.api.ports import Intake
from penstock.events.metrics import Registry
from penstock.events.reading import LogReader, log_directory
from penstock.intake.ports import Observer
from penstock.mail.envelope import SEQUENCE_BITS
from penstock.mail.template import TemplateCache
from penstock.relay.spool import Spool
from penstock.settings.models import Settings
from penstock.suppression.screen import Screen
from penstock.worker.sink import IntakeSink

log = structlog.get_logger("penstock.worker")
DIRECTORY = "idempotency"


class Injection:
    """``intake`` is what the API's routes use."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        now: Callable[[], float],
        sink: IntakeSink,
        screen: Screen | None,
        observer: Observer,
        spool: Spool,
    ) -> None:
        self._settings, self._spool = settings, spool
        self._store = self._open(settings, now)
        calls = registry.counter("penstock_idempotent_calls_total")
        once = Once(
            self._store,
            now,
            settings.idempotency.wait_max_s,
            lambda result: calls.inc((result,)),
        )
        self._templates = TemplateCache()
        self.intake = Intake(sink, Injector(sink, screen, observer), once, self._templates)
        self._sets = registry.gauge("penstock_api_template_sets")
        registry.gauge("penstock_api_template_sets_max").set(self._templates.sets_max)
        self._forgotten = registry.counter("penstock_idempotency_forgotten_total")
        self._entries = registry.gauge("penstock_idempotency_entries")
        self._bytes = registry.gauge("penstock_idempotency_bytes")
        registry.gauge("penstock_idempotency_entries_max").set(settings.idempotency.entries_max)
        registry.gauge("penstock_idempotency_bytes_max").set(settings.idempotency.map_bytes)
        self._counted = 0
        registry.on_snapshot(self._collect)

    def _open(self, settings: Settings, now: Callable[[], float]) -> Store | None:
        given = settings.idempotency
        config = StoreConfig(given.keep_s, given.entries_max, given.map_bytes)
        try:
            return Store(os.path.join(settings.spool, DIRECTORY), config, now)
        except StoreTrouble as error:
            log.error("calls with an Idempotency-Key are refused", reason=str(error))
            return None

    async def start(self) -> None:
        """Before any call comes in: find out what became of those that a crash interrupted."""
        store = self._store
        if store is None:
            return
        shards = {shard.number for shard in self._spool.shards}
        logs = {
            number: LogReader(log_directory(self._settings.spool, f"{number:02d}"))
            for number in shards
        }
        try:
            await asyncio.gather(*reconcile(store, shards, lambda ref: self._took(ref, logs)))
        except (StoreTrouble, lmdb.Error) as error:
            log.error("calls that a crash interrupted stay so", reason=str(error))
        finally:
            for reader in logs.values():
                reader.close()
        store.start()

    def _took(self, ref: int, logs: Mapping[int, LogReader]) -> bool:
        """Whether a message is in the queue or was: what left it has its line in the event log.
        What is in another worker's shard was known to be there when the call went on here."""
        reader = logs.get(ref >> SEQUENCE_BITS)
        if reader is None or self._spool.siblings(ref):
            return True
        return reader.accepted(ref) is not None

    def _collect(self) -> None:
        self._sets.set(len(self._templates))
        store = self._store
        if store is None:
            return
        try:
            entries, size = store.usage()
        except lmdb.Error:
            return
        self._entries.set(entries)
        self._bytes.set(size)
        gone = store.forgotten
        self._forgotten.inc((), gone - self._counted)
        self._counted = gone

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
