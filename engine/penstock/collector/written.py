"""The collector's own log: written by several of its threads, so with a lock."""

from __future__ import annotations

import threading
from typing import Any

from penstock.events.configure import Keeper
from penstock.events.records import Event


class OwnLog:
    """A :class:`~penstock.events.journal.Journal` for several threads. ``sync`` raises ``OSError``
    where something is not on disk, also what found no room before."""

    def __init__(self, journal: Keeper) -> None:
        self._journal = journal
        self._lock = threading.Lock()

    def write(self, make: type[Event], **fields: Any) -> str:
        """Raises ``OSError`` for what finds no room: here it is waited for, not dropped."""
        with self._lock:
            dropped = self._journal.stats().get("dropped", 0)
            id_ = self._journal.write(make, **fields)
            if self._journal.stats().get("dropped", 0) != dropped:
                raise OSError("events wait for the disk, and there is no room for more")
            return id_

    def flush(self) -> None:
        with self._lock:
            self._journal.flush()

    def sync(self) -> None:
        with self._lock:
            self._journal.sync()

    def close(self) -> None:
        with self._lock:
            self._journal.close()
