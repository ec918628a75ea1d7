"""Which reports on TLS are due, and what became of them: the rows of ``reports``.

A day's reports are planned once it is over. Each has a moment of its own, so that the domains of
one mail host do not hear from everybody at midnight (RFC 8460 section 4.1). A report is ``due``
until it is ``sent``, found to be ``unwanted``, or ``failed``.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from penstock.mail.tls_report import DAY_S

SETTLE_S = 600.0  # until what was seen before midnight has surely been counted
_PLANNED_DAYS = 2
_NOTE_CHARS_MAX = 300


class Due(NamedTuple):
    """``until``: when it is given up; ``done``: destinations that have got it."""

    day: int
    domain: str
    until: float
    tries: int
    done: tuple[str, ...]


class Shown(NamedTuple):
    """``state``: ``""`` where it is not planned yet."""

    domain: str
    succeeded: int
    failed: int
    state: str
    due_at: float
    note: str


def ended(now: float) -> int:
    """The first second of the day that is not over yet."""
    return int(now - SETTLE_S) // DAY_S * DAY_S


def plan(
    database: sqlite3.Connection,
    now: float,
    spread_s: float,
    retry_max_s: float,
    rng: random.Random,
) -> None:
    """Give the reports on days that are over their moments. A daemon that was away for longer
    leaves out the days before the last two."""
    today = ended(now)

    def moment(day: int) -> float:
        return max(now, day + DAY_S + SETTLE_S) + rng.uniform(0.0, spread_s)

    database.create_function("moment", 1, moment)
    database.execute(
        "INSERT INTO reports SELECT day, domain, 'due', due_at, due_at + ?, 0, '', '' FROM "
        "(SELECT day, domain, moment(day) AS due_at FROM "
        "(SELECT DISTINCT day, domain FROM sessions WHERE day >= ? AND day < ?) AS seen "
        "WHERE NOT EXISTS (SELECT 1 FROM reports AS r "
        "WHERE r.day = seen.day AND r.domain = seen.domain) LIMIT -1 OFFSET 0)",
        (retry_max_s, today - _PLANNED_DAYS * DAY_S, today),
    )


def due(database: sqlite3.Connection, now: float, limit: int) -> Sequence[Due]:
    rows = database.execute(
        "SELECT day, domain, until, tries, done FROM reports WHERE state = 'due' AND due_at <= ? "
        "ORDER BY due_at LIMIT ?",
        (now, limit),
    ).fetchall()
    return [
        Due(day, domain, until, tries, tuple(done.split()))
        for day, domain, until, tries, done in rows
    ]


def waiting(database: sqlite3.Connection) -> int:
    sql = "SELECT count(*) FROM reports WHERE state = 'due'"
    return int(database.execute(sql).fetchone()[0])


def ask_for(
    database: sqlite3.Connection, day: int, domain: str, now: float, retry_max_s: float
) -> Due | None:
    """Make the report due now, whatever became of it before; ``None`` where there is nothing to
    tell."""
    seen = "SELECT 1 FROM sessions WHERE day = ? AND domain = ? LIMIT 1"
    if database.execute(seen, (day, domain)).fetchone() is None:
        return None
    database.execute(
        "INSERT OR REPLACE INTO reports VALUES (?, ?, 'due', ?, ?, 0, '', '')",
        (day, domain, now + 60.0, now + retry_max_s),
    )
    return Due(day, domain, now + retry_max_s, 0, ())


def got(database: sqlite3.Connection, report: Due, destination: str) -> Due:
    """This destination has it; after a crash it does not get it again."""
    report = report._replace(done=(*report.done, destination))
    database.execute(
        "UPDATE reports SET done = ? WHERE day = ? AND domain = ?",
        ("\n".join(report.done), report.day, report.domain),
    )
    return report


def settle(
    database: sqlite3.Connection, report: Due, state: str, note: str, due_at: float = 0.0
) -> None:
    database.execute(
        "UPDATE reports SET state = ?, note = ?, due_at = ?, tries = tries + 1 "
        "WHERE day = ? AND domain = ?",
        (state, note[:_NOTE_CHARS_MAX], due_at, report.day, report.domain),
    )


def shown(
    database: sqlite3.Connection, day: int, domain: str, limit: int
) -> tuple[list[Shown], int]:
    """The domains of a day, those with most failures first, and how many there are."""
    where, params = "day = ?", [day, *([domain] if domain else [])]
    if domain:
        where += " AND domain = ?"
    rows = database.execute(
        "SELECT s.domain, s.succeeded, s.failed, coalesce(r.state, ''), coalesce(r.due_at, 0), "  # noqa: S608
        "coalesce(r.note, '') FROM (SELECT day, domain, sum(succeeded) AS succeeded, "
        f"sum(failed) AS failed FROM sessions WHERE {where} GROUP BY domain) AS s "
        "LEFT JOIN reports AS r USING (day, domain) "
        "ORDER BY s.failed DESC, s.succeeded DESC, s.domain LIMIT ?",
        (*params, limit),
    ).fetchall()
    count = f"SELECT count(DISTINCT domain) FROM sessions WHERE {where}"  # noqa: S608
    return [Shown(*row) for row in rows], int(database.execute(count, params).fetchone()[0])
