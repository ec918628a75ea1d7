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
from penstock.collector.counts import COLUMNS, HOUR_S, Group, count, second_of
from penstock.collector.guarding import Guarding
from penstock.collector.providers import Providers
from penstock.collector.shown import ShownTenants
from penstock.events.metrics import Registry
from penstock.events.reading import Position

FILE = "statistics.sqlite3"
_NO_ROOM: tables.Names = (tables.OTHER,) * 4
Rows = dict[tuple[int, tables.Names], list[int]]
Bounces = dict[tuple[tuple[int, tables.Names], str], int]


@dataclass(frozen=True, slots=True)
class StatisticsConfig:
    """``pending_max``: groups of events that are alike, in memory, before they are written without
    waiting for the second to be over."""

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
        self._pending: dict[Group, int] = {}
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
        os.makedirs(os.path.dirname(self._config.path) or ".", exist_ok=True)
        database = self._database = tables.open_database(self._config.path)
        self._rows = tables.rows_of_finest(database)
        found = database.execute("SELECT log, segment, offset FROM places").fetchall()
        self._positions = {log: Position(segment, offset) for log, segment, offset in found}
        self._written = dict(self._positions)
        self._guarding.load(database, self._now())
        return dict(self._positions)

    def take(self, log: str, events: Events, upto: Position) -> None:
        learn, provider_of, pending = self._providers.learn, self._providers.of, self._pending
        for _, event in events:
            learn(event)
            count(event, pending, provider_of)
        self._positions[log] = upto
        if len(self._pending) >= self._config.pending_max:
            self.flush()

    def flush(self) -> dict[str, Position]:
        assert self._database is not None
        now = self._now()
        hour = int(now) // HOUR_S
        rows, bounces = self._added(now)
        trips = self._guarding.look(now)
        moved = self._positions != self._written or bool(self._pending)
        if moved or trips or hour != self._purged_hour:
            self._transact(self._database, rows, bounces, now, hour)
        self._shown.choose(now)
        self._guarding.act(self._database, now)
        return dict(self._written)

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    # inside

    def _added(self, now: float) -> tuple[Rows, Bounces]:
        """What the groups come to, by hour and names; guards and metrics hear of it too."""
        rows: Rows = {}
        bounces: Bounces = {}
        oldest = now - self._config.keep_s
        for group, times in self._pending.items():
            moment, what = group[0], group[5]
            try:
                second = second_of(moment)
                self._guarding.count(group, times)
            except ValueError:
                continue  # a time that is none: of no hour
            self._shown.count(group[1], what, times)
            hour = second - second % HOUR_S
            if hour + HOUR_S <= oldest:
                continue
            key = (hour, group[1:5])
            row = rows.get(key)
            if row is None:
                row = rows[key] = [0] * len(COLUMNS)
            for index in what.columns:
                row[index] += times
            if what.category:
                bounces[key, what.category] = bounces.get((key, what.category), 0) + times
        return rows, bounces

    def _transact(
        self,
        database: sqlite3.Connection,
        rows: Rows,
        bounces: Bounces,
        now: float,
        hour: int,
    ) -> None:
        database.execute("BEGIN IMMEDIATE")
        try:
            if hour != self._purged_hour:
                tables.forget(database, int(now - self._config.keep_s))
                self._rows = tables.rows_of_finest(database)
            count = self._add(database, rows, bounces)
            self._guarding.save(database, now)
            database.executemany(
                "INSERT OR REPLACE INTO places VALUES (?, ?, ?)",
                [(log, *position) for log, position in self._positions.items()],
            )
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise
        self._rows, self._purged_hour = count, hour
        self._written = dict(self._positions)
        self._pending.clear()
        self._guarding.saved()

    def _add(self, database: sqlite3.Connection, rows: Rows, bounces: Bounces) -> int:
        """The number of rows of the finest kind that there are then."""
        known, added = self._rows, []
        folded: set[tuple[int, tables.Names]] = set()
        for key, values in rows.items():
            hour, names = key
            if not tables.is_known(database, hour, names):
                if known >= self._config.rows_max:
                    folded.add(key)
                    names = _NO_ROOM
                    self._folded.inc()
                else:
                    known += 1
            added.append(tables.Row(hour, names, values))
        told = [
            tables.Bounces(key[0], _NO_ROOM if key in folded else key[1], category, times)
            for (key, category), times in bounces.items()
        ]
        tables.add(database, added, told)
        return known
