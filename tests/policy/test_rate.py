"""A rate reads as people write it, and its text reads back as the same rate."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.rate import ByteRate, Rate


@pytest.mark.parametrize(
    ("text", "count", "period_s", "burst"),
    [
        ("100/min", 100, 60.0, 1),
        ("100/min burst 20", 100, 60.0, 20),
        ("100/s", 100, 1.0, 100),
        ("6000/min", 6000, 60.0, 100),
        ("10/sec", 10, 1.0, 10),
        ("1/h", 1, 3600.0, 1),
        ("50000/d", 50000, 86400.0, 1),
        ("200/day", 200, 86400.0, 1),
        ("5/10min", 5, 600.0, 1),
        (" 1_000 / MIN ", 1000, 60.0, 16),
    ],
)
def test_rates_as_people_write_them(text: str, count: int, period_s: float, burst: int) -> None:
    assert Rate.parse(text) == Rate(count, period_s, burst)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0/min", "a rate of 0 would never send"),
        ("5/min burst 0", "a burst of 0 would never send"),
        ("5/0min", "a period longer than 0"),
        ("5/fortnight", "unknown unit 'fortnight' in the rate; units: s, min, h, day"),
        ("fast", "not a rate: 'fast'"),
        ("5", "not a rate"),
        ("-5/min", "not a rate"),
        ("5/min burst", "not a rate"),
        ("1.5/min", "not a rate"),
        ("9999999999999/s", "counts to"),
        ("5/s burst 9999999999999", "counts to"),
    ],
)
def test_what_is_no_rate_says_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        Rate.parse(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "text", ["100/min", "100/min burst 20", "5/10min", "1/s", "7/90s", "2/2day"]
)
def test_the_shortest_text(text: str) -> None:
    assert str(Rate.parse(text)) == text


def test_equal_rates_are_equal_however_written() -> None:
    assert Rate.parse("60/min burst 1") == Rate.parse("60/60s")
    assert Rate.parse("60/min").per_s == 1.0


@given(
    st.integers(1, 10**9),
    st.integers(1, 10**5),
    st.sampled_from(["s", "min", "h", "d"]),
    st.none() | st.integers(1, 10**6),
)
def test_text_and_back(count: int, number: int, unit: str, burst: int | None) -> None:
    rate = Rate.parse(f"{count}/{number}{unit}" + (f" burst {burst}" if burst else ""))
    assert Rate.parse(str(rate)) == rate


@given(st.text(alphabet="0123456789/ smindhburst_-.", max_size=30))
def test_any_text_is_a_rate_or_a_value_error(text: str) -> None:
    try:
        rate = Rate.parse(text)
    except ValueError:
        return
    assert rate.count >= 1
    assert rate.burst >= 1
    assert rate.period_s >= 1


@pytest.mark.parametrize(
    ("text", "count", "period_s", "burst", "written"),
    [
        ("5 MiB/s", 5 << 20, 1.0, 5 << 20, "5 MiB/s"),
        ("300MiB/min", 300 << 20, 60.0, 5 << 20, "300 MiB/min"),
        ("1 GiB / 5 min burst 10 MiB", 1 << 30, 300.0, 10 << 20, "1 GiB/5min burst 10 MiB"),
        ("1.5 kB/s", 1500, 1.0, 1500, "1500 B/s"),
    ],
)
def test_a_rate_of_bytes(text: str, count: int, period_s: float, burst: int, written: str) -> None:
    rate = ByteRate.parse(text)
    assert (rate.count, rate.period_s, rate.burst) == (count, period_s, burst)
    assert str(rate) == written
    assert ByteRate.parse(written) == rate
    assert rate != Rate(count, period_s, burst)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("5 MiB", "not a rate of bytes: '5 MiB'; write \"5 MiB/s\""),
        ("5/s", "a size needs a unit"),
        ("5 MiB/fortnight", "unknown unit 'fortnight' in the rate; units: s, min, h, day"),
        ("0 MiB/s", "a rate of 0 would never send"),
        ("0.1 B/s", "a rate of 0 would never send"),
        ("1 MiB/s burst 0 B", "a burst of 0 would never send"),
        ("1 MiB/0s", "a rate needs a period longer than 0"),
        ("2 TiB/s", "a rate counts to 1000000000000 at most"),
    ],
)
def test_what_is_no_rate_of_bytes_says_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        ByteRate.parse(text)
