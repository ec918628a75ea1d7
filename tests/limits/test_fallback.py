"""The governor is out of reach: everybody keeps to a fair share, and returns by itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from penstock.limits.ports import Claim, Seat
from penstock.limits.remote import GovernorLimiter, RemoteConfig
from penstock.limits.share import rate_share, seat_share
from penstock.policy.rate import Rate

SITE = Claim("site", Rate(20, 60.0, 1))


@pytest.mark.parametrize(
    ("rate", "workers", "share"),
    [
        (Rate(20, 60.0, 1), 8, Rate(2, 60.0, 1)),
        (Rate(6000, 60.0, 100), 8, Rate(750, 60.0, 12)),
        (Rate(2, 60.0, 1), 8, Rate(1, 240.0, 1)),
        (Rate(7, 60.0, 3), 1, Rate(7, 60.0, 3)),
    ],
)
def test_the_shares_add_up_to_no_more_than_the_rate(rate: Rate, workers: int, share: Rate) -> None:
    assert rate_share(rate, workers) == share
    assert workers * share.per_s <= rate.per_s * (1 + 1e-9)


def test_a_share_of_connections_is_at_least_one_unless_there_are_none() -> None:
    assert [seat_share(limit, 8) for limit in (0, 1, 8, 20)] == [0, 1, 1, 2]


@pytest.mark.parametrize("rate", [Rate(20, 60.0, 1), Rate(4, 60.0, 1), Rate(6000, 60.0, 100)])
async def test_all_shares_together_keep_the_limit(office, clock, spend, window, rate) -> None:
    claim = Claim("k", rate)
    limiters = [office.worker(index, 8) for index in range(8)]
    office.cut = True
    span = 10 if rate.count < 100 else 1
    sent = await spend(clock, limiters, lambda w: [claim], clock.now + span * 60.0, 3)
    assert window(sent, 60.0) <= rate.count + rate.burst
    assert sum(n for _, _, n in sent) >= 0.7 * span * rate.count - 8


async def test_the_limit_is_kept_while_the_governor_goes_and_comes(
    office, clock, spend, window
) -> None:
    limiters = [office.worker(index, 4) for index in range(4)]
    start = clock.now

    def flap() -> None:
        office.cut = int((clock.now - start) / 47) % 2 == 1

    sent = await spend(clock, limiters, lambda w: [SITE], start + 900.0, each=flap)
    assert window(sent, 60.0) <= 21
    assert limiters[0].stats()["fallbacks"] >= 5


async def test_it_says_so_and_returns_with_the_first_answer(office, clock) -> None:
    limiter = office.worker(0, 4)
    assert (await limiter.messages([SITE], 1)).granted == 1
    office.cut = True
    clock.now += 5
    assert (await limiter.messages([SITE], 1)).granted == 0
    assert limiter.stats()["fallback"] == 1
    office.cut = False
    assert limiter.try_messages([SITE], 1).granted == 0, "not asked before the next probe"
    clock.now += 1.0
    assert limiter.try_messages([SITE], 1) is None
    assert (await limiter.messages([SITE], 1)).granted == 1
    assert limiter.stats()["fallback"] == 0
    assert limiter.stats()["fallbacks"] == 1


async def test_only_one_probes(office, clock) -> None:
    limiter = office.worker(0, 2)
    office.cut = True
    await limiter.messages([SITE], 1)
    clock.now += 2
    probe = asyncio.create_task(limiter.messages([SITE], 1))
    await asyncio.sleep(0)
    assert limiter.try_messages([SITE], 1) is not None
    assert limiter.try_connect([Seat("s", 2)]) is not None
    await probe


async def test_tokens_of_a_share_can_be_given_back(office, clock) -> None:
    limiter = office.worker(0, 2)
    claim = Claim("k", Rate(100, 60.0, 10))
    office.cut = True
    await limiter.messages([claim], 1)
    clock.now += 60
    office.limiters[0]._link._probe_at = clock.now + 60
    assert limiter.try_messages([claim], 9).granted == 5
    limiter.give_back([claim], 4)
    assert limiter.try_messages([claim], 9).granted == 4


async def test_connections_within_the_share_and_restated_on_return(office, clock) -> None:
    limiters = [office.worker(index, 2) for index in range(2)]
    seat = [Seat("site", 5)]
    assert (await limiters[0].connect(seat)).granted == 1
    office.cut = True
    granted = [[(await each.connect(seat)).granted for _ in range(4)] for each in limiters]
    assert granted == [[1, 0, 0, 0], [1, 1, 0, 0]]
    limiters[1].disconnect(seat)
    office.cut = False
    clock.now += 2
    office.restart()
    assert (await limiters[0].connect([Seat("other", 1)])).granted == 1
    limiters[1].reconnected()
    assert (await limiters[1].connect(seat)).granted == 1
    for _ in range(5):
        await asyncio.sleep(0)
    assert office.governor.stats()["seats"] == 2 + 2 + 1


async def test_a_governor_that_forgot_is_told_the_seats(office, clock) -> None:
    limiter = office.worker()
    for _ in range(3):
        await limiter.connect([Seat("site", 5)])
    office.restart()
    await limiter.messages([SITE], 1)
    await limiter.messages([SITE], 1)
    assert office.governor.stats()["seats"] == 3


async def test_a_silent_governor_is_no_governor(clock, quick) -> None:
    """The one test that waits: ten milliseconds, for an answer that never comes."""

    async def silent(method: str, params: object) -> object:
        await asyncio.Event().wait()

    limiter = GovernorLimiter(silent, clock, replace(quick, workers=4))
    assert (await limiter.messages([SITE], 1)).granted == 0
    assert limiter.stats()["fallback"] == 1
    await limiter.close()


async def test_closing_fails_what_waits_over_to_the_share(clock) -> None:
    async def silent(method: str, params: object) -> object:
        await asyncio.Event().wait()

    limiter = GovernorLimiter(silent, clock, RemoteConfig())
    waiting = asyncio.create_task(limiter.messages([SITE], 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await limiter.close()
    assert (await waiting).granted == 0


async def test_a_share_names_what_refuses_too(office, clock) -> None:
    limiter = office.worker(0, 2)
    office.cut = True
    slower = Claim("slower", Rate(1, 3600.0, 1))
    assert (await limiter.messages([SITE, slower], 1)).key == "slower"
    assert (await limiter.connect([Seat("a", 9), Seat("b", 2)])).granted == 1
    assert limiter.try_connect([Seat("a", 9), Seat("b", 2)]).key == "b"


async def test_closing_before_the_first_question_left_fails_it_over_too(office) -> None:
    limiter = office.worker()
    waiting = asyncio.create_task(limiter.messages([SITE], 1))
    await asyncio.sleep(0)
    await limiter.close()
    assert (await asyncio.wait_for(waiting, 1)).granted == 0
