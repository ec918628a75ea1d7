"""Answers from the database of the counters, while it is being written."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Any

from penstock.collector.guarding import trips_of
from penstock.collector.query import answer, question_of
from penstock.control import ControlError

_TRIPS_S = 30 * 86_400.0


class Told:
    """A connection for each question: they are few, and readers block no writer (WAL)."""

    def __init__(self, path: str, now: Callable[[], float] = time.time) -> None:
        self._path, self._now = path, now

    async def stats(self, params: Mapping[str, Any] | None) -> dict[str, Any]:
        question = question_of(params or {}, self._now())
        found: dict[str, Any] = await self._asked(lambda database: answer(database, question))
        return found

    async def guards(self, params: Mapping[str, Any] | None) -> dict[str, Any]:
        """``{"trips": [...]}``, the last first."""
        trips = await self._asked(lambda database: trips_of(database, self._now() - _TRIPS_S))
        return {
            "trips": [
                {
                    "id": id_,
                    "guard": trip.guard,
                    "tenant": trip.sender.tenant,
                    "campaign": trip.sender.campaign,
                    "at": trip.at,
                    "until": trip.until,
                    "action": trip.action,
                    "reason": trip.reason,
                    "where": trip.where,
                }
                for id_, trip in trips
            ]
        }

    async def _asked(self, ask: Callable[[sqlite3.Connection], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, self._read, ask)

    def _read(self, ask: Callable[[sqlite3.Connection], Any]) -> Any:
        if not os.path.exists(self._path):
            raise ControlError("unavailable", "nothing was counted yet; try again in a moment")
        database = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=10.0)
        try:
            return ask(database)
        except sqlite3.Error as error:
            raise ControlError("unavailable", f"the counters cannot be read: {error}") from None
        finally:
            database.close()
