"""Several paces at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.schedule.pace import Pace
from penstock.schedule.strictest import strictest

rates = st.none() | st.floats(0.001, 1000)
paces = st.builds(Pace, rates, st.none() | st.integers(1, 100), st.floats(0, 2e9), st.text("ab"))


def test_each_part_is_taken_from_the_one_that_is_strictest_in_it() -> None:
    found = strictest([Pace(5.0, 2, 0.0, "slow"), Pace(None, 1, 0.0, "few"), Pace(7.0, 9, 30.0)])
    assert found == Pace(5.0, 1, 30.0, "slow; few")


def test_nothing_restricts_where_nobody_does() -> None:
    assert strictest([]) == strictest([Pace(), Pace()]) == Pace()
    assert strictest([Pace(), Pace(1.0, reason="x")]) == Pace(1.0, reason="x")


@given(st.lists(paces, max_size=5))
def test_it_allows_nothing_that_one_of_them_forbids(several: list[Pace]) -> None:
    found = strictest(several)
    for one in several:
        assert found.not_before >= one.not_before
        for name in ("rate_per_s", "connections"):
            most, value = getattr(one, name), getattr(found, name)
            assert most is None or (value is not None and value <= most)
