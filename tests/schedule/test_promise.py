"""Late-comers get what nobody was promised, and a promise holds."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.rate import Rate
from penstock.schedule.promise import Promise, earliest, room
from penstock.schedule.rate import Gcra

RATE = Rate(60, 60.0, 1)


def empty(rate: Rate = RATE, now: float = 0.0) -> Gcra:
    bucket = Gcra(rate)
    bucket.take(1000, now)
    return bucket


def test_without_promises_there_is_room_for_what_the_bucket_holds() -> None:
    assert room(Gcra(Rate(60, 60.0, 5)), [], 9, 0.0) == 5
    assert room(Gcra(Rate(60, 60.0, 5)), [], 3, 0.0) == 3
    assert room(empty(), [], 1, 0.0) == 0


def test_the_turns_of_those_who_wait_follow_each_other() -> None:
    bucket, promises = empty(), []
    for holder in range(4):
        due = earliest(bucket, promises, 1, 0.0, 0.0)
        promises.append(Promise(due, 1, holder))
    gaps = [b.due - a.due for a, b in pairwise(promises)]
    assert gaps == pytest.approx([bucket.step_s] * 3)


def test_a_token_is_free_if_the_next_comes_before_it_is_promised() -> None:
    bucket = Gcra(RATE)
    assert room(bucket, [Promise(2.0, 1, 7)], 1, 0.0) == 1
    assert room(bucket, [Promise(0.5, 1, 7)], 1, 0.0) == 0
    assert room(Gcra(Rate(60, 60.0, 5)), [Promise(0.5, 3, 7)], 9, 0.0) == 2


def test_a_gap_between_promises_is_used() -> None:
    bucket = empty()
    promises = [Promise(1.5, 1, 1), Promise(9.0, 1, 2)]
    due = earliest(bucket, promises, 1, 0.0, 0.0)
    assert 1.5 < due < 9.0 - bucket.step_s + 0.3
    assert earliest(bucket, promises, 1, 20.0, 0.0) == 20.0


@given(
    st.builds(Rate, st.integers(2, 100), st.just(60.0), st.integers(1, 10)),
    st.lists(st.tuples(st.integers(1, 3), st.floats(0, 30)), max_size=12),
    st.integers(1, 20),
)
def test_a_promise_that_was_made_is_kept_whatever_is_taken_between(
    rate: Rate, wishes: list[tuple[int, float]], greed: int
) -> None:
    bucket, promises = empty(rate), []
    for holder, (n, not_before) in enumerate(wishes):
        n = min(n, rate.burst)
        promises.append(Promise(earliest(bucket, promises, n, not_before, 0.0), n, holder))
        promises.sort()
    now = late = 0.0
    while promises:
        now = min(promises[0].due, now + 1.0)
        bucket.take(room(bucket, promises, greed, now), now)
        if now == promises[0].due:
            promise = promises.pop(0)
            late += 1e-5  # rounding; later than the one before, whose token came first
            assert bucket.take(promise.n, now + late)[0] == promise.n
