"""What every limiter promises, whoever answers."""

from __future__ import annotations

import pytest

from penstock.limits.ports import Claim, Grant, Seat
from penstock.policy.rate import Rate

SITE = Claim("site", Rate(20, 60.0, 1))
BURST = Claim("burst", Rate(10, 10.0, 5))
FAST = Claim("fast", Rate(6000, 60.0, 1))
FASTER = Claim("faster", Rate(500, 1.0, 50))


@pytest.mark.parametrize("claim", [SITE, BURST, FAST, FASTER], ids=lambda claim: claim.key)
@pytest.mark.parametrize("want", [1, 7])
async def test_a_rate_is_kept_in_any_window_and_used(
    limiter, clock, spend, window, claim, want
) -> None:
    rate = claim.rate
    span = 3 * rate.period_s
    sent = await spend(clock, [limiter], lambda worker: [claim], clock.now + span, want)
    assert window(sent, rate.period_s) <= rate.count + rate.burst - 1
    assert sum(n for _, _, n in sent) >= 0.95 * 3 * rate.count


async def test_no_claims_no_limit(limiter) -> None:
    assert await limiter.messages([], 7) == Grant(7, 0.0)
    assert await limiter.connect([]) == Grant(1, 0.0)


async def test_a_grant_is_what_all_claims_allow(limiter, clock) -> None:
    wide, narrow = Claim("wide", Rate(10, 10.0, 5)), Claim("narrow", Rate(10, 10.0, 2))
    assert (await limiter.messages([wide, narrow], 9)).granted == 2
    assert (await limiter.messages([wide], 9)).granted == 3


async def test_a_refusal_takes_nothing_from_the_others(limiter, clock) -> None:
    open_, shut = Claim("open", Rate(10, 10.0, 5)), Claim("shut", Rate(1, 3600.0, 1))
    assert (await limiter.messages([shut], 1)).granted == 1
    refused = await limiter.messages([open_, shut], 1)
    assert refused.granted == 0
    assert refused.retry_at == pytest.approx(clock.now + 3600.0)
    assert (await limiter.messages([open_], 9)).granted == 5


async def test_mixed_high_and_low_rates_are_both_kept(limiter, clock, spend, window) -> None:
    sent = await spend(clock, [limiter], lambda worker: [FAST, SITE], clock.now + 180.0, 5)
    assert window(sent, 60.0) <= 20
    assert sum(n for _, _, n in sent) >= 57


@pytest.mark.parametrize("key", ["low", "high"])
async def test_what_is_given_back_can_be_had_again(limiter, clock, key) -> None:
    claim = Claim(key, Rate(10, 10.0, 5) if key == "low" else Rate(100, 1.0, 5))
    n = (await limiter.messages([claim], 5)).granted
    assert n >= 5
    limiter.give_back([claim], n - 1)
    assert (await limiter.messages([claim], n - 1)).granted == n - 1


async def test_the_newest_rate_holds_at_once(limiter, clock) -> None:
    slow, quick = Rate(1, 3600.0, 1), Rate(10, 10.0, 1)
    assert (await limiter.messages([Claim("k", slow)], 1)).granted == 1
    assert (await limiter.messages([Claim("k", slow)], 1)).granted == 0
    refused = await limiter.messages([Claim("k", quick)], 1)
    assert refused.granted == 0
    assert refused.retry_at <= clock.now + 1.1
    clock.now = refused.retry_at
    assert (await limiter.messages([Claim("k", quick)], 1)).granted == 1


async def test_seats_are_limited_and_come_back(limiter, clock) -> None:
    seats = [Seat("site", 2), Seat("provider", 3)]
    assert [(await limiter.connect(seats)).granted for _ in range(3)] == [1, 1, 0]
    assert (await limiter.connect([Seat("provider", 3)])).granted == 1
    refused = await limiter.connect([Seat("provider", 3)])
    assert refused.granted == 0
    assert refused.retry_at > clock.now
    limiter.disconnect(seats)
    clock.now = refused.retry_at
    assert (await limiter.connect(seats)).granted == 1


