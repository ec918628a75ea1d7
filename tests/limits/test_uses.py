"""What is in use is told to whoever asks, and asking changes nothing."""

from __future__ import annotations

import pytest

from penstock.limits.ports import Claim, Seat
from penstock.limits.use import KEYS_MAX, Use
from penstock.policy.rate import ByteRate, Rate

SITE = Claim("site", Rate(10, 10.0, 5))
BYTES = Claim("bytes", ByteRate(1000, 1.0, 1000))


async def test_a_rate_tells_what_is_free_and_when_the_next_comes(limiter, clock) -> None:
    await limiter.messages([SITE], 3)
    assert await limiter.uses([("site", "rate")]) == {("site", "rate"): Use(3, 10, 2, 0.0)}
    await limiter.messages([SITE], 2)
    (use,) = (await limiter.uses([("site", "rate")])).values()
    assert (use.used, use.free) == (5, 0)
    assert use.next_at_s == pytest.approx(1.0, abs=0.2)
    clock.now += use.next_at_s
    assert (await limiter.messages([SITE], 1)).granted == 1


async def test_bytes_owed_are_less_than_none(limiter, clock) -> None:
    await limiter.messages([BYTES], 1)
    limiter.spend([BYTES], 5000)
    (use,) = (await limiter.uses([("bytes", "rate")])).values()
    assert use.free == pytest.approx(-4000, abs=20)
    assert use.used == pytest.approx(5001)
    assert use.next_at_s == pytest.approx(4.0, rel=0.03)


async def test_seats_tell_the_limit_last_told(limiter, clock) -> None:
    key = ("s", "seat")
    for _ in range(2):
        await limiter.connect([Seat("s", 5)])
    assert (await limiter.uses([key]))[key] == Use(2, 5, 3, 0.0)
    await limiter.connect([Seat("s", 2)])
    assert (await limiter.uses([key]))[key][:4] == (2, 2, 0, 0.5)
    for _ in range(2):
        limiter.disconnect([Seat("s", 5)])
    clock.now += 10
    assert key not in await limiter.uses([key])


async def test_a_seat_and_a_rate_of_one_name_are_two_things(limiter) -> None:
    await limiter.connect([Seat("site", 5)])
    await limiter.messages([SITE], 1)
    uses = await limiter.uses([("site", "seat"), ("site", "rate"), ("nobody", "rate")])
    assert uses == {("site", "seat"): Use(1, 5, 4, 0.0), ("site", "rate"): Use(1, 10, 4, 0.0)}


async def test_asking_changes_nothing(limiter, clock) -> None:
    await limiter.messages([SITE], 2)
    for _ in range(20):
        await limiter.uses([("site", "rate"), ("site", "seat"), ("other", "rate")])
    assert (await limiter.messages([SITE], 9)).granted == 3
    assert limiter.stats()["keys"] == 1
    assert limiter.stats()["uses_asked"] == 20


async def test_no_more_keys_than_may_be_asked_at_once(limiter) -> None:
    assert await limiter.uses([(f"k{n}", "rate") for n in range(KEYS_MAX)]) == {}
    with pytest.raises(ValueError, match="257 keys asked for at once, at most 256"):
        await limiter.uses([(f"k{n}", "rate") for n in range(KEYS_MAX + 1)])


async def test_uses_are_those_of_all_workers_and_of_their_lines(office, clock) -> None:
    first, second, third = (office.worker(index, 3) for index in range(3))
    for worker in (first, second):
        await worker.connect([Seat("s", 2)])
        await worker.messages([SITE], 2)
    await third.connect([Seat("s", 2)])
    await third.messages([SITE], 1)
    await third.messages([SITE], 1)
    uses = await first.uses([("s", "seat"), ("site", "rate")])
    assert uses["s", "seat"] == Use(2, 2, 0, 0.5, waiting=1)
    assert (uses["site", "rate"].free, uses["site", "rate"].waiting) == (0, 1)
    clock.now += 5
    assert (await first.uses([("s", "seat")]))["s", "seat"].waiting == 0, "it did not come back"


async def test_a_leased_rate_tells_what_is_usable_now(office, clock) -> None:
    limiter = office.worker()
    fast = Claim("fast", Rate(100, 1.0, 1))
    while (await limiter.messages([fast], 100)).granted:
        pass
    (use,) = (await limiter.uses([("fast", "rate")])).values()
    assert (use.limit, use.free) == (100, 0)
    assert use.next_at_s <= 0.3


async def test_alone_it_tells_what_this_worker_knows(office, clock) -> None:
    limiter, other = office.worker(0, 2), office.worker(1, 2)
    for worker in (limiter, other):
        await worker.connect([Seat("s", 6)])
    office.cut = True
    clock.now += 5
    uses = await limiter.uses([("s", "seat"), ("site", "rate")])
    assert uses == {("s", "seat"): Use(1, 3, 2, 0.0, alone=True)}
    limiter.try_messages([SITE], 1)
    assert (await limiter.uses([("site", "rate")]))["site", "rate"].alone
    office.cut = False
    clock.now += 2
    assert await limiter.uses([("s", "seat")]) == {("s", "seat"): Use(2, 6, 4, 0.0)}
