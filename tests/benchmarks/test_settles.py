"""What the benchmark of a hidden limit makes of what the provider saw."""

from __future__ import annotations

from bench.settles import Minute, minutes, settled


def test_periods_are_counted_from_the_first_message() -> None:
    taken, put_off = [100.0, 159.9, 160.0, 220.0], [161.0, 300.0]
    assert minutes(taken, put_off, 100.0, 60.0, 2) == [Minute(2, 0), Minute(1, 1)]


def test_it_is_settled_where_the_limit_is_used_to_the_end_and_little_put_off() -> None:
    slow, wild, good = Minute(50, 0), Minute(100, 50), Minute(90, 1)
    assert settled([slow, wild, good, good, good], 100) == 2
    assert settled([good, good, good], 100) == 0
    assert settled([slow, slow, slow], 100) is None
    assert settled([slow, wild, wild, good], 100) is None  # one good period says nothing


def test_shares() -> None:
    assert Minute(97, 3).share_put_off == 0.03
    assert Minute(0, 0).share_put_off == 0.0
    assert Minute(50, 1).used(100) == 0.5
