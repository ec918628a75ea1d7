"""Guards at work: decided with the counts, acted on once, and finished by the next process."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import pytest
from tests.collector.conftest import event

from penstock.collector.guarding import Guarding, trips_of
from penstock.collector.providers import Providers
from penstock.collector.shown import ShownTenants
from penstock.collector.statistics import Statistics, StatisticsConfig
from penstock.collector.tables import open_database
from penstock.control import ControlError
from penstock.events import records
from penstock.events.metrics import Registry
from penstock.events.reading import Position
from penstock.feedback.guards import Trip
from penstock.policy.guards import Guard

NOW = 1_700_000_000.0
GUARD = Guard("bounces", "hard-bounces", 0.03, sample_min=100, action="pause", for_s=3600.0)


class Guarded:
    """Statistics with guards, whose supervisor may be away."""

    def __init__(self, path: pathlib.Path, *guards: Guard) -> None:
        self.told: list[tuple[str, Trip]] = []
        self.paused: list[Trip] = []
        self.away = False
        self.now = NOW
        self.path = str(path / "s.sqlite3")
        self.registry = Registry()
        self.guarding = Guarding(
            MappingProxyType({one.name: one for one in guards or (GUARD,)}),
            self.registry,
            lambda id_, trip: self.told.append((id_, trip)),
            self._pause,
            50,
        )
        self.statistics = Statistics(
            StatisticsConfig(self.path),
            Providers(lambda domain: ""),
            self.guarding,
            ShownTenants(self.registry, 2),
            self.registry,
            lambda: self.now,
        )
        self.statistics.checkpoint()
        self._offset = 0

    def _pause(self, trip: Trip) -> None:
        if self.away:
            raise ControlError("unavailable", "an upgrade is under way")
        self.paused.append(trip)

    def mail(self, delivered: int, dead: int, flush: bool = True, **fields: Any) -> None:
        whose = {"tenant": "shop", "campaign": "spring", **fields}
        events = [event(records.Delivered, self.now, **whose)] * delivered
        bounce = {"phase": "rcpt", "suppress": True, "category": "bad-mailbox", **whose}
        events += [event(records.Bounced, self.now, **bounce)] * dead
        self._offset += 1
        self.statistics.take("00", [(b"", one) for one in events], Position(1, self._offset))
        if flush:
            self.statistics.flush()


@pytest.fixture
def guarded(tmp_path) -> Iterator[Guarded]:
    one = Guarded(tmp_path)
    yield one
    one.statistics.close()


def test_a_trip_suspends_and_tells_once(guarded: Guarded) -> None:
    guarded.mail(97, 3)
    assert guarded.paused == []
    guarded.mail(0, 1)
    assert [trip.selector() for trip in guarded.paused] == [
        {"tenant": "shop", "campaign": "spring"}
    ]
    ((id_, trip),) = guarded.told
    assert id_.startswith("g")
    assert trip.reason.startswith("hard-bounces 3.9604% of 101 delivered or bounced")
    guarded.mail(0, 50)
    guarded.statistics.flush()
    assert (len(guarded.paused), len(guarded.told)) == (1, 1)
    series = guarded.registry.snapshot()["series"]
    assert series["penstock_guard_trips_total"] == [[["bounces", "pause"], 1]]
    assert series["penstock_guarded"] == [[[], 1]]


def test_what_cannot_be_done_yet_is_done_later_under_the_same_id(guarded, tmp_path) -> None:
    guarded.away = True
    guarded.mail(50, 50)
    guarded.statistics.flush()
    assert guarded.told == []
    undone = trips_of(open_database(guarded.path), undone=True)
    guarded.statistics.close()  # and the process dies
    again = Guarded(tmp_path)
    again.now += 10
    again.statistics.flush()
    assert again.told == undone
    assert again.paused == [trip for _, trip in undone]
    again.mail(0, 100)
    assert len(again.told) == 1, "a restart remembers that it has tripped"
    again.statistics.close()


def test_a_pause_that_would_be_over_is_told_and_not_begun(guarded: Guarded) -> None:
    guarded.away = True
    guarded.mail(50, 50)
    guarded.away = False
    guarded.now += 3601
    guarded.statistics.flush()
    assert (guarded.paused, len(guarded.told)) == ([], 1)


def test_counts_go_on_after_a_restart(guarded: Guarded, tmp_path) -> None:
    guarded.mail(90, 3)
    guarded.mail(0, 50, flush=False)  # lost with the process: read again by the next
    guarded.statistics.close()
    again = Guarded(tmp_path)
    again.mail(6, 0)
    assert again.told == []
    again.mail(0, 1)
    assert len(again.told) == 1
    assert "of 100 " in again.told[0][1].reason
    again.statistics.close()


def test_a_reload_keeps_the_counts_of_guards_that_mean_the_same(guarded: Guarded) -> None:
    guarded.mail(90, 9)
    stricter = Guard("bounces", "hard-bounces", 0.01, sample_min=50, action="tell")
    other = Guard("fresh", "hard-bounces", 0.01, sample_min=10, per="tenant")
    guarded.guarding.change({"bounces": stricter, "fresh": other})
    guarded.statistics.flush()
    assert guarded.told == [], "a guard looks at a sender when there is news of it"
    guarded.mail(1, 0)
    assert [trip.guard for _, trip in guarded.told] == ["bounces"]
    guarded.guarding.change({})
    guarded.mail(0, 100)
    assert len(guarded.told) == 1


def test_old_slots_and_those_of_guards_that_are_gone_are_removed(guarded: Guarded) -> None:
    guarded.mail(10, 0)
    database = open_database(guarded.path)
    assert database.execute("SELECT count(*) FROM guard_slots").fetchone() == (1,)
    guarded.now += 7200
    guarded.mail(10, 0, campaign="autumn")
    assert database.execute("SELECT campaign FROM guard_slots").fetchall() == [("autumn",)]
    guarded.guarding.change({})
    guarded.now += 400
    guarded.mail(10, 0)
    assert database.execute("SELECT count(*) FROM guard_slots").fetchone() == (0,)
    database.close()
