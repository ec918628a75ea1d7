"""Questions to the counters: how much, by what, since when.

A range is whole days from the counters by day, and the hours before the first of them. Each hour
and day is looked up by itself, so that the other names of the question lead straight to its rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.collector.counts import COLUMNS, DAY_S, HOUR_S, rates
from penstock.collector.tables import DIMENSIONS, GROUPINGS
from penstock.control import ControlError
from penstock.policy.problem import suggestion

BY = ("", "hour", *DIMENSIONS)
ROWS_MAX = 10_000
_ROWS_DEFAULT = 50
_SINCE_S = 86_400.0
_SINCE_S_MAX = 3660 * 86_400.0


@dataclass(frozen=True, slots=True)
class Question:
    """``only``: dimension -> name; ``by``: one of ``BY``; ``since`` and ``now`` since the epoch."""

    only: Mapping[str, str]
    by: str
    since: float
    now: float
    rows_max: int = _ROWS_DEFAULT


def question_of(params: Mapping[str, Any], now: float) -> Question:
    """As the control socket carries it; raises ``ControlError``."""
    only = {name: str(params[name]) for name in DIMENSIONS if params.get(name) is not None}
    by = str(params.get("by") or "")
    if by not in BY:
        hint = suggestion(by, BY[1:], "by one of")
        raise ControlError("bad-value", f"by: there is no {by!r}{'; ' if hint else ''}{hint}")
    try:
        since_s = float(params.get("since_s") or _SINCE_S)
        rows_max = int(params.get("limit") or _ROWS_DEFAULT)
    except (TypeError, ValueError):
        raise ControlError("bad-value", "since_s and limit are numbers") from None
    if not 0 < since_s <= _SINCE_S_MAX:
        raise ControlError("bad-value", "since: between an hour and ten years")
    return Question(only, by, now - since_s, now, max(1, min(rows_max, ROWS_MAX)))


def answer(database: sqlite3.Connection, asked: Question) -> dict[str, Any]:
    """``{"since", "until", "by", "rows": [...], "more": n, "total": {...}}``: each row has its
    names, the counters, ``bounces`` by category, and ``rates``."""
    names = _names(asked)
    groups = _sums(database, asked, names)
    if asked.by == "hour":
        groups.sort(key=lambda group: group[0])
    else:
        groups.sort(key=lambda group: (-group[1]["sent"], -group[1]["accepted"], group[0]))
    shown = groups[-asked.rows_max :] if asked.by == "hour" else groups[: asked.rows_max]
    bounces = _bounces(database, asked, names)
    total = {name: sum(counts[name] for _, counts in groups) for name in COLUMNS}
    whole: dict[str, int] = {}
    for found in bounces.values():
        for category, count in found.items():
            whole[category] = whole.get(category, 0) + count
    rows = [
        {**dict(zip(names, key, strict=True)), **_told(counts, bounces.get(key, {}))}
        for key, counts in shown
    ]
    return {
        "since": int(asked.since // HOUR_S) * HOUR_S,
        "until": asked.now,
        "by": asked.by,
        "rows": rows if asked.by else [],
        "more": len(groups) - len(shown) if asked.by else 0,
        "total": _told(total, whole),
    }


def _told(counts: dict[str, int], bounces: dict[str, int]) -> dict[str, Any]:
    most_first = sorted(bounces.items(), key=lambda item: (-item[1], item[0]))
    return {**counts, "bounces": dict(most_first), "rates": rates(counts)}


def _names(asked: Question) -> tuple[str, ...]:
    """What a row is called by: a campaign by its tenant too."""
    if asked.by == "campaign":
        return ("tenant", "campaign")
    return (asked.by,) if asked.by else ()


def _sums(
    database: sqlite3.Connection, asked: Question, names: Sequence[str]
) -> list[tuple[tuple[Any, ...], dict[str, int]]]:
    sums = ", ".join(f"sum({name})" for name in COLUMNS)
    groups: dict[tuple[Any, ...], list[int]] = {}
    for table, times in _parts(asked):
        for row in _select(database, asked, table, times, names, sums):
            key, values = tuple(row[: len(names)]), row[len(names) :]
            if values[0] is None:
                continue  # no rows at all
            before = groups.get(key)
            groups[key] = (
                list(values)
                if before is None
                else [a + b for a, b in zip(before, values, strict=True)]
            )
    return [(key, dict(zip(COLUMNS, values, strict=True))) for key, values in groups.items()]


def _bounces(
    database: sqlite3.Connection, asked: Question, names: Sequence[str]
) -> dict[tuple[Any, ...], dict[str, int]]:
    found: dict[tuple[Any, ...], dict[str, int]] = {}
    for table, times in _parts(asked):
        by = [*names, "category"]
        for row in _select(database, asked, f"bounce_{table}", times, by, "sum(recipients)"):
            *key, category, count = row
            of_key = found.setdefault(tuple(key), {})
            of_key[category] = of_key.get(category, 0) + count
    return found


def _parts(asked: Question) -> list[tuple[str, list[int]]]:
    """The tables that the range lies in, each with the times of the rows that are meant."""
    first = int(asked.since // HOUR_S) * HOUR_S
    last = int(asked.now // HOUR_S) * HOUR_S
    if asked.by == "hour":
        return [("hours", list(range(first, last + 1, HOUR_S)))]
    first_day = -(-first // DAY_S) * DAY_S
    if first_day > last:
        return [("hours", list(range(first, last + 1, HOUR_S)))]
    days = list(range(first_day, last + 1, DAY_S))
    return [("hours", list(range(first, first_day, HOUR_S))), ("days", days)]


def _select(
    database: sqlite3.Connection,
    asked: Question,
    table: str,
    times: list[int],
    names: Sequence[str],
    wanted: str,
) -> list[tuple[Any, ...]]:
    told = {name for name in (*asked.only, *names) if name in DIMENSIONS}
    grouping = _narrowest(told)
    where, values = ["grouping_ = ?"], list[Any]([grouping])
    where.append(f"at IN ({', '.join(map(str, times))})")
    for name in DIMENSIONS:
        if name in asked.only:
            where.append(f"{name} = ?")
            values.append(asked.only[name])
        elif name not in GROUPINGS[grouping]:
            where.append(f"{name} = ''")
    if not times:
        return []
    columns = ["at" if name == "hour" else name for name in names]
    by = f" GROUP BY {', '.join(columns)}" if columns else ""
    sql = f"SELECT {', '.join([*columns, wanted])} FROM {table} WHERE {' AND '.join(where)}{by}"  # noqa: S608
    return database.execute(sql, values).fetchall()


def _narrowest(told: set[str]) -> int:
    fitting = [number for number, names in enumerate(GROUPINGS) if told <= names]
    return min(fitting, key=lambda number: len(GROUPINGS[number]))
