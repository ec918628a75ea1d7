"""The supervisor's book: what is granted is written down first, whoever asks and whatever dies."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from penstock.daemon.operations import BadFile
from penstock.daemon.warmup import Warmups
from penstock.daemon.warmup_file import WarmupFile
from penstock.daemon.warmup_orders import WarmupOrders
from penstock.events.metrics import Registry
from penstock.policy.load import load_policies
from penstock.policy.policies import Policies

NOW = 1_800_000_000.0  # 08:00 UTC
FILES = {
    "sources.toml": '[source.cold]\nipv4 = "192.0.2.1"\nwarmup = "p"\n'
    '[source.hot]\nipv4 = "192.0.2.2"\n',
    "providers/gmail.toml": 'mx = [".google.com"]\n',
    "warmup/p.toml": 'messages = [100, 200]\nhours = "daily 08:00-09:00 UTC"\nhour_max = 1\n'
    "transactional = 0\n",
}


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Bench:
    """Books over one directory, one after the other."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.clock, self.told = str(directory), Clock(), 0
        loaded = load_policies(FILES)
        assert isinstance(loaded, Policies)
        self.policies = loaded

    def book(self, workers: int = 1) -> Warmups:
        book = Warmups(
            self.directory, lambda: self.policies, self.clock, Registry(), workers, self._tell
        )
        book.load()
        return book

    def _tell(self) -> None:
        self.told += 1


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def ask(book: Warmups, rest: int = 0, first: int = 0, source: str = "cold", **more: Any) -> Any:
    asked = {"back": [], "results": [], "take": [[source, "gmail", first, rest]], **more}
    return book.handle(asked)["rows"][0]


def drain(book: Warmups) -> int:
    """All that goes now, as a worker asks for it."""
    total = 0
    while n := ask(book, 1000)["rest"]:
        total += n
    return total


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_the_whole_day_goes_and_no_more(bench: Bench, workers: int) -> None:
    book = bench.book(workers)
    first = ask(book, 1000)["rest"]
    assert first <= 100 / workers
    assert first + drain(book) == 100
    row = ask(book, 1)
    assert (row["rest"], row["later"]) == (0, 0)
    assert row["text"] == "warm-up day 1 of 2: 100 of 100 used"
    assert row["next_at"] == NOW + 86400


def test_what_was_granted_stays_granted_whatever_dies(bench: Bench) -> None:
    total = 0
    for workers in (1, 2, 3, 4, 5, 1, 2, 3):  # each ends as by kill -9
        total += ask(bench.book(workers), 20)["rest"]
    assert total + drain(bench.book()) == 100


def test_nothing_is_granted_that_cannot_be_written_down(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = bench.book()
    had = ask(book, 8)["rest"]
    with monkeypatch.context() as patch:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(WarmupFile, "save_today", full)
        row = ask(book, 8)
        assert row["rest"] == 0
        assert "cannot be written down" in row["text"]
    assert had + drain(book) == 100


def test_what_comes_back_is_for_others_but_not_for_another_day(bench: Bench) -> None:
    book = bench.book()
    row = ask(book, 25)
    assert drain(book) == 75
    back = ["cold", "gmail", row["day"], row["hour"], 0, 10]
    assert ask(book, 100, back=[back])["rest"] > 0
    assert drain(book) + 75 + 25 < 100 + 10
    bench.clock.now += 86400
    assert ask(book, 1, back=[back])["rest"] == 1
    assert drain(book) == 199


def test_a_source_without_a_plan_is_warm_and_before_loading_nobody_gets_anything(
    bench: Bench,
) -> None:
    assert ask(bench.book(), 5, source="hot")["warm"] is True
    book = Warmups(bench.directory, lambda: bench.policies, bench.clock, Registry())
    assert ask(book, 5)["rest"] == 0


def test_a_block_stops_the_day_tells_the_workers_and_survives(bench: Bench) -> None:
    book = bench.book()
    n = ask(book, 20)["rest"]
    blocked = [["cold", "gmail", [0, 0, 0, n, 0, 0]]]
    assert ask(book, 5, results=blocked)["rest"] == 0
    assert bench.told == 1
    book.tick()
    assert "stopped for today" in ask(bench.book(), 5)["text"]


def test_complaints_hold_the_next_day(bench: Bench) -> None:
    book = bench.book()
    assert drain(book) == 100
    assert ask(book, 1, results=[["cold", "gmail", [600, 0, 0, 0, 0, 0]]])["rest"] == 0
    orders = WarmupOrders(book, lambda: bench.policies, bench.clock)
    asyncio.run(orders.complained({"source": "cold", "provider": "gmail", "count": 3}))
    bench.clock.now += 86400
    book.tick()
    last = book.states["cold", "gmail"].history[-1]
    assert (last.verdict, last.reason[:25]) == ("hold", "3 of 600 complained about")


def test_a_damaged_file_is_no_empty_one(bench: Bench) -> None:
    ask(bench.book(), 5)
    Path(bench.directory, "warmup.json").write_text("{}")
    with pytest.raises(BadFile, match=r"warmup.json is damaged .*penstock warmup set"):
        bench.book()


def test_days_end_without_mail_too(bench: Bench) -> None:
    book = bench.book()
    drain(book)
    bench.clock.now += 86400
    book.tick()
    assert bench.book().states["cold", "gmail"].stage == 1
    assert bench.told == 1
