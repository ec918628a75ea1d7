"""When a sending window is open, by the clock of its zone; held against counting minutes."""

from __future__ import annotations

import re
from datetime import datetime
from math import inf
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.policy.window import DAYS, Window

MINUTE_S = 60
WEEK_MIN = 7 * 24 * 60


def at(text: str, zone: str = "Europe/Berlin") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


OFFICE = Window.parse("mon-fri 08:00-12:00,13:00-20:00 Europe/Berlin")


@pytest.mark.parametrize(
    ("now", "is_open"),
    [
        ("2026-11-20T08:00", True),  # a Friday
        ("2026-11-20T07:59:59", False),
        ("2026-11-20T12:00", False),
        ("2026-11-20T13:30", True),
        ("2026-11-20T20:00", False),
        ("2026-11-21T10:00", False),
        ("2026-11-22T10:00", False),
        ("2026-11-23T10:00", True),
    ],
)
def test_days_and_hours_are_those_of_the_zone(now: str, is_open: bool) -> None:
    assert OFFICE.open_at(at(now)) is is_open


def test_an_open_window_opens_now_and_says_when_it_closes() -> None:
    now = at("2026-11-20T09:15:30")
    assert OFFICE.next_open(now) == now
    assert OFFICE.closes_after(now) == at("2026-11-20T12:00")


def test_a_closed_window_opens_after_the_weekend() -> None:
    now = at("2026-11-20T20:00")
    assert OFFICE.next_open(now) == at("2026-11-23T08:00")
    assert OFFICE.closes_after(now) == now


def test_a_span_over_midnight_belongs_to_the_day_that_it_starts_on() -> None:
    night = Window.parse("fri,sun 22:00-02:00 Europe/Berlin")
    assert night.open_at(at("2026-11-20T23:00"))
    assert night.open_at(at("2026-11-21T01:59"))
    assert not night.open_at(at("2026-11-21T23:00"))
    assert night.open_at(at("2026-11-23T01:00"))  # Monday, of Sunday's span: over the week's end
    assert night.closes_after(at("2026-11-22T23:00")) == at("2026-11-23T02:00")


def test_a_window_over_the_end_of_the_week_closes_once() -> None:
    always_but_wednesday = Window.parse("thu-tue 00:00-24:00 UTC")
    now = at("2026-11-22T12:00", "UTC")
    assert always_but_wednesday.closes_after(now) == at("2026-11-25T00:00", "UTC")


def test_a_window_that_never_closes() -> None:
    assert Window.parse("daily 00:00-24:00 UTC").closes_after(0.0) == inf
    assert Window.parse("daily 00:00-12:00,12:00-24:00 UTC").closes_after(1e9) == inf


def test_the_clock_put_forward_leaves_out_the_hour_that_is_not_there() -> None:
    """Germany, 29 March 2026: after 01:59 comes 03:00."""
    gone = Window.parse("sun 02:15-02:45 Europe/Berlin")
    assert gone.next_open(at("2026-03-29T01:00")) == at("2026-04-05T02:15")
    half = Window.parse("sun 02:30-03:30 Europe/Berlin")
    assert half.next_open(at("2026-03-29T01:00")) == at("2026-03-29T03:00")


def test_the_clock_put_back_opens_twice() -> None:
    """Germany, 25 October 2026: 02:00 to 03:00 comes two times."""
    window = Window.parse("sun 02:15-02:45 Europe/Berlin")
    first = window.next_open(at("2026-10-25T00:30"))
    second = window.next_open(window.closes_after(first))
    assert second - first == 3600
    assert window.next_open(window.closes_after(second)) == at("2026-11-01T02:15")


@st.composite
def windows(draw: st.DrawFn) -> Window:
    days = draw(st.lists(st.sampled_from(DAYS), min_size=1, max_size=3))
    if draw(st.booleans()):
        days.append(f"{draw(st.sampled_from(DAYS))}-{draw(st.sampled_from(DAYS))}")
    hours = []
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, 1439))
        end = draw(st.integers(0, 1440).filter(lambda minute, start=start: minute != start))
        hours.append(f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}")
    zones = ["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]
    return Window.parse(f"{','.join(days)} {','.join(hours)} {draw(st.sampled_from(zones))}")


def by_counting(window: Window, start: int, *, wanted: bool) -> float:
    """The first whole minute from ``start`` at which the wall clock says so, told day by day and
    span by span from the text."""
    days, hours, zone = window.text.split()
    there = ZoneInfo(zone)
    named: set[int] = set()
    for part in days.split(","):
        first, _, last = part.partition("-")
        a, b = DAYS.index(first), DAYS.index(last or first)
        named |= {n % 7 for n in range(a, b + 1 if b >= a else b + 8)}
    spans = []
    for span in hours.split(","):
        a, b = (int(text[:2]) * 60 + int(text[3:]) for text in span.split("-"))
        spans.append((a, b))
    for n in range(2 * WEEK_MIN):
        now = datetime.fromtimestamp(start + n * MINUTE_S, there)
        minute, day = now.hour * 60 + now.minute, now.weekday()
        is_open = any(
            (a <= minute < b and day in named)
            if a < b
            else (minute >= a and day in named) or (minute < b and (day - 1) % 7 in named)
            for a, b in spans
        )
        if is_open is wanted:
            return start + n * MINUTE_S
    return inf


@settings(max_examples=40, deadline=None)
@given(
    window=windows(),
    # Around a change of the clock in Berlin, São Paulo (2018) or on Lord Howe (half an hour).
    start=st.sampled_from([1774746000, 1792890000, 1541304000, 1775314800, 1791039600, 0]).flatmap(
        lambda around: st.integers(max(0, around // 60 - 3000), around // 60 + 3000)
    ),
)
@example(window=Window.parse("sun 02:00-02:30 Australia/Lord_Howe"), start=1791039600 // 60 - 90)
def test_it_is_what_counting_minutes_finds(window: Window, start: int) -> None:
    now = start * MINUTE_S
    assert window.next_open(now) == by_counting(window, now, wanted=True)
    assert window.closes_after(now) == by_counting(window, now, wanted=False)
    assert window.open_at(now) is (window.next_open(now) == now)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mon-fri 08:00-20:00", "not a sending window: 'mon-fri 08:00-20:00'; write days, hours"),
        ("weekdays 08:00-20:00 UTC", "not a day: 'weekdays'"),
        ("mon 8-20 UTC", "not a span of hours: '8-20'"),
        ("mon 08:00-25:00 UTC", "no such time of day in '08:00-25:00'"),
        ("mon 08:60-10:00 UTC", "no such time of day in '08:60-10:00'"),
        ("mon 08:00-08:00 UTC", "'08:00-08:00' never opens; the whole day is \"00:00-24:00\""),
        ("mon 08:00-20:00 Europe/Berln", "unknown time zone 'Europe/Berln'; did you mean"),
        ("mon 08:00-20:00 Europe", "unknown time zone 'Europe'"),
        ("mon 08:00-20:00 ../../etc/passwd", "unknown time zone '../../etc/passwd'"),
    ],
)
def test_what_is_no_window_says_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        Window.parse(text)
