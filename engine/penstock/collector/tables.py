"""The tables of ``statistics.sqlite3``, and how rows are added up beforehand.

A question is about some of tenant, campaign, provider and class, over hours or days. Counters are
therefore kept at several widths (``GROUPINGS``), each by hour and by day: a question is answered
from the narrowest that has all that it names, over few rows, however many there are of the finest.
All of them are written in one transaction, together with the place in the logs that they come to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from penstock.collector.counts import COLUMNS, DAY_S

VERSION = 2
DIMENSIONS = ("tenant", "campaign", "provider", "class")
# By number, which is stored; each with the dimensions that it tells apart. The last is the finest.
GROUPINGS: tuple[frozenset[str], ...] = (
    frozenset(),
    frozenset({"tenant"}),
    frozenset({"provider", "class"}),
    frozenset({"tenant", "campaign"}),
    frozenset({"tenant", "provider", "class"}),
    frozenset(DIMENSIONS),
)
FINEST = len(GROUPINGS) - 1
OTHER = "(other)"
_KEY = ", ".join(("grouping_", "at", *DIMENSIONS))
_SUMS = ", ".join(f"{name} = {name} + excluded.{name}" for name in COLUMNS)
_KEY_TYPES = "grouping_ INTEGER NOT NULL, at INTEGER NOT NULL, " + ", ".join(
    f"{name} TEXT NOT NULL" for name in DIMENSIONS
)
_COLUMN_TYPES = ", ".join(f"{name} INTEGER NOT NULL" for name in COLUMNS)
_SCHEMA = [
    *(
        f"CREATE TABLE IF NOT EXISTS {table} ({_KEY_TYPES}, {_COLUMN_TYPES}, "
        f"PRIMARY KEY ({_KEY})) WITHOUT ROWID"
        for table in ("hours", "days")
    ),
    *(
        f"CREATE TABLE IF NOT EXISTS bounce_{table} ({_KEY_TYPES}, category TEXT NOT NULL, "
        f"recipients INTEGER NOT NULL, PRIMARY KEY ({_KEY}, category)) WITHOUT ROWID"
        for table in ("hours", "days")
    ),
    (
        "CREATE TABLE IF NOT EXISTS places (log TEXT PRIMARY KEY, segment INTEGER NOT NULL, "
        "offset INTEGER NOT NULL) WITHOUT ROWID"
    ),
    (
        "CREATE TABLE IF NOT EXISTS guard_slots (guard TEXT NOT NULL, tenant TEXT NOT NULL, "
        "campaign TEXT NOT NULL, slot INTEGER NOT NULL, part INTEGER NOT NULL, "
        "whole INTEGER NOT NULL, PRIMARY KEY (guard, tenant, campaign, slot)) WITHOUT ROWID"
    ),
    (
        "CREATE TABLE IF NOT EXISTS guard_trips (id TEXT PRIMARY KEY, guard TEXT NOT NULL, "
        "tenant TEXT NOT NULL, campaign TEXT NOT NULL, at REAL NOT NULL, until REAL NOT NULL, "
        "action TEXT NOT NULL, reason TEXT NOT NULL, place TEXT NOT NULL, "
        "done INTEGER NOT NULL) WITHOUT ROWID"
    ),
]
_ADD = {
    table: f"INSERT INTO {table} VALUES ({', '.join('?' * (6 + len(COLUMNS)))}) "  # noqa: S608
    f"ON CONFLICT ({_KEY}) DO UPDATE SET {_SUMS}"
    for table in ("hours", "days")
}
_ADD_BOUNCES = {
    table: f"INSERT INTO bounce_{table} VALUES (?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608
    f"ON CONFLICT ({_KEY}, category) DO UPDATE SET recipients = recipients + excluded.recipients"
    for table in ("hours", "days")
}
Names = tuple[str, str, str, str]


class Row(NamedTuple):
    """Of the finest kind: what an hour adds; ``names`` in the order of ``DIMENSIONS``."""

    hour: int
    names: Names
    added: list[int]


class Bounces(NamedTuple):
    hour: int
    names: Names
    category: str
    recipients: int


def _add_columns(database: sqlite3.Connection) -> None:
    """Counters that came later stand at the end."""
    for table in ("hours", "days"):
        known = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
        for name in COLUMNS:
            if name not in known:
                database.execute(f"ALTER TABLE {table} ADD {name} INTEGER NOT NULL DEFAULT 0")


class DatabaseTooNew(Exception):
    """Written by a later release; this one would spoil it."""


def open_database(path: str) -> sqlite3.Connection:
    """The database, with its tables; every change is in a transaction that begins explicitly."""
    found = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
    found.execute("PRAGMA journal_mode = WAL")
    # A power loss may take the last second back, and then its place in the logs too.
    found.execute("PRAGMA synchronous = NORMAL")
    found.execute("PRAGMA cache_size = -16384")
    version = int(found.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        found.close()
        raise DatabaseTooNew(f"{path} is of a later release: version {version}, this is {VERSION}")
    for statement in _SCHEMA:
        found.execute(statement)
    if version:
        _add_columns(found)
    found.execute(f"PRAGMA user_version = {VERSION}")
    return found


def narrowed(grouping: int, names: Names) -> Names:
    """``names`` without what this grouping does not tell apart."""
    told = GROUPINGS[grouping]
    tenant, campaign, provider, class_ = (
        name if dimension in told else "" for dimension, name in zip(DIMENSIONS, names, strict=True)
    )
    return tenant, campaign, provider, class_


def add(database: sqlite3.Connection, rows: Iterable[Row], bounces: Iterable[Bounces]) -> None:
    """Into every grouping, by hour and by day; in the caller's transaction."""
    hours: dict[tuple[int, int, Names], list[int]] = {}
    days: dict[tuple[int, int, Names], list[int]] = {}
    for hour, names, added in rows:
        for grouping in range(len(GROUPINGS)):
            narrow = narrowed(grouping, names)
            _sum(hours, (grouping, hour, narrow), added)
            _sum(days, (grouping, hour - hour % DAY_S, narrow), added)
    for table, sums in (("hours", hours), ("days", days)):
        database.executemany(_ADD[table], [(*key[:2], *key[2], *v) for key, v in sums.items()])
    by_hour: dict[tuple[int, int, Names, str], int] = {}
    by_day: dict[tuple[int, int, Names, str], int] = {}
    for hour, names, category, recipients in bounces:
        for grouping in range(len(GROUPINGS)):
            narrow = narrowed(grouping, names)
            key = (grouping, hour, narrow, category)
            by_hour[key] = by_hour.get(key, 0) + recipients
            key = (grouping, hour - hour % DAY_S, narrow, category)
            by_day[key] = by_day.get(key, 0) + recipients
    for table, counts in (("hours", by_hour), ("days", by_day)):
        values = [(*key[:2], *key[2], key[3], count) for key, count in counts.items()]
        database.executemany(_ADD_BOUNCES[table], values)


