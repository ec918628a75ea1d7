"""A rate reads as people write it, and its text reads back as the same rate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.rate import Rate


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
