"""Questions travel in batches, and what nobody waits for any more is given back."""

from __future__ import annotations

import asyncio

import pytest

from penstock.limits.link import LinkConfig
from penstock.limits.ports import Claim, Seat
from penstock.limits.remote import GovernorLimiter, RemoteConfig
from penstock.policy.rate import Rate

SITE = Claim("site", Rate(20, 60.0, 5))
SEAT = [Seat("site", 1)]


async def test_questions_of_one_moment_travel_together(office) -> None:
    limiter = office.worker()
    claims = [Claim(f"k{n}", Rate(20, 60.0, 1)) for n in range(50)]
    grants = await asyncio.gather(*(limiter.messages([claim], 1) for claim in claims))
    assert [grant.granted for grant in grants] == [1] * 50
    assert len(office.calls) == 1
    assert limiter.stats()["batches"] == 1
    assert limiter.stats()["questions"] == 50


async def test_a_batch_has_a_limit(office) -> None:
    limiter = office.worker(config=RemoteConfig(link=LinkConfig(batch_max=10)))
    claims = [Claim(f"k{n}", Rate(20, 60.0, 1)) for n in range(25)]
    await asyncio.gather(*(limiter.messages([claim], 1) for claim in claims))
    assert [len(params) for _, _, params in office.calls] == [10, 10, 5]


async def test_returns_are_added_up_and_ride_along(office, clock) -> None:
    limiter = office.worker()
    assert (await limiter.messages([SITE], 5)).granted == 5
    limiter.give_back([SITE], 2)
    limiter.give_back([SITE], 1)
    limiter.give_back([SITE], 0)
    assert (await limiter.messages([SITE], 5)).granted == 3
    assert office.calls[-1][2][0] == ["give_back", [["site", 3]]]


async def test_a_blocked_key_is_not_asked_for_again_before_its_time(office, clock) -> None:
    limiter = office.worker()
    await limiter.messages([SITE], 9)
    refused = await limiter.messages([SITE], 1)
    asked = len(office.calls)
    other = Claim("other", Rate(1, 60.0, 1))
    for _ in range(10):
        assert await limiter.messages([other, SITE], 1) == refused
    assert len(office.calls) == asked
    clock.now = refused.retry_at
    assert (await limiter.messages([SITE], 1)).granted == 1


@pytest.mark.parametrize("turns", [1, 2, 3, 4, 5, 6, 8])
async def test_a_caller_that_is_cancelled_leaves_no_seat_and_no_token_behind(
    office, clock, turns
) -> None:
    """Cancelled at any moment between the question and the answer."""
    limiter = office.worker()
    seat = asyncio.create_task(limiter.connect(SEAT))
    tokens = asyncio.create_task(limiter.messages([SITE], 5))
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in (seat, tokens):
        task.cancel()
    kept = [
        result.granted
        for result in await asyncio.gather(seat, tokens, return_exceptions=True)
        if not isinstance(result, BaseException)
    ]
    if kept:
        limiter.disconnect(SEAT)
        limiter.give_back([SITE], 5)
    for _ in range(10):
        await asyncio.sleep(0)
    assert office.governor.stats()["seats"] == limiter.stats()["seats"] == 0
    assert (await limiter.messages([SITE], 5)).granted == 5
    assert (await limiter.connect(SEAT)).granted == 1


async def test_an_error_of_the_governor_is_loud_and_falls_back(clock) -> None:
    async def broken(method: str, params: object) -> object:
        raise RuntimeError("a bug")

    limiter = GovernorLimiter(broken, clock, RemoteConfig(workers=2))
    asking = asyncio.create_task(limiter.messages([SITE], 1))
    await asyncio.sleep(0)
    runner = limiter._link._runner
    assert runner is not None
    assert (await asking).granted == 0
    with pytest.raises(RuntimeError, match="a bug"):
        await runner


async def test_known_keys_are_bounded(office) -> None:
    limiter = office.worker(config=RemoteConfig(keys_max=10))
    for n in range(30):
        assert (await limiter.messages([Claim(f"k{n}", Rate(600, 1.0, 1))], 1)).granted == 1
        await limiter.connect([Seat(f"s{n}", 0)])
    assert limiter.stats()["keys"] == 10
