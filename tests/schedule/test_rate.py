"""A rate is kept in every window, used in full, and survives a clock that jumps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.rate import ByteRate, Rate
from penstock.schedule.rate import DEBT_MAX_S, ByteGcra, Gcra, slack_s

RATES = st.builds(
    Rate,
    st.integers(1, 500),
    st.sampled_from([1.0, 10.0, 60.0, 3600.0]),
    st.integers(1, 50),
)
ROUNDING_S = 1e-6


def most_in_a_window(times: list[tuple[float, int]], period_s: float) -> int:
    """The most tokens in any half-open window of ``period_s``; ``times`` in order."""
    most = inside = start = 0
    for at, n in times:
        inside += n
        while times[start][0] <= at - period_s + ROUNDING_S:
            inside -= times[start][1]
            start += 1
        most = max(most, inside)
    return most


@given(
    RATES,
    st.lists(st.tuples(st.floats(0, 1.5), st.integers(1, 60), st.booleans()), max_size=80),
)
def test_no_window_holds_more_than_count_and_burst(
    rate: Rate, asks: list[tuple[float, int, bool]]
) -> None:
    bucket = Gcra(rate)
    now, used = 1000.0, []
    for wait, want, prompt in asks:
        k, retry_at = bucket.take(want, now)
        assert 0 <= k <= want
        used.append((now, k))
        # Either exactly when told, or after any part of a period.
        now = retry_at if prompt and retry_at else now + wait * rate.period_s
    assert most_in_a_window(used, rate.period_s) <= rate.count + rate.burst - 1


@given(RATES, st.floats(0, 0.9))
def test_a_rate_is_used_in_full_by_one_who_comes_when_told_or_a_little_late(
    rate: Rate, late: float
) -> None:
    bucket = Gcra(rate)
    now, granted = 0.0, 0
    while now < 20 * rate.period_s:
        k, retry_at = bucket.take(1000, now)
        assert k > 0
        granted += k
        _, retry_at = bucket.take(1, now)
        assert retry_at > now
        now = retry_at + late * slack_s(rate)
    assert granted >= 0.95 * 20 * rate.count


@given(RATES, st.lists(st.floats(-10_000, 100), min_size=1, max_size=40))
def test_a_clock_that_steps_back_grants_nothing_twice_and_blocks_for_one_step(
    rate: Rate, steps: list[float]
) -> None:
    bucket = Gcra(rate)
    now, forward, granted = 1_000_000.0, 0.0, 0
    for step in steps:
        granted += bucket.take(10_000, now)[0]
        now += step
        forward += max(0.0, step)
    full = rate.burst + slack_s(rate) / bucket.step_s
    assert granted <= full + forward / bucket.step_s + 1e-3
    _, retry_at = bucket.peek(now)
    assert retry_at <= now + rate.period_s * (1 + 1e-9)
    assert bucket.take(1, max(now, retry_at))[0] == 1


def test_a_minutes_worth_is_spread_over_the_minute() -> None:
    bucket = Gcra(Rate(20, 60.0, 1))
    assert bucket.take(5, 0.0) == (1, 0.0)
    k, retry_at = bucket.take(5, 0.0)
    assert (k, retry_at) == (0, pytest.approx(3.0, rel=0.1))
    assert bucket.take(5, retry_at) == (1, 0.0)


def test_a_burst_passes_at_once_and_is_earned_again() -> None:
    bucket = Gcra(Rate(10, 10.0, 5))
    assert bucket.take(9, 100.0)[0] == 5
    assert bucket.peek(101.1) == (1, 0.0)
    assert bucket.take(9, 200.0)[0] == 5


def test_peek_takes_nothing_and_tells_when() -> None:
    bucket = Gcra(Rate(10, 10.0, 2))
    assert bucket.peek(0.0) == bucket.peek(0.0) == (2, 0.0)
    bucket.take(2, 0.0)
    n, at = bucket.peek(0.0)
    assert n == 0
    assert bucket.peek(at) == (1, 0.0)


def test_what_is_given_back_can_be_taken_again_but_no_more_than_a_full_bucket() -> None:
    bucket = Gcra(Rate(10, 10.0, 5))
    bucket.take(5, 0.0)
    bucket.give_back(3)
    assert bucket.take(9, 0.0)[0] == 3
    bucket.give_back(100)
    assert bucket.take(9, 0.0)[0] == 5


def test_idle_means_full_again() -> None:
    bucket = Gcra(Rate(10, 10.0, 5))
    assert bucket.idle(0.0)
    bucket.take(2, 0.0)
    assert not bucket.idle(1.9)
    assert bucket.idle(2.2)


def test_a_drained_bucket_starts_after_the_wait() -> None:
    bucket = Gcra(Rate(10, 10.0, 5))
    bucket.drain(100.0, 0.3)
    assert bucket.take(1, 100.0) == (0, pytest.approx(100.3))


def test_a_changed_rate_starts_with_the_tokens_that_were_left() -> None:
    old = Gcra(Rate(10, 10.0, 10))
    old.take(7, 0.0)
    faster = Gcra(Rate(100, 10.0, 50))
    faster.inherit(old, 0.0)
    assert faster.peek(0.0) == (3, 0.0)
    slower = Gcra(Rate(10, 60.0, 2))
    slower.inherit(old, 0.0)
    assert slower.peek(0.0) == (2, 0.0)
    empty = Gcra(Rate(1000, 1.0, 1000))
    old.take(9, 0.0)
    empty.inherit(old, 0.0)
    assert empty.peek(0.0)[0] <= 1000 * old.peek(0.0)[1]


def test_tokens_taken_ahead_are_used_at_their_time() -> None:
    bucket = Gcra(Rate(100, 1.0, 1), lead_s=0.25, late_s=1 / 64)
    assert bucket.next_slot(0.0) <= 0.0
    ahead, _ = bucket.take(1000, 0.0)
    assert 0.22 / bucket.step_s < ahead < 0.28 / bucket.step_s + 2
    assert 0.2 < bucket.next_slot(0.0) < 0.3
    assert bucket.take(1, 0.0)[0] == 0


def owing(size: int) -> ByteGcra:
    bucket = ByteGcra(ByteRate(1 << 20, 1.0, 1))
    assert bucket.take(1, 1000.0) == (1, 0.0)
    bucket.spend(size, 1000.0)
    return bucket


def test_fifty_mebibytes_at_one_a_second_block_for_fifty_seconds() -> None:
    bucket = owing(50 << 20)
    n, at = bucket.take(1, 1000.0)
    assert (n, at) == (0, pytest.approx(1050.0, abs=1.0))
    assert bucket.free(1000.0) < 0
    assert bucket.take(1, at - 0.1)[0] == 0
    assert bucket.take(1, at)[0] == 1


@pytest.mark.parametrize("jump", [-1e9, -1000.0, -60.0])
def test_no_clock_that_steps_back_blocks_for_longer_than_what_was_owed(jump: float) -> None:
    bucket = owing(50 << 20)
    at = bucket.peek(1000.0)[1]
    assert bucket.peek(1000.0 + jump)[1] <= at + jump + 1e-6
    worked_off = owing(50 << 20)
    worked_off.spend(1, 1049.0)
    assert worked_off.peek(1049.0 + jump)[1] <= 1049.0 + jump + 3.0


def test_debt_is_bounded_and_there_is_none_for_what_is_asked_for() -> None:
    bucket = Gcra(Rate(10, 10.0, 1), debt_max=5)
    bucket.spend(1000, 0.0)
    assert bucket.take(1, 0.0)[1] == pytest.approx(6.0, rel=0.03)
    plain = Gcra(Rate(10, 10.0, 1))
    plain.spend(1000, 0.0)
    assert plain.take(1, 0.0)[1] == pytest.approx(1.0, rel=0.03)
    slow = ByteGcra(ByteRate(1, 1.0, 1))
    slow.spend(10**12, 0.0)
    assert slow.take(1, 0.0)[1] == pytest.approx(DEBT_MAX_S, rel=0.01)


@given(
    st.integers(1, 10**6),
    st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 3)), min_size=1, max_size=40),
)
def test_bytes_keep_the_rate_but_for_the_last_message(
    count: int, messages: list[tuple[float, float]]
) -> None:
    bucket = ByteGcra(ByteRate(count, 1.0, count))
    now, spent, last = 0.0, 0, 0
    for seconds, wait in messages:
        size = int(seconds * count)
        k, retry_at = bucket.take(1, now)
        if not k:
            now = retry_at
            assert bucket.take(1, now)[0] == 1
        bucket.spend(size, now)
        spent, last = spent + size + 1, size
        assert spent - last <= count * (now + slack_s(bucket.rate)) + count + len(messages)
        now += wait
