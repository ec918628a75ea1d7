"""What operators suspended, kept over restarts.

A small JSON file beside the spool, replaced whole: written aside, synced, renamed, directory
synced. It is bounded, and what has run out is dropped when it is next read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass

SUSPENSIONS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Suspension:
    """``until`` is seconds since the epoch, 0 for without end; ``who`` and ``reason`` are shown."""

    id: str
    selector: dict[str, str]
    since: float
    until: float = 0.0
    who: str = ""
    reason: str = ""


class Suspensions:
    """All of them, by id. ``add`` and ``remove`` are on disk when they return."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._items: dict[str, Suspension] = {}
        try:
            with open(path, encoding="utf-8") as file:
                rows = json.load(file)
        except FileNotFoundError:
            return
        self._items = {row["id"]: Suspension(**row) for row in rows}

    def active(self, now: float) -> list[Suspension]:
        return [one for one in self._items.values() if not one.until or one.until > now]

    def expired(self, now: float) -> list[Suspension]:
        return [one for one in self._items.values() if 0 < one.until <= now]

    def add(self, suspension: Suspension, now: float) -> None:
        """Raises ``ValueError`` when there are too many."""
        kept = {one.id: one for one in self.active(now)}
        if len(kept) >= SUSPENSIONS_MAX:
            raise ValueError(f"there are {SUSPENSIONS_MAX} suspensions already; resume some first")
        self._items = {**kept, suspension.id: suspension}
        self._save()

    def remove(self, selector: dict[str, str]) -> list[str]:
        """Take back those with exactly this selector; all of them where it is empty."""
        gone = [one.id for one in self._items.values() if selector in ({}, one.selector)]
        self.drop(gone)
        return gone

    def drop(self, ids: Iterable[str]) -> None:
        """Take back these, whatever others have the same selector."""
        before = len(self._items)
        for number in ids:
            self._items.pop(number, None)
        if len(self._items) != before:
            self._save()

    def _save(self) -> None:
        directory = os.path.dirname(self._path) or "."
        aside = self._path + ".new"
        with open(aside, "w", encoding="utf-8") as file:
            json.dump([asdict(one) for one in self._items.values()], file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, self._path)
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
