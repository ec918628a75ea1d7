"""All logs as one stream: in order, left and taken up again, with what is new and what is gone."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.events import records
from penstock.events.journal import Journal, JournalConfig
from penstock.events.reading import Position
from penstock.events.tail import BadCursor, Tail, Taken, places_of
from penstock.events.telling import read

_CLOCK = itertools.count(1_700_000_000)


class Logs:
    """Logs of a spool, written in turn; each event is a second after the one before."""

    def __init__(self, spool: Path) -> None:
        self.spool = str(spool)
        self._now = float(next(_CLOCK))
        self._journals: dict[str, Journal] = {}
        self.written: list[str] = []

    def write(self, log: str, count: int = 1) -> None:
        if log not in self._journals:
            directory = f"{self.spool}/events/{log}"
            self._journals[log] = Journal(directory, JournalConfig(), lambda: self._now)
        for _ in range(count):
            self._now += 1
            name = f"{log}-{len(self.written)}"
            self._journals[log].write(records.Admin, action=name)
            self.written.append(name)
        self._journals[log].sync()

    def tail(self, cursor: str = "", since: float | None = 0.0) -> Tail:
        return Tail(self.spool, places_of(cursor) if cursor else None, since)

    def close(self) -> None:
        for one in self._journals.values():
            one.close()


@pytest.fixture
def logs(tmp_path: Path) -> Any:
    made = Logs(tmp_path)
    yield made
    made.close()


def everything(line: bytes) -> bool:
    return True


def names(taken: Taken) -> list[str]:
    events = [read(one.line) for one in taken.found]
    return [event["action"] for event in events if event is not None]


def take(tail: Tail, events_max: int = 1000, read_max: int = 1 << 30) -> Taken:
    return tail.take(everything, events_max, 1 << 30, read_max)


def test_logs_come_together_in_the_order_of_time(logs: Logs) -> None:
    for log in ("00", "01", "00", "collector", "01", "00"):
        logs.write(log, 3)
    taken = take(logs.tail())
    assert names(taken) == logs.written
    assert taken.end


@pytest.mark.parametrize("size", [1, 2, 5])
def test_left_and_taken_up_again_at_every_event(logs: Logs, size: int) -> None:
    for log in ("00", "01", "00", "01"):
        logs.write(log, 3)
    got: list[str] = []
    cursor = ""
    for _ in range(100):
        tail = logs.tail(cursor)
        taken = take(tail, size)
        tail.close()
        got += names(taken)
        cursor = taken.cursor
        if taken.end:
            break
    assert got == logs.written
    middle = take(logs.tail(), 5).found[-1].cursor
    assert names(take(logs.tail(middle))) == logs.written[5:]


def test_what_is_looked_through_is_bounded_where_nothing_is_wanted(logs: Logs) -> None:
    logs.write("00", 50)
    tail = logs.tail()
    taken = tail.take(lambda line: False, 10, 1 << 20, 500)
    assert (taken.found, taken.end) == ([], False)
    assert 0 < places_of(taken.cursor)["00"].offset < 2000
    rest = tail.take(everything, 1000, 1 << 20, 1 << 20)
    assert names(rest) == logs.written[-len(rest.found) :]
    assert rest.end


def test_what_is_found_is_bounded_in_bytes(logs: Logs) -> None:
    logs.write("00", 50)
    taken = logs.tail().take(everything, 1000, 300, 1 << 20)
    assert 1 <= len(taken.found) < 10


def test_from_now_on(logs: Logs) -> None:
    logs.write("00", 3)
    tail = logs.tail(since=None)
    assert names(take(tail)) == []
    logs.write("00")
    logs.write("01")
    assert names(take(tail)) == logs.written[3:4]
    tail.look()  # a log that was not there before
    assert names(take(tail)) == logs.written[4:]


def test_a_damaged_line_is_passed_over_and_read_again_at_worst(logs: Logs) -> None:
    logs.write("00", 4)
    (path,) = Path(logs.spool, "events", "00").glob("*.ndjson")
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = b"\0" * (len(lines[1]) - 1) + b"\n"
    path.write_bytes(b"".join(lines))
    tail = logs.tail()
    taken = take(tail)
    assert names(taken) == [logs.written[n] for n in (0, 2, 3)]
    again = take(logs.tail(taken.found[0].cursor))
    assert set(names(again)) >= {logs.written[2], logs.written[3]}
    assert names(take(logs.tail(taken.found[-1].cursor))) == []


def test_closed_while_it_is_asked(logs: Logs) -> None:
    logs.write("00", 2)
    tail = logs.tail()
    tail.close()
    tail.look()
    assert take(tail) == ([], "", True, 0)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True),
        st.builds(Position, st.integers(0, 10**12 - 1), st.integers(0, 10**15 - 1)),
        min_size=1,
        max_size=80,
    )
)
def test_a_cursor_is_read_as_it_was_written(places: dict[str, Position]) -> None:
    text = "-".join(f"{log}.{at.segment}.{at.offset}" for log, at in places.items())
    assert places_of(text) == places


@pytest.mark.parametrize(
    "text", ["", "x", "00.1", "00.1.-2", "00.1.2-", "../x.1.2", "00.1.2" * 999]
)
def test_no_cursor(text: str) -> None:
    with pytest.raises(BadCursor):
        places_of(text)


@given(st.text(max_size=200))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    with contextlib.suppress(BadCursor):
        assert places_of(text)
