"""Counters by hour, exactly once: what was counted and the place in the logs are one transaction.

A process that is killed at any moment has counted up to where its place says, no more and no less.
Events are added up in memory for a second, since mail comes in runs that fall on few rows.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

from penstock.collector import tables
from penstock.collector.consumer import Events
from penstock.collector.counts import COLUMNS, HOUR_S, Count, Key, counts_of
from penstock.collector.guarding import Guarding
from penstock.collector.providers import Providers
from penstock.collector.shown import ShownTenants
from penstock.events.metrics import Registry
from penstock.events.reading import Position

FILE = "statistics.sqlite3"


@dataclass(frozen=True, slots=True)
class StatisticsConfig:
    """``pending_max``: rows added up in memory, before they are written without waiting."""

    path: str
    keep_s: float = 90 * 86_400.0
    rows_max: int = 1_000_000
    pending_max: int = 20_000


class Statistics:
    """The consumer ``statistics``; guards see the same events and are kept in the same
    transaction."""

    name = "statistics"

    def __init__(
        self,
        config: StatisticsConfig,
        providers: Providers,
        guarding: Guarding,
        shown: ShownTenants,
        registry: Registry,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._config, self._now = config, now
        self._providers, self._guarding, self._shown = providers, guarding, shown
        self._database: sqlite3.Connection | None = None
        self._rows = 0
        self._purged_hour = 0
        self._pending: dict[Key, list[int]] = {}
        self._bounces: dict[tuple[Key, str], int] = {}
        self._positions: dict[str, Position] = {}
        self._written: dict[str, Position] = {}
        self._folded = registry.counter("penstock_statistics_folded_total")
        rows = registry.gauge("penstock_statistics_rows")
        pending = registry.gauge("penstock_statistics_pending")
        registry.on_snapshot(lambda: rows.set(self._rows))
        registry.on_snapshot(lambda: pending.set(len(self._pending)))

    # the port

    def checkpoint(self) -> dict[str, Position]:
        """Opens the database, again after a failure: what was in doubt is read from it."""
        if self._database is not None:
            self._database.close()
            self._database = None
        self._pending.clear()
        self._bounces.clear()
        os.makedirs(os.path.dirname(self._config.path) or ".", exist_ok=True)
        database = self._database = tables.open_database(self._config.path)
        self._rows = tables.rows_of_finest(database)
        found = database.execute("SELECT log, segment, offset FROM places").fetchall()
        self._positions = {log: Position(segment, offset) for log, segment, offset in found}
        self._written = dict(self._positions)
        self._guarding.load(database, self._now())
        return dict(self._positions)

    def take(self, log: str, events: Events, upto: Position) -> None:
        oldest = self._now() - self._config.keep_s
        provider_of = self._providers.of
        for _, event in events:
            self._providers.learn(event)
            try:
                for count in counts_of(event, provider_of):
                    if count.key.hour + HOUR_S > oldest:
                        self._count(count)
                        self._shown.count(count)
                self._guarding.count(event)
            except ValueError:
                continue  # a time that is none: of no hour
        self._positions[log] = upto
        if len(self._pending) >= self._config.pending_max:
            self.flush()

    def flush(self) -> dict[str, Position]:
        assert self._database is not None
        now = self._now()
        hour = int(now) // HOUR_S
        trips = self._guarding.look(now)
        dirty = self._positions != self._written or bool(self._pending) or bool(trips)
        if dirty or hour != self._purged_hour:
            self._transact(self._database, now, hour)
        self._shown.choose(now)
        self._guarding.act(self._database, now)
        return dict(self._written)

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    # inside

    def _count(self, count: Count) -> None:
        row = self._pending.get(count.key)
        if row is None:
            row = self._pending[count.key] = [0] * len(COLUMNS)
        for index, value in count.added:
            row[index] += value
        if count.category:
            key = (count.key, count.category)
            self._bounces[key] = self._bounces.get(key, 0) + 1

    def _transact(self, database: sqlite3.Connection, now: float, hour: int) -> None:
        database.execute("BEGIN IMMEDIATE")
        try:
            if hour != self._purged_hour:
                tables.forget(database, int(now - self._config.keep_s))
                self._rows = tables.rows_of_finest(database)
            rows = self._add(database)
            self._guarding.save(database, now)
            database.executemany(
                "INSERT OR REPLACE INTO places VALUES (?, ?, ?)",
                [(log, *position) for log, position in self._positions.items()],
            )
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise
        self._rows, self._purged_hour = rows, hour
        self._written = dict(self._positions)
        self._pending.clear()
        self._bounces.clear()
        self._guarding.saved()

    def _add(self, database: sqlite3.Connection) -> int:
        """The number of rows of the finest kind that there are then."""
        count, added, names_of = self._rows, [], dict[Key, tables.Names]()
        for key, values in self._pending.items():
            names: tables.Names = key[1:]
            if not tables.is_known(database, key.hour, names):
                if count >= self._config.rows_max:
                    names = (tables.OTHER,) * 4
                    self._folded.inc()
                else:
                    count += 1
            names_of[key] = names
            added.append(tables.Row(key.hour, names, values))
        bounces = [
            tables.Bounces(key.hour, names_of[key], category, recipients)
            for (key, category), recipients in self._bounces.items()
        ]
        tables.add(database, added, bounces)
        return count
