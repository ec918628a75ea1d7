"""A sink's place in each log, in a small SQLite database: one transaction moves them together."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping

from penstock.events.reading import Position


class Places:
    """Used in one thread at a time. Raises ``sqlite3.Error`` and ``OSError``."""

    def __init__(self, path: str) -> None:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        self._base = sqlite3.connect(path, check_same_thread=False)
        with self._base:
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS place "
                "(log TEXT PRIMARY KEY, segment INTEGER, offset INTEGER)"
            )

    def load(self) -> dict[str, Position]:
        rows = self._base.execute("SELECT log, segment, offset FROM place")
        return {log: Position(segment, offset) for log, segment, offset in rows}

    def save(self, places: Mapping[str, Position]) -> None:
        """On disk when it returns."""
        with self._base:
            self._base.executemany(
                "INSERT OR REPLACE INTO place VALUES (?, ?, ?)",
                ((log, *place) for log, place in places.items()),
            )

    def close(self) -> None:
        self._base.close()
