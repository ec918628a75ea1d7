"""Counters by hour: exactly once, bounded, forgotten in time, and answered by what is asked."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.collector.conftest import event, write_events

from penstock.collector import tables
from penstock.collector.guarding import Guarding
from penstock.collector.providers import Providers
from penstock.collector.query import answer, question_of
from penstock.collector.shown import ShownTenants
from penstock.collector.statistics import Statistics, StatisticsConfig
from penstock.control import ControlError
from penstock.events import records
from penstock.events.metrics import Registry
from penstock.events.reading import LogReader, Position

NOW = 1_700_000_000.0  # 22:13:20
DAY = 86_400.0
ROOT = pathlib.Path(__file__).parents[2]


class Counting:
    """A Statistics on a file, with its clock and registry."""

    def __init__(self, path: pathlib.Path, **config: Any) -> None:
        self.now = NOW
        self.path = path / "statistics.sqlite3"
        self.registry = Registry()
        guarding = Guarding({}, self.registry, lambda id_, trip: None, lambda trip: None)
        self.statistics = Statistics(
            StatisticsConfig(str(self.path), **config),
            Providers(lambda domain: ""),
            guarding,
            ShownTenants(self.registry, 2),
            self.registry,
            lambda: self.now,
        )
        self.places = self.statistics.checkpoint()

    def take(self, *events: Any, log: str = "00", offset: int = 1) -> None:
        self.statistics.take(log, [(b"", one) for one in events], Position(1, offset))

    def ask(self, **params: Any) -> dict[str, Any]:
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            return answer(database, question_of(params, self.now))


@pytest.fixture
def counting(tmp_path: pathlib.Path) -> Iterable[Counting]:
    one = Counting(tmp_path)
    yield one
    one.statistics.close()


def mail(now: float = NOW, **fields: Any) -> Any:
    usual = {"tenant": "shop", "campaign": "spring", "provider": "gmail", "class_": "bulk"}
    return event(records.Delivered, now, **{**usual, **fields})


def test_counts_and_places_are_durable_together(counting: Counting, tmp_path) -> None:
    counting.take(mail(), mail(), offset=10)
    counting.take(mail(), log="01", offset=20)
    assert counting.statistics.flush() == {"00": Position(1, 10), "01": Position(1, 20)}
    counting.take(mail(), mail(), offset=30)  # and then it dies
    counting.statistics.close()
    again = Counting(tmp_path)
    assert again.places == {"00": Position(1, 10), "01": Position(1, 20)}
    assert again.ask()["total"]["delivered"] == 3
    again.take(mail(), mail(), offset=30)
    again.statistics.flush()
    assert again.ask()["total"]["delivered"] == 5
    again.statistics.close()


def test_after_a_failure_what_was_not_written_is_forgotten(counting: Counting) -> None:
    counting.take(mail(), offset=10)
    counting.statistics.flush()
    counting.take(mail(), offset=20)
    assert counting.statistics.checkpoint() == {"00": Position(1, 10)}
    counting.statistics.flush()
    assert counting.ask()["total"]["delivered"] == 1


def test_each_question_is_answered_by_its_names(counting: Counting) -> None:
    hour_before = NOW - 3600
    counting.take(
        mail(),
        mail(provider="yahoo"),
        mail(campaign="summer"),
        mail(hour_before, class_="transactional", campaign=""),
        mail(tenant="news", campaign="spring"),
        event(
            records.Bounced,
            NOW,
            tenant="shop",
            campaign="spring",
            provider="gmail",
            class_="bulk",
            category="bad-mailbox",
            suppress=True,
        ),
    )
    counting.statistics.flush()

    def rows(by: str, **params: Any) -> list[tuple[Any, ...]]:
        found = counting.ask(by=by, **params)["rows"]
        names = ("tenant", "campaign") if by == "campaign" else (by,)
        return [(*(row[name] for name in names), row["delivered"]) for row in found]

    assert rows("tenant") == [("shop", 4), ("news", 1)]
    assert rows("provider", tenant="shop") == [("gmail", 3), ("yahoo", 1)]
    assert rows("campaign", tenant="shop") == [
        ("shop", "spring", 2),
        ("shop", "", 1),
        ("shop", "summer", 1),
    ]
    assert rows("class", provider="gmail") == [("bulk", 3), ("transactional", 1)]
    assert [count for _, count in rows("hour")] == [1, 4]
    assert rows("tenant", campaign="spring", **{"class": "bulk"}) == [("shop", 2), ("news", 1)]
    assert rows("tenant", campaign="") == [("shop", 1)]
    assert rows("provider", tenant="nobody") == []
    whole = counting.ask(tenant="shop")
    assert whole["rows"] == []
    assert whole["total"]["bounces"] == {"bad-mailbox": 1}
    assert whole["total"]["rates"]["hard_bounced"] == 0.2
    limited = counting.ask(by="tenant", limit=1)
    assert (len(limited["rows"]), limited["more"]) == (1, 1)
    assert limited["total"]["delivered"] == 5
    assert counting.ask(since_s=3600)["total"]["delivered"] == 5, "whole hours"
    assert counting.ask(since_s=600)["total"]["delivered"] == 4


def test_bad_questions_are_refused_with_what_is_near(counting: Counting) -> None:
    with pytest.raises(ControlError, match='did you mean "tenant"'):
        counting.ask(by="tenent")
    for bad in ({"since_s": -1}, {"since_s": "x"}, {"limit": "x"}, {"since_s": float("nan")}):
        with pytest.raises(ControlError):
            counting.ask(**bad)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 70),  # hours ago
            st.sampled_from(["a", "b", ""]),
            st.sampled_from(["x", ""]),
            st.sampled_from(["p", "q"]),
            st.sampled_from(["bulk", "triggered"]),
        ),
        max_size=40,
    ),
    st.integers(1, 72),
    st.sampled_from(["", "hour", "tenant", "campaign", "provider", "class"]),
    st.dictionaries(
        st.sampled_from(["tenant", "campaign", "provider", "class"]),
        st.sampled_from(["a", "x", "p", "bulk", ""]),
    ),
)
def test_any_question_comes_to_what_adding_up_by_hand_does(
    tmp_path_factory, mails, since_h: int, by: str, only: dict[str, str]
) -> None:
    counting = Counting(tmp_path_factory.mktemp("counting"))
    names = ("tenant", "campaign", "provider", "class")
    for hours, *rest in mails:
        fields = dict(zip(("tenant", "campaign", "provider", "class_"), rest, strict=True))
        counting.take(event(records.Delivered, NOW - hours * 3600, **fields))
        if hours % 7 == 0:
            counting.statistics.flush()
    counting.statistics.flush()
    wanted: dict[tuple[Any, ...], int] = {}
    first = (NOW - since_h * 3600) // 3600
    for hours, *rest in mails:
        said = dict(zip(names, rest, strict=True)) | {"hour": (NOW - hours * 3600) // 3600 * 3600}
        if said["hour"] // 3600 >= first and all(said[name] == only[name] for name in only):
            key = {"": (), "campaign": (said["tenant"], said["campaign"])}.get(by, (said.get(by),))
            wanted[key] = wanted.get(key, 0) + 1
    found = counting.ask(by=by, since_s=since_h * 3600, limit=1000, **only)
    counting.statistics.close()
    assert found["total"]["delivered"] == sum(wanted.values())
    if by:
        keys = ("tenant", "campaign") if by == "campaign" else (by,)
        rows = {tuple(row[key] for key in keys): row["delivered"] for row in found["rows"]}
        assert rows == wanted


def test_what_finds_no_row_is_counted_under_other(tmp_path) -> None:
    counting = Counting(tmp_path, rows_max=3)
    counting.take(*[mail(campaign=f"c{n}") for n in range(10)], mail(campaign="c0"))
    counting.statistics.flush()
    rows = counting.ask(by="campaign")["rows"]
    assert {(row["campaign"], row["delivered"]) for row in rows} == {
        ("(other)", 7),
        ("c0", 2),
        ("c1", 1),
        ("c2", 1),
    }
    assert counting.ask()["total"]["delivered"] == 11
    series = counting.registry.snapshot()["series"]
    assert series["penstock_statistics_folded_total"] == [[[], 7]]
    assert series["penstock_statistics_rows"] == [[[], 3]]
    counting.statistics.close()


def test_old_hours_are_forgotten_and_make_room(tmp_path) -> None:
    counting = Counting(tmp_path, keep_s=2 * DAY, rows_max=2)
    counting.take(mail(), mail(campaign="b"))
    counting.statistics.flush()
    counting.now += 3 * DAY
    counting.take(mail(NOW), offset=2)  # too old to be counted at all
    counting.take(mail(counting.now, campaign="c"), offset=3)
    counting.statistics.flush()
    counting.take(mail(counting.now, campaign="d"), offset=4)
    counting.statistics.flush()
    assert counting.ask(since_s=10 * DAY)["total"]["delivered"] == 2
    names = {row["campaign"] for row in counting.ask(by="campaign", since_s=10 * DAY)["rows"]}
    assert names == {"c", "d"}
    counting.statistics.close()


def test_a_database_of_a_later_release_is_not_touched(tmp_path) -> None:
    Counting(tmp_path).statistics.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "statistics.sqlite3")) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(tables.DatabaseTooNew, match="later release"):
        Counting(tmp_path)


def test_a_database_from_before_there_was_a_counter_gets_it(tmp_path) -> None:
    first = Counting(tmp_path)
    first.take(mail(), mail(), offset=10)
    first.statistics.flush()
    first.statistics.close()
    with contextlib.closing(sqlite3.connect(first.path)) as database:
        for table in ("hours", "days"):
            database.execute(f"ALTER TABLE {table} DROP cancelled")
        database.execute("PRAGMA user_version = 1")
        database.commit()
    again = Counting(tmp_path)
    gone = event(records.Cancelled, NOW, tenant="shop", campaign="spring", class_="bulk")
    again.take(mail(), gone, offset=20)
    again.statistics.flush()
    total = again.ask()["total"]
    assert (total["delivered"], total["cancelled"], total["bounced"]) == (3, 1, 0)
    assert again.ask(by="tenant", since_s=10 * DAY)["rows"][0]["cancelled"] == 1
    again.statistics.close()


def test_the_largest_tenants_alone_have_metrics(tmp_path) -> None:
    counting = Counting(tmp_path)
    for tenant, count in (("a", 1), ("b", 1), ("c", 5), ("d", 6)):
        counting.take(*[mail(tenant=tenant)] * count)
    counting.statistics.flush()
    counting.now += 3601
    counting.statistics.flush()  # chosen anew
    for tenant in ("a", "c", "d"):
        counting.take(mail(counting.now, tenant=tenant))
    counting.statistics.flush()
    series = counting.registry.snapshot()["series"]
    rows = {labels[0]: value for labels, value in series["penstock_tenant_recipients_total"]}
    assert rows == {"a": 1, "b": 1, "c": 1, "d": 1, "other": 12}
    counting.statistics.close()


_COUNT_ON = """
import sys, time
from penstock.collector.guarding import Guarding
from penstock.collector.logs import Logs, Place
from penstock.collector.providers import Providers
from penstock.collector.runner import Runner, RunnerConfig
from penstock.collector.shown import ShownTenants
from penstock.collector.statistics import Statistics, StatisticsConfig
from penstock.events.metrics import Registry
spool = sys.argv[1]
registry = Registry()
guarding = Guarding({}, registry, lambda id_, trip: None, lambda trip: None)
statistics = Statistics(
    StatisticsConfig(spool + "/statistics.sqlite3", pending_max=50),
    Providers(lambda domain: ""), guarding, ShownTenants(registry, 2), registry,
)
logs = Logs(spool, 4096, 4)
config = RunnerConfig(0.01, 0.02, 1.0)
runner = Runner(statistics, Place(logs), config, lambda n: None, lambda: None)
print("on", flush=True)
while True:
    time.sleep(runner.turn())
