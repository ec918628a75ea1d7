"""The table of one process: bounded, forgetful only where forgetting changes nothing."""

from __future__ import annotations

from penstock.limits.local import LocalConfig, LocalLimiter
from penstock.limits.ports import Claim
from penstock.policy.rate import Rate
from penstock.schedule.rate import Gcra

SLOW = Rate(1, 60.0, 1)


def claim(n: int, rate: Rate = SLOW) -> list[Claim]:
    return [Claim(f"k{n}", rate)]


def test_keys_that_restrict_are_never_forgotten(clock) -> None:
    limiter = LocalLimiter(clock, LocalConfig(keys_max=100))
    for n in range(100):
        assert limiter.try_messages(claim(n), 1).granted == 1
    refused = limiter.try_messages(claim(100), 1)
    assert (refused.granted, refused.retry_at) == (0, clock.now + 0.25)
    assert limiter.try_messages([*claim(100), *claim(101)], 1).granted == 0
    for n in range(100):
        assert limiter.try_messages(claim(n), 1).granted == 0
    assert limiter.stats()["keys"] == 100
    assert limiter.stats()["keys_refused"] == 2


def test_idle_keys_make_room(clock) -> None:
    limiter = LocalLimiter(clock, LocalConfig(keys_max=100))
    for n in range(1000):
        assert limiter.try_messages(claim(n), 1).granted == 1
        clock.now += 1.0
        assert limiter.stats()["keys"] <= 100
    for n in range(950, 1000):
        assert limiter.try_messages(claim(n), 1).granted == 0


def test_a_full_table_finds_the_idle_ones_within_a_few_questions(clock) -> None:
    limiter = LocalLimiter(clock, LocalConfig(keys_max=300))
    for n in range(299):
        limiter.try_messages(claim(n, Rate(1, 3600.0, 1)), 1)
    limiter.try_messages(claim(299, Rate(1, 1.0, 1)), 1)
    clock.now += 10
    tries = 0
    while not limiter.try_messages(claim(300), 1).granted:
        tries += 1
        clock.now += 0.25
        assert tries < 10


def test_a_key_of_the_same_call_is_not_forgotten_for_the_next(clock) -> None:
    limiter = LocalLimiter(clock, LocalConfig(keys_max=4))
    rate = Rate(10, 10.0, 5)
    assert limiter.try_messages([Claim("a", rate)], 1).granted == 1
    clock.now += 60
    claims = [Claim(key, rate) for key in "abcd"]
    assert limiter.try_messages(claims, 2).granted == 2
    for each in claims:
        assert limiter.try_messages([each], 9).granted == 3


def test_an_equal_rate_of_a_reloaded_policy_changes_nothing(clock) -> None:
    limiter = LocalLimiter(clock)
    assert limiter.try_messages(claim(1), 1).granted == 1
    assert limiter.try_messages(claim(1, Rate(1, 60.0, 1)), 1).granted == 0


def test_giving_back_to_a_key_not_known_is_nothing(clock) -> None:
    limiter = LocalLimiter(clock)
    limiter.give_back(claim(1), 5)
    assert limiter.stats()["keys"] == 0


def test_a_key_in_use_keeps_its_bucket_while_there_is_room(clock) -> None:
    """Its bucket is full again between two messages, and still not made anew each time."""
    made = []

    def make(rate: Rate, now: float) -> Gcra:
        made.append(rate)
        return Gcra(rate)

    limiter = LocalLimiter(clock, LocalConfig(keys_max=1000), make)
    for _ in range(5):
        for n in range(800):
            limiter.try_messages(claim(n, Rate(1000, 1.0, 10)), 1)
        clock.now += 1
    assert len(made) == 800
