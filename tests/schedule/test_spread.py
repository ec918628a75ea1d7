"""Spread: by weight, evenly, and the same for a message every time."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from penstock.schedule.spread import Spread

WEIGHTS = st.lists(st.integers(1, 1000), min_size=1, max_size=12)


@given(WEIGHTS, st.integers(0, 2**48))
def test_a_message_gets_the_same_every_time(weights: list[int], number: int) -> None:
    assert Spread(weights).pick(number) == Spread(weights).pick(number)
    assert 0 <= Spread(weights).pick(number) < len(weights)


@given(WEIGHTS, st.integers(0, 2**40), st.sampled_from([1, 2, 3, 10, 16]))
def test_a_run_of_messages_is_shared_by_weight(weights: list[int], start: int, step: int) -> None:
    shares = Spread(weights)
    run = 2000
    got = Counter(shares.pick(start + n * step) for n in range(run))
    for choice, weight in enumerate(weights):
        assert abs(got[choice] - run * weight / sum(weights)) <= 40


@given(WEIGHTS, st.data(), st.integers(0, 2**48))
def test_where_one_is_out_only_its_own_move(weights: list[int], data, number: int) -> None:
    shares = Spread(weights)
    usable = data.draw(st.sets(st.integers(0, len(weights) - 1)))
    got = shares.pick_among(number, usable)
    if shares.pick(number) in usable:
        assert got == shares.pick(number)
    else:
        assert got in usable if usable else got is None


def test_what_one_leaves_is_shared_by_the_weights_of_the_rest() -> None:
    shares = Spread([6, 3, 1])
    moved = [n for n in range(30_000) if shares.pick(n) == 0]
    got = Counter(shares.pick_among(n, {1, 2}) for n in moved)
    assert abs(got[1] - len(moved) * 0.75) < len(moved) * 0.01
