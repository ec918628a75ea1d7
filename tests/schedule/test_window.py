"""Connections follow the queue's length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.schedule.window import connections_wanted


@pytest.mark.parametrize(
    ("queued", "limit", "expected"),
    [(0, 20, 0), (-1, 20, 0), (5, 0, 0), (1, 20, 1), (2, 50, 2), (30, 20, 10), (100, 20, 18),
     (10**6, 20, 20), (1, 10**6, 1)],
)  # fmt: skip
def test_the_curve(queued: int, limit: int, expected: int) -> None:
    assert connections_wanted(queued, limit) == expected


@given(st.integers(1, 10**7), st.integers(1, 10**4))
def test_at_least_one_never_more_than_the_limit_or_the_messages(queued: int, limit: int) -> None:
    wanted = connections_wanted(queued, limit)
    assert 1 <= wanted <= min(limit, queued)
    assert wanted <= connections_wanted(queued + 1, limit)