async def test_a_refused_seat_takes_none_of_the_others(limiter, clock) -> None:
    assert (await limiter.connect([Seat("full", 1)])).granted == 1
    assert (await limiter.connect([Seat("free", 1), Seat("full", 1)])).granted == 0
    clock.now += 10
    assert (await limiter.connect([Seat("free", 1)])).granted == 1


async def test_a_smaller_limit_holds_for_new_connections(limiter, clock) -> None:
    for _ in range(3):
        assert (await limiter.connect([Seat("s", 3)])).granted == 1
    limiter.disconnect([Seat("s", 3)])
    clock.now += 10
    assert (await limiter.connect([Seat("s", 2)])).granted == 0


async def test_a_limit_of_no_connections_gives_none(limiter) -> None:
    assert (await limiter.connect([Seat("s", 0)])).granted == 0


async def test_a_disconnect_too_many_frees_nothing(limiter, clock) -> None:
    limiter.disconnect([Seat("s", 1)])
    assert (await limiter.connect([Seat("s", 1)])).granted == 1
    assert (await limiter.connect([Seat("s", 1)])).granted == 0


async def test_what_needs_no_question_is_answered_at_once(limiter, clock) -> None:
    claims, seats = [Claim("k", Rate(1, 60.0, 1))], [Seat("k", 1)]
    await limiter.messages(claims, 1)
    refused = await limiter.messages(claims, 1)
    assert limiter.try_messages(claims, 1) == refused
    await limiter.connect(seats)
    refused = await limiter.connect(seats)
    assert limiter.try_connect(seats) == refused


async def test_stats_are_plain_numbers(limiter) -> None:
    await limiter.messages([SITE], 1)
    await limiter.connect([Seat("s", 1)])
    stats = limiter.stats()
    assert all(isinstance(value, int | float) for value in stats.values())
    assert stats["granted"] == 1
    assert stats["seats"] == 1


async def test_a_refusal_names_the_claim_that_is_waited_for_longest(limiter, clock) -> None:
    soon, late = Claim("soon", Rate(1, 60.0, 1)), Claim("late", Rate(1, 3600.0, 1))
    open_, high = Claim("open", Rate(10, 10.0, 5)), Claim("high", Rate(6000, 60.0, 100))
    assert (await limiter.messages([open_, soon, late, high], 1)) == Grant(1, 0.0, "")
    for claims in ([soon, late, open_, high], [high, late, open_, soon]):
        assert (await limiter.messages(claims, 1)).key == "late"
        assert limiter.try_messages(claims, 1).key == "late", "remembered"
    assert (await limiter.messages([soon, open_], 1)).key == "soon"


async def test_a_refusal_of_a_high_rate_names_it(limiter, clock) -> None:
    high, open_ = Claim("high", Rate(100, 1.0, 1)), Claim("open", Rate(10, 10.0, 5))
    refused = Grant(1, 0.0)
    for _ in range(20):
        refused = await limiter.messages([high], 100)
        if not refused.granted:
            break
    assert (refused.granted, refused.key) == (0, "high")
    assert (await limiter.messages([open_, high], 1)).key == "high"
    assert (await limiter.messages([open_], 9)).granted == 5, "nothing was kept of the other"


async def test_a_key_that_frees_first_is_open_to_other_claims_then(limiter, clock) -> None:
    """Refused together with one that is waited for much longer, it does not wait for that."""
    site, tenant = Claim("site", Rate(1, 10.0, 1)), Claim("tenant", Rate(1, 3600.0, 1))
    await limiter.messages([site, tenant], 1)
    refused = await limiter.messages([site, tenant], 1)
    assert (refused.retry_at, refused.key) == (pytest.approx(clock.now + 3600.0), "tenant")
    assert (await limiter.messages([site], 1)).retry_at == pytest.approx(clock.now + 10.0)
    clock.now += 10.001
    assert (await limiter.messages([site], 1)).granted == 1


async def test_a_refused_connection_names_the_first_seat_that_is_full(limiter, clock) -> None:
    free, one, two = Seat("free", 9), Seat("one", 1), Seat("two", 1)
    assert await limiter.connect([free, one, two]) == Grant(1, 0.0, "")
    assert (await limiter.connect([free, two, one])).key == "two"
    assert limiter.try_connect([free, one, two]).key == "one"
    assert (await limiter.connect([free, one])).key == "one"
