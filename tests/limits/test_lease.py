"""Leased tokens are spent at their time, lapse after it, and grow with use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.limits.lease import Lease, lease_tokens, shared_bucket
from penstock.policy.rate import Rate
from penstock.schedule.rate import slack_s

RATE = Rate(100, 1.0, 1)
LATE_S = slack_s(RATE)


@pytest.mark.parametrize(
    ("rate", "tokens"),
    [
        (Rate(20, 60.0, 1), 0),
        (Rate(15, 1.0, 1), 0),
        (Rate(16, 1.0, 1), 4),
        (Rate(6000, 60.0, 1), 25),
        (Rate(1000, 0.5, 1), 0),
        (Rate(1, 1.0, 1), 0),
    ],
)
def test_only_rates_too_high_to_ask_one_by_one_are_leased(rate: Rate, tokens: int) -> None:
    assert lease_tokens(rate) == tokens


def test_each_token_has_its_time() -> None:
    lease = Lease(RATE)
    lease.fill(4, -0.001, 0.01, 10.0)
    assert lease.ready(10.0) == 1
    lease.spend(1, 10.0)
    assert lease.ready(10.0) == 0
    assert lease.next_at() == pytest.approx(10.009)
    assert lease.ready(10.0191) == 2


def test_a_token_not_used_in_time_lapses() -> None:
    lease = Lease(RATE)
    lease.fill(4, 0.01, 0.01, 10.0)
    assert lease.ready(10.0405) == 2
    assert lease.ready(10.04 + LATE_S * 1.01) == 0
    assert lease.next_at() is None


def test_what_is_restored_lasts_as_long_as_any_other() -> None:
    lease = Lease(RATE)
    lease.restore(3, 10.0)
    assert lease.ready(10.0 + LATE_S * 0.9) == 3
    assert lease.ready(10.0 + LATE_S * 1.1) == 0
    lease.restore(10_000, 11.0)
    assert lease.ready(11.0) == lease_tokens(RATE)


def test_a_lease_doubles_while_it_is_used_and_starts_small_again() -> None:
    lease = Lease(RATE)
    asked = []
    for _ in range(7):
        asked.append(lease.ask(1))
        lease.fill(asked[-1], -10.0, 0.01, 10.0)
        lease.spend(asked[-1], 10.0)
    assert asked == [1, 2, 4, 8, 16, 25, 25]
    lease.fill(25, -10.0, 0.01, 10.0)
    assert lease.ready(11.0) == 0
    assert lease.ask(1) == 1
    assert lease.ask(9) == 9
    assert lease.ask(1000) == 25


def test_runs_are_bounded() -> None:
    lease = Lease(RATE)
    for _ in range(50):
        lease.fill(1, 0.001, 0.01, 10.0)
        lease.restore(1, 10.0)
    assert lease.ready(10.005) <= 8


@given(st.lists(st.tuples(st.floats(0, 0.1), st.integers(1, 30)), max_size=60))
def test_what_a_lease_spends_keeps_the_window(asks: list[tuple[float, int]]) -> None:
    bucket, lease = shared_bucket(RATE), Lease(RATE)
    now, used = 100.0, []
    for wait, want in asks:
        now += wait
        if not lease.ready(now) and lease.next_at() is None:
            offset_s = bucket.next_slot(now) - now
            tokens, _ = bucket.take(lease.ask(want), now)
            lease.fill(tokens, offset_s, bucket.step_s, now)
        n = min(want, lease.ready(now))
        lease.spend(n, now)
        used.append((now, n))
    for start, _ in used:
        inside = sum(n for at, n in used if start <= at < start + 1.0 - 1e-6)
        assert inside <= RATE.count + RATE.burst
