"""The tables of ``tls-reports.sqlite3``: what was seen of TLS by day and domain, and which reports
on it are due, sent, or not wanted.

A policy is stored once, by its digest. ``sessions`` has the sums; ``failures`` tells those that
failed apart, as far as there is room. All of it is added in one transaction with the place in the
logs that it comes to.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple

from penstock.collector.tables import DatabaseTooNew
from penstock.events.reading import Position
from penstock.mail.tls_report import DAY_S, Failure, Policy

FILE = "tls-reports.sqlite3"
VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS places (
    log TEXT PRIMARY KEY, segment INTEGER NOT NULL, offset INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS policies (
    digest TEXT PRIMARY KEY, policy TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (
    day INTEGER NOT NULL, domain TEXT NOT NULL, digest TEXT NOT NULL,
    succeeded INTEGER NOT NULL, failed INTEGER NOT NULL,
    PRIMARY KEY (day, domain, digest)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failures (
    day INTEGER NOT NULL, domain TEXT NOT NULL, digest TEXT NOT NULL,
    result TEXT NOT NULL, mx TEXT NOT NULL, address TEXT NOT NULL,
    source TEXT NOT NULL, reason TEXT NOT NULL, sessions INTEGER NOT NULL,
    PRIMARY KEY (day, domain, digest, result, mx, address, source, reason)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reports (
    day INTEGER NOT NULL, domain TEXT NOT NULL,
    state TEXT NOT NULL,  -- due, sent, unwanted, failed
    due_at REAL NOT NULL, until REAL NOT NULL, tries INTEGER NOT NULL,
    done TEXT NOT NULL,  -- the destinations that have got it, one a line
    note TEXT NOT NULL,
    PRIMARY KEY (day, domain)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS reports_due ON reports (state, due_at);
"""


class Seen(NamedTuple):
    """What is counted together; a failure's fields are empty where it succeeded. ``policy``: as
    :func:`policy_text` makes it."""

    day: int
    domain: str
    policy: str
    result: str = ""
    mx: str = ""
    address: str = ""
    source: str = ""
    reason: str = ""


def policy_text(kind: str, text: Iterable[str], mx: Iterable[str]) -> str:
    return json.dumps([kind, list(text), list(mx)], ensure_ascii=False)


def open_database(path: str) -> sqlite3.Connection:
    """The database, with its tables; every change is in a transaction that begins explicitly."""
    found = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
    found.execute("PRAGMA journal_mode = WAL")
    # A power loss may take the last second back, and then its place in the logs too.
    found.execute("PRAGMA synchronous = NORMAL")
    version = int(found.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        found.close()
        raise DatabaseTooNew(f"{path} is of a later release: version {version}, this is {VERSION}")
    found.executescript(_SCHEMA)
    found.execute(f"PRAGMA user_version = {VERSION}")
    return found


def places(database: sqlite3.Connection) -> dict[str, Position]:
    found = database.execute("SELECT log, segment, offset FROM places").fetchall()
    return {log: Position(segment, offset) for log, segment, offset in found}


def keep_places(database: sqlite3.Connection, positions: Mapping[str, Position]) -> None:
    database.executemany(
        "INSERT OR REPLACE INTO places VALUES (?, ?, ?)",
        [(log, *position) for log, position in positions.items()],
    )


def add(
    database: sqlite3.Connection,
    rows: Mapping[Seen, int],
    domains: dict[int, int],
    domains_max: int,
    failures_max: int,
) -> int:
    """In the caller's transaction; the sessions for whose domain there was no room. ``domains``:
    how many each day has, as far as known; to be thrown away where the transaction fails."""
    dropped = 0
    for seen, sessions in rows.items():
        if not _is_known(database, seen):
            if seen.day not in domains:
                domains[seen.day] = _domains(database, seen.day)
            if domains[seen.day] >= domains_max:
                dropped += sessions
                continue
            domains[seen.day] += 1
        digest = sha256(seen.policy.encode()).hexdigest()[:20]
        database.execute("INSERT OR IGNORE INTO policies VALUES (?, ?)", (digest, seen.policy))
        failed = sessions if seen.result else 0
        database.execute(
            "INSERT INTO sessions VALUES (?, ?, ?, ?, ?) ON CONFLICT (day, domain, digest) "
            "DO UPDATE SET succeeded = succeeded + excluded.succeeded, "
            "failed = failed + excluded.failed",
            (seen.day, seen.domain, digest, sessions - failed, failed),
        )
        if failed:
            _add_failure(database, seen, digest, sessions, failures_max)
    return dropped


def _is_known(database: sqlite3.Connection, seen: Seen) -> bool:
    sql = "SELECT 1 FROM sessions WHERE day = ? AND domain = ? LIMIT 1"
    return database.execute(sql, (seen.day, seen.domain)).fetchone() is not None


def _domains(database: sqlite3.Connection, day: int) -> int:
    sql = "SELECT count(DISTINCT domain) FROM sessions WHERE day = ?"
    return int(database.execute(sql, (day,)).fetchone()[0])


def _add_failure(
    database: sqlite3.Connection, seen: Seen, digest: str, sessions: int, failures_max: int
) -> None:
    """Told apart while there is room, else by the kind of failure only."""
    key = (seen.day, seen.domain, digest, *seen[3:])
    known = database.execute(
        "SELECT 1 FROM failures WHERE (day, domain, digest, result, mx, address, source, reason) "
        "= (?, ?, ?, ?, ?, ?, ?, ?)",
        key,
    ).fetchone()
    if known is None:
        sql = "SELECT count(*) FROM failures WHERE day = ? AND domain = ?"
        if database.execute(sql, (seen.day, seen.domain)).fetchone()[0] >= failures_max:
            key = (seen.day, seen.domain, digest, seen.result, "", "", "", "")
    database.execute(
        "INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (day, domain, digest, result, mx, address, source, reason) "
        "DO UPDATE SET sessions = sessions + excluded.sessions",
        (*key, sessions),
    )


def forget(database: sqlite3.Connection, before: int) -> None:
    """Drop the days that lie before ``before``; in the caller's transaction."""
    for table in ("sessions", "failures", "reports"):
        database.execute(
            f"DELETE FROM {table} WHERE day < ?",  # noqa: S608
            (before - before % DAY_S,),
        )
    database.execute(
        "DELETE FROM policies WHERE digest NOT IN (SELECT DISTINCT digest FROM sessions)"
    )


def policies_of(database: sqlite3.Connection, day: int, domain: str) -> tuple[Policy, ...]:
    """What a report on this domain and day tells."""
    found = []
    rows = database.execute(
        "SELECT digest, policy, succeeded, failed FROM sessions JOIN policies USING (digest) "
        "WHERE day = ? AND domain = ? ORDER BY digest",
        (day, domain),
    ).fetchall()
    for digest, policy, succeeded, failed in rows:
        kind, text, mx = json.loads(policy)
        failures = database.execute(
            "SELECT result, mx, address, source, reason, sessions FROM failures "
            "WHERE day = ? AND domain = ? AND digest = ? "
            "ORDER BY sessions DESC, result, mx, address, source, reason",
            (day, domain, digest),
        ).fetchall()
        told = tuple(Failure(*row) for row in failures)
        found.append(Policy(kind, tuple(text), tuple(mx), succeeded, failed, told))
    return tuple(found)
