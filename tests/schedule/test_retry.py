"""Delays grow, scatter, stop at the cap, and end with the message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.schedule.retry import NextAttempt, delay, next_attempt


@pytest.mark.parametrize(
    ("attempts", "expected"), [(1, 60.0), (2, 120.0), (3, 240.0), (7, 3600.0), (10_000, 3600.0)]
)
def test_the_delay_doubles_up_to_the_cap(attempts: int, expected: float) -> None:
    assert delay(attempts, 60.0, 2.0, 3600.0, 0.0, 0.5) == expected


def test_the_jitter_scatters_evenly_around_the_delay() -> None:
    assert [delay(1, 100.0, 2.0, 1e6, 0.2, u) for u in (0.0, 0.25, 0.5, 0.75)] == pytest.approx(
        [80.0, 90.0, 100.0, 110.0]
    )


def test_the_same_u_keeps_recipients_together() -> None:
    assert delay(3, 60.0, 2.0, 3600.0, 0.5, 0.3) == delay(3, 60.0, 2.0, 3600.0, 0.5, 0.3)


@given(
    st.integers(0, 5000),
    st.floats(0.1, 1e4),
    st.floats(1, 10),
    st.floats(1, 1e6),
    st.floats(0, 1),
    st.floats(0, 1, exclude_max=True),
)
def test_never_negative_never_above_the_cap(
    attempts: int, initial_s: float, factor: float, max_s: float, jitter: float, u: float
) -> None:
    assert 0.0 <= delay(attempts, initial_s, factor, max_s, jitter, u) <= max_s * (1 + 1e-9)


def test_at_the_cap_the_jitter_still_scatters() -> None:
    low, high = (delay(99, 60.0, 2.0, 3600.0, 0.1, u) for u in (0.0, 0.999))
    assert low < 3000 < 3590 < high <= 3600


@pytest.mark.parametrize(
    ("now", "delay_s", "not_before", "expected"),
    [
        (0.0, 60.0, 0.0, NextAttempt(60.0, False)),
        (0.0, 60.0, 90.0, NextAttempt(90.0, False)),
        (0.0, 600.0, 0.0, NextAttempt(100.0, False)),
        (0.0, 60.0, 5000.0, NextAttempt(100.0, False)),
        (100.0, 60.0, 0.0, NextAttempt(100.0, True)),
        (200.0, 0.0, 0.0, NextAttempt(100.0, True)),
    ],
)
def test_the_next_attempt_is_never_past_the_expiry(
    now: float, delay_s: float, not_before: float, expected: NextAttempt
) -> None:
    assert next_attempt(now, 100.0, delay_s, not_before) == expected