"""


@pytest.mark.slow
def test_a_process_killed_at_any_moment_has_counted_each_event_once(tmp_path) -> None:
    count = 20_000
    told = [
        (
            records.Delivered,
            {
                "message": f"m{n}",
                "recipient": "a@x.test",
                "tenant": f"t{n % 40}",
                "campaign": f"c{n % 7}",
                "phase": "final",
            },
        )
        for n in range(count)
    ]
    write_events(tmp_path, "00", *told[: count // 2])
    write_events(tmp_path, "01", *told[count // 2 :])
    ends = {name: LogReader(str(tmp_path / "events" / name)).end() for name in ("00", "01")}
    kills, done = 0, False
    while not done:
        process = subprocess.Popen(
            [sys.executable, "-c", _COUNT_ON, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.02 + 0.013 * kills)
        done = _places(tmp_path) == ends
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        kills += 1
        assert kills < 200
    with contextlib.closing(sqlite3.connect(tmp_path / "statistics.sqlite3")) as database:
        found = answer(database, question_of({"by": "tenant", "limit": 100}, time.time()))
    assert kills > 2, "it was killed on the way"
    assert {row["delivered"] for row in found["rows"]} == {count // 40}
    assert found["total"]["delivered"] == found["total"]["sent"] == count


def _places(spool: pathlib.Path) -> dict[str, Position]:
    path = spool / "statistics.sqlite3"
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as database:
        return {
            log: Position(segment, offset)
            for log, segment, offset in database.execute("SELECT * FROM places")
        }
    return {}
