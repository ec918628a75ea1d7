"""What keys may do in a second, with a limiter and a clock of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from penstock.api.charges import NO_LIMITS, Charges, KeyLimits
from penstock.api.problem import Problem
from penstock.limits.local import LocalConfig, LocalLimiter
from penstock.limits.ports import Claim
from penstock.policy.rate import Rate


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class Counting(LocalLimiter):
    """Remembers for what was asked."""

    asked: list[str] = []  # noqa: RUF012

    def try_messages(self, claims: Sequence[Claim], want: int):  # type: ignore[no-untyped-def]
        self.asked.append(claims[0].key)
        return super().try_messages(claims, want)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def charges(clock: Clock) -> Charges:
    return Charges(LocalLimiter(clock, LocalConfig()), clock, clock.sleep)


async def test_requests_are_let_go_as_fast_as_the_rate_says(clock: Clock, charges: Charges) -> None:
    limits = KeyLimits(requests=Rate.parse("60/min burst 3"))
    for _ in range(3):
        await charges.request("k", limits)
    with pytest.raises(Problem) as caught:
        await charges.request("k", limits)
    assert caught.value.status == 429
    assert caught.value.headers == {"Retry-After": "1"}
    assert clock.now == 100.0
    await charges.request("other", limits)
    clock.now += 1.0
    await charges.request("k", limits)


async def test_a_wait_of_milliseconds_is_waited(clock: Clock, charges: Charges) -> None:
    limits = KeyLimits(requests=Rate.parse("100/s burst 1"))
    for _ in range(11):
        await charges.request("k", limits)
    assert 100.08 < clock.now < 100.12


async def test_messages_are_owed_for_and_the_next_request_waits(
    clock: Clock, charges: Charges
) -> None:
    limits = KeyLimits(messages=Rate.parse("100/s burst 100"))
    await charges.messages("k", limits, 1000)  # at once, however many
    with pytest.raises(Problem) as caught:
        await charges.messages("k", limits, 1)
    assert 8 <= int(caught.value.headers["Retry-After"]) <= 10
    clock.now += 10.0
    await charges.messages("k", limits, 1)


async def test_a_key_without_limits_asks_nobody(clock: Clock) -> None:
    limiter = Counting(clock, LocalConfig())
    charges = Charges(limiter, clock, clock.sleep)
    await charges.request("k", NO_LIMITS)
    await charges.messages("k", NO_LIMITS, 5)
    assert limiter.asked == []
    await Charges(None, clock).request("k", KeyLimits(requests=Rate.parse("1/s")))


async def test_those_who_come_at_once_stand_in_a_line_as_long_as_they_can_be_served_soon(
    clock: Clock, charges: Charges
) -> None:
    limits = KeyLimits(requests=Rate.parse("40/s burst 1"))
    answers = await asyncio.gather(
        *(charges.request("k", limits) for _ in range(30)), return_exceptions=True
    )
    refused = [one for one in answers if isinstance(one, Problem)]
    assert answers.count(None) == 11  # one at once, and a quarter of a second's worth
    assert len(refused) == 19
    assert {one.headers["Retry-After"] for one in refused} == {"1"}
