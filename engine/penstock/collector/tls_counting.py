"""What workers saw of TLS, added up by day and domain, each session exactly once.

Counts and the place in the logs are one transaction: a process that is killed at any moment has
counted up to where its place says. The day is that of the event, in UTC.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from penstock.collector import tls_tables
from penstock.collector.consumer import Events
from penstock.collector.tls_tables import Seen, policy_text
from penstock.events.metrics import Registry
from penstock.events.reading import Position
from penstock.events.records import TlsSeen
from penstock.mail.tls_report import DAY_S

_PLACE_S = 10.0
_PENDING_MAX = 20_000


@dataclass(frozen=True, slots=True)
class TlsCountingConfig:
    path: str
    keep_s: float = 14 * 86_400.0
    domains_max: int = 200_000
    failures_max: int = 100


class TlsCounting:
    """The consumer ``tls``."""

    name = "tls"

    def __init__(
        self,
        config: TlsCountingConfig,
        registry: Registry,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._config, self._now = config, now
        self._database: sqlite3.Connection | None = None
        self._pending: dict[Seen, int] = {}
        self._positions: dict[str, Position] = {}
        self._written: dict[str, Position] = {}
        self._written_at = 0.0
        self._purged_day = 0
        self._domains: dict[int, int] = {}
        self._dropped = registry.counter("penstock_tls_sessions_uncounted_total")

    def checkpoint(self) -> dict[str, Position]:
        self.close()
        self._pending.clear()
        self._domains.clear()
        os.makedirs(os.path.dirname(self._config.path) or ".", exist_ok=True)
        self._database = tls_tables.open_database(self._config.path)
        self._positions = tls_tables.places(self._database)
        self._written = dict(self._positions)
        return dict(self._positions)

    def take(self, log: str, events: Events, upto: Position) -> None:
        for _, event in events:
            if isinstance(event, TlsSeen):
                self._count(event)
        self._positions[log] = upto
        if len(self._pending) >= _PENDING_MAX:
            self.flush()

    def flush(self) -> dict[str, Position]:
        assert self._database is not None
        now = self._now()
        moved = self._positions != self._written
        if self._pending or (moved and now - self._written_at >= _PLACE_S):
            self._transact(self._database, now)
        return dict(self._written)

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    # inside

    def _count(self, event: TlsSeen) -> None:
        try:
            second = int(datetime.fromisoformat(event.at).timestamp())
        except ValueError:
            return  # a time that is none: of no day
        policy = policy_text(event.policy, event.policy_text, event.policy_mx)
        day = second - second % DAY_S
        seen = Seen(
            day,
            event.domain,
            policy,
            event.result,
            event.mx,
            event.address,
            event.source,
            event.detail,
        )
        self._pending[seen] = self._pending.get(seen, 0) + event.sessions

    def _transact(self, database: sqlite3.Connection, now: float) -> None:
        config, day = self._config, int(now) // DAY_S
        database.execute("BEGIN IMMEDIATE")
        try:
            if day != self._purged_day:
                tls_tables.forget(database, int(now - config.keep_s))
                self._domains.clear()
            dropped = tls_tables.add(
                database, self._pending, self._domains, config.domains_max, config.failures_max
            )
            tls_tables.keep_places(database, self._positions)
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise
        if dropped:
            self._dropped.inc((), dropped)
        self._purged_day, self._written_at = day, now
        self._written = dict(self._positions)
        self._pending.clear()
