"""The states of warming on disk, so that no restart forgets what a source has sent.

Two files, both replaced whole. ``warmup.json`` has everything and is written when a day ends, a
pair begins or an operator says something. ``warmup-today.json`` has only what has gone today, so
that it is small, and is written before each grant is told to a worker. Of the two, what has gone is
what the larger one says: a grant that nobody used is lost, none is given twice.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from penstock.daemon.operations import BadFile
from penstock.schedule.warmup import WarmupState
from penstock.schedule.warmup_day import RESULT_NAMES, Results
from penstock.whole_file import read_whole, write_whole

Pair = tuple[str, str]
_VERSION = 1
_ALL, _TODAY = "warmup.json", "warmup-today.json"


class WarmupFile:
    """``directory``: the spool. What is saved is on disk when it returns; ``OSError`` if not."""

    def __init__(self, directory: str) -> None:
        self._all, self._today = (os.path.join(directory, name) for name in (_ALL, _TODAY))

    def load(self) -> dict[Pair, WarmupState]:
        found: dict[Pair, WarmupState] = {}
        path = self._all
        try:
            for source, provider, row in _rows(read_whole(path)):
                found[source, provider] = WarmupState.from_dict(row)
            path = self._today
            for source, provider, row in _rows(read_whole(path)):
                state = found.get((source, provider))
                if state is not None and state.day == row[0]:
                    found[source, provider] = _brought_up(state, row)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise BadFile(
                f"{path} is damaged ({error}); what the sources that are warmed have sent is not "
                "known: repair it, or remove it and set their stages with penstock warmup set"
            ) from None
        return found

    def save(self, states: Mapping[Pair, WarmupState]) -> None:
        """Everything."""
        rows = [[*pair, state.to_dict()] for pair, state in states.items()]
        write_whole(self._all, {"version": _VERSION, "rows": rows})

    def save_today(self, states: Mapping[Pair, WarmupState]) -> None:
        """What has gone today."""
        rows = [[*pair, _today(state)] for pair, state in states.items() if not state.warm]
        write_whole(self._today, {"version": _VERSION, "rows": rows})


def _rows(found: Any) -> list[Any]:
    if found is None:
        return []
    if found["version"] != _VERSION:
        raise ValueError(f"version {found['version']!r}, this is {_VERSION}")
    rows: list[Any] = found["rows"]
    return rows


def _today(state: WarmupState) -> list[Any]:
    results = [getattr(state.results, name) for name in RESULT_NAMES]
    return [state.day, state.hour, state.sent, state.sent_first, state.hour_sent, results]


def _brought_up(state: WarmupState, row: list[Any]) -> WarmupState:
    _, hour, sent, sent_first, hour_sent, results = row
    if hour == state.hour:
        hour_sent = max(hour_sent, state.hour_sent)
    elif hour < state.hour:
        hour_sent = state.hour_sent
    counted = Results(*(int(n) for n in results))
    return replace(
        state,
        hour=max(hour, state.hour),
        sent=max(sent, state.sent),
        sent_first=max(sent_first, state.sent_first),
        hour_sent=hour_sent,
        results=max(counted, state.results, key=lambda one: one.attempts + one.greylisted),
        used=max(state.used, state.day) if sent else state.used,
    )
