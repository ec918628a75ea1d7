"""Sizes and durations, from text and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.units import duration_text, parse_duration, parse_size, size_text


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("64 MiB", 64 << 20),
        ("1KiB", 1024),
        ("1 kB", 1000),
        ("1.5 GiB", 3 << 29),
        ("0 B", 0),
        ("2mb", 2_000_000),
    ],
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300),
        ("5 min", 300),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("2d", 172800),
        ("0.5 h", 1800),
        ("1 day", 86400),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["64", "64 M", "lots", "-1 B", "64 XiB", ""])
def test_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@pytest.mark.parametrize("text", ["5", "soon", "-5m", "5 fortnights", "", "m5"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@given(st.integers(0, 1 << 50))
def test_a_size_reads_back(size_bytes: int) -> None:
    if size_bytes < 10**15:
        assert parse_size(size_text(size_bytes)) == size_bytes


@given(st.integers(0, 10**8))
def test_a_duration_reads_back(milliseconds: int) -> None:
    assert parse_duration(duration_text(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)
