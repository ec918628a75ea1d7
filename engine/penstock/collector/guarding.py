"""The guards at work: fed with events, kept in the database of the counters, and acted on.

What is decided is written in the same transaction as the counts that it rests on, and only then
acted on; it counts as done when the supervisor has suspended the mail and the event is in the log.
So a guard trips once, whatever dies when: what was begun is finished by the next process, under
the same id.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from hashlib import sha256

import structlog

from penstock.collector.counts import Group, second_of
from penstock.control import ControlError
from penstock.events.metrics import Registry
from penstock.feedback.guards import GuardWindow, Sender, Slot, Trip
from penstock.policy.guards import Guard

log = structlog.get_logger("penstock.guards")
_TRIPS_KEPT_S = 30 * 86_400.0
_TRIPS_SHOWN = 1000
_TIDY_S = 300.0
_NEVER = 1 << 62


class Guarding:
    """``tell(id, trip)`` writes the event down, ``pause(trip)`` has the supervisor suspend the
    mail; both may raise ``OSError`` or ``ControlError`` and are asked again then."""

    def __init__(
        self,
        guards: Mapping[str, Guard],
        registry: Registry,
        tell: Callable[[str, Trip], None],
        pause: Callable[[Trip], None],
        senders_max: int = 20_000,
    ) -> None:
        self._tell, self._pause, self._senders_max = tell, pause, senders_max
        self._wanted = guards
        self._windows: list[GuardWindow] = []
        self._begin(guards)
        self._tidy_after = 0.0
        self._new: list[tuple[str, Trip]] = []
        self._failing: set[str] = set()
        self._trips = registry.counter("penstock_guard_trips_total")
        guarded = registry.gauge("penstock_guarded")
        registry.on_snapshot(lambda: guarded.set(sum(map(len, self._windows))))
        self._folded = registry.counter("penstock_guard_folded_total")

    def change(self, guards: Mapping[str, Guard]) -> None:
        """After a reload, from any thread: they hold from the next look on."""
        self._wanted = guards

    def load(self, database: sqlite3.Connection, now: float) -> None:
        """As the last transaction left it."""
        self._new.clear()
        self._begin(self._wanted)
        slots: dict[str, list[Slot]] = {}
        found = database.execute(
            "SELECT guard, tenant, campaign, slot, part, whole FROM guard_slots"
        )
        for identity, tenant, campaign, slot, part, whole in found:
            slots.setdefault(identity, []).append(Slot(Sender(tenant, campaign), slot, part, whole))
        trips = [trip for _, trip in trips_of(database, since=now - _TRIPS_KEPT_S)]
        for window in self._windows:
            own = [trip for trip in trips if trip.guard == window.guard.name]
            window.load(slots.get(window.identity, ()), own)

    def count(self, group: Group, times: int) -> None:
        """So many events that are alike; ``ValueError`` where their time is none."""
        moment, tenant, campaign, _, _, what = group
        if not what.guards:
            return
        at = float(second_of(moment))
        for window in self._windows:
            for metric, part, whole in what.guards:
                if metric == window.guard.metric:
                    sender = window.sender(tenant, campaign)
                    window.add(sender, at, part * times, whole * times)

    def look(self, now: float) -> list[Trip]:
        """What trips now; to be saved before it is acted on."""
        if self._wanted is not self._current:
            self._take_over(self._wanted)
        for window in self._windows:
            for trip in window.look(now):
                named = f"{window.identity}/{trip.sender.tenant}/{trip.sender.campaign}/{now:.3f}"
                self._new.append((f"g{sha256(named.encode()).hexdigest()[:24]}", trip))
            self._folded.inc((), window.forgotten)
            window.forgotten = 0
        return [trip for _, trip in self._new]

    def save(self, database: sqlite3.Connection, now: float) -> None:
        """In the caller's transaction."""
        for window in self._windows:
            first = window.first_slot(now)
            database.executemany(
                "INSERT OR REPLACE INTO guard_slots VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (window.identity, *one.sender, one.slot, one.part, one.whole)
                    for one in window.dirty()
                    if one.slot >= first
                ],
            )
        if now >= self._tidy_after:
            self._tidy(database, now)
        database.executemany(
            "INSERT OR IGNORE INTO guard_trips VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            [
                (id_, t.guard, *t.sender, t.at, t.until, t.action, t.reason, t.where)
                for id_, t in self._new
            ],
        )

    def saved(self) -> None:
        self._new.clear()
        for window in self._windows:
            window.saved()

    def act(self, database: sqlite3.Connection, now: float) -> None:
        """Do what was decided and not done yet."""
        for id_, trip in trips_of(database, undone=True):
            try:
                over = trip.action == "pause" and trip.until <= now
                if trip.action == "pause" and not over:
                    self._pause(trip)
                self._tell(id_, trip)
            except (OSError, ControlError, TimeoutError) as error:
                if id_ not in self._failing:
                    self._failing.add(id_)
                    log.error("a guard cannot act yet", guard=trip.guard, reason=str(error))
                continue
            self._failing.discard(id_)
            database.execute("UPDATE guard_trips SET done = 1 WHERE id = ?", (id_,))
            self._trips.inc((trip.guard, trip.action))
            log.warning(
                "guard tripped",
                guard=trip.guard,
                tenant=trip.sender.tenant,
                campaign=trip.sender.campaign,
                action=trip.action,
                reason=trip.reason,
                where=trip.where,
            )

    # inside

    def _tidy(self, database: sqlite3.Connection, now: float) -> None:
        """What no window reaches any more, and what guards counted that are gone."""
        firsts = {window.identity: window.first_slot(now) for window in self._windows}
        for (identity,) in database.execute("SELECT DISTINCT guard FROM guard_slots").fetchall():
            sql = "DELETE FROM guard_slots WHERE guard = ? AND slot < ?"
            database.execute(sql, (identity, firsts.get(identity, _NEVER)))
        database.execute("DELETE FROM guard_trips WHERE at < ?", (now - _TRIPS_KEPT_S,))
        for window in self._windows:
            window.tidy(now)
        self._tidy_after = now + _TIDY_S

    def _begin(self, guards: Mapping[str, Guard]) -> None:
        self._current = guards
        self._windows = [GuardWindow(guard, self._senders_max) for guard in guards.values()]

    def _take_over(self, guards: Mapping[str, Guard]) -> None:
        """Counts go on where a guard means the same by them."""
        before = {window.identity: window for window in self._windows}
        self._begin(guards)
        for index, window in enumerate(self._windows):
            kept = before.get(window.identity)
            if kept is not None:
                kept.guard = window.guard
                self._windows[index] = kept


def trips_of(
    database: sqlite3.Connection, since: float = 0.0, *, undone: bool = False
) -> list[tuple[str, Trip]]:
    """The trips from ``since`` on, the last first, each with its id."""
    found = database.execute(
        "SELECT id, guard, tenant, campaign, at, until, action, reason, place FROM guard_trips "
        "WHERE at >= ? AND done <= ? ORDER BY at DESC LIMIT ?",
        (since, 0 if undone else 1, _TRIPS_SHOWN),
    )
    return [
        (id_, Trip(guard, Sender(tenant, campaign), *rest))
        for id_, guard, tenant, campaign, *rest in found
    ]