def _sum(
    sums: dict[tuple[int, int, Names], list[int]], key: tuple[int, int, Names], added: list[int]
) -> None:
    found = sums.get(key)
    if found is None:
        sums[key] = added.copy()
    else:
        for index, value in enumerate(added):
            found[index] += value


def forget(database: sqlite3.Connection, before: int) -> None:
    """Drop the hours and days that lie wholly before ``before``; in the caller's transaction."""
    for table, at in (("hours", before), ("days", before - before % DAY_S)):
        for grouping in range(len(GROUPINGS)):
            for name in (table, f"bounce_{table}"):
                database.execute(
                    f"DELETE FROM {name} WHERE grouping_ = ? AND at < ?",  # noqa: S608
                    (grouping, at),
                )


def rows_of_finest(database: sqlite3.Connection) -> int:
    """Without those of what found no row."""
    sql = "SELECT count(*) FROM hours WHERE grouping_ = ? AND tenant <> ?"
    return int(database.execute(sql, (FINEST, OTHER)).fetchone()[0])


def is_known(database: sqlite3.Connection, hour: int, names: Names) -> bool:
    """Whether the finest row is there already."""
    sql = "SELECT 1 FROM hours WHERE (grouping_, at, tenant, campaign, provider, class) = "
    found = database.execute(f"{sql}(?, ?, ?, ?, ?, ?)", (FINEST, hour, *names))
    return found.fetchone() is not None
