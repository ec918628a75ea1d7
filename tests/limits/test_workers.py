"""Several workers on one governor: the limit stays the limit, and each gets its part."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from penstock.limits.ports import Claim, Seat
from penstock.policy.rate import Rate

SCARCE = Claim("site", Rate(20, 60.0, 1))
PLENTY = Claim("plenty", Rate(6000, 60.0, 1))
PER_SECOND = Claim("second", Rate(500, 1.0, 1))


def workers(office, n: int):
    return [office.worker(index, n) for index in range(n)]


@pytest.mark.parametrize("n", [2, 8])
@pytest.mark.parametrize("want", [1, 50])
async def test_twenty_a_minute_stay_twenty_a_minute(office, clock, spend, window, n, want) -> None:
    start, rng = clock.now, random.Random(7)
    sent = await spend(
        clock, workers(office, n), lambda worker: [SCARCE], start + 600.0, want,
        lambda: rng.uniform(0, 0.02),
    )  # fmt: skip
    assert window(sent, 60.0) <= 20
    assert sum(tokens for _, _, tokens in sent) >= 0.95 * 200


async def test_a_scarce_rate_goes_round(office, clock, spend) -> None:
    """Any eight tokens in a row go to eight workers."""
    rng = random.Random(3)
    sent = await spend(
        clock, workers(office, 8), lambda worker: [SCARCE], clock.now + 600.0, 1,
        lambda: rng.uniform(0, 0.01),
    )  # fmt: skip
    order = [worker for _, worker, _ in sent]
    for at in range(8, len(order) - 8, 8):
        assert len(set(order[at : at + 8])) >= 7
    shares = Counter(order)
    assert max(shares.values()) - min(shares.values()) <= 2


async def test_a_greedy_worker_does_not_starve_a_modest_one(office, clock, spend) -> None:
    """One wants 50 at a time and always, the other two at a time and now and then."""
    greedy, modest = workers(office, 2)
    sent = await spend(
        clock, [greedy, modest], lambda worker: [SCARCE], clock.now + 600.0, 50, lambda: 0.0
    )
    shares = Counter(worker for _, worker, _ in sent)
    assert min(shares.values()) >= 0.9 * max(shares.values())
    refused = await modest.messages([SCARCE], 1)
    assert refused.granted == 0
    clock.now = refused.retry_at
    await greedy.messages([SCARCE], 50)
    assert (await modest.messages([SCARCE], 1)).granted == 1


@pytest.mark.parametrize("claim", [PLENTY, PER_SECOND], ids=lambda claim: claim.key)
@pytest.mark.parametrize("n", [2, 8])
async def test_leases_keep_high_rates_in_any_window_and_use_them(
    office, clock, spend, window, claim, n
) -> None:
    rng = random.Random(5)
    span = min(3 * claim.rate.period_s, 60.0)
    sent = await spend(
        clock, workers(office, n), lambda worker: [claim], clock.now + span, 5,
        lambda: rng.uniform(0, 0.002),
    )  # fmt: skip
    used = sum(tokens for _, _, tokens in sent)
    assert window(sent, claim.rate.period_s) <= claim.rate.count + claim.rate.burst
    assert used >= 0.95 * span * claim.rate.per_s
    shares = Counter(worker for _, worker, _ in sent)
    assert len(shares) == n
    assert min(shares.values()) >= 0.7 * max(shares.values())


async def test_leases_spare_questions(office, clock, spend) -> None:
    (limiter,) = workers(office, 1)
    fast = Claim("fast", Rate(2000, 1.0, 1))
    sent = await spend(clock, [limiter], lambda worker: [fast], clock.now + 10.0)
    assert sum(tokens for _, _, tokens in sent) >= 19_000
    assert office.asked().count("messages") <= 10 * 10


async def test_a_worker_that_needs_little_leaves_the_rest(office, clock, spend) -> None:
    """A lease that is not used is not renewed at its size."""
    busy, idle = workers(office, 2)
    start = clock.now
    state = {"next": start}

    def now_and_then() -> None:
        if clock.now >= state["next"]:
            state["next"] = clock.now + 0.5
            idle.try_messages([PLENTY], 1)

    sent = await spend(clock, [busy], lambda worker: [PLENTY], start + 60.0, 5, each=now_and_then)
    assert sum(tokens for _, _, tokens in sent) >= 0.95 * 6000


async def test_a_worker_gone_leaves_its_turn_to_whoever_asks_first(office, clock) -> None:
    first, second, third = workers(office, 3)
    assert (await first.messages([SCARCE], 1)).granted == 1
    before = await second.messages([SCARCE], 1)
    after = await third.messages([SCARCE], 1)
    assert after.retry_at > before.retry_at + 2.5
    office.governor.worker_gone(1)
    clock.now = before.retry_at
    assert (await first.messages([SCARCE], 1)).granted == 1
    clock.now = after.retry_at
    assert (await third.messages([SCARCE], 1)).granted == 1


async def test_a_worker_that_does_not_come_back_is_passed_over(office, clock) -> None:
    first, second, third = workers(office, 3)
    await first.messages([SCARCE], 1)
    lost = await second.messages([SCARCE], 1)
    await third.messages([SCARCE], 1)
    clock.now = lost.retry_at + 2.0
    assert (await first.messages([SCARCE], 1)).granted == 0
    clock.now = lost.retry_at + 3.1
    assert (await third.messages([SCARCE], 1)).granted == 1
    assert office.governor.stats()["waiting"] == 1


async def test_two_limits_that_cross_do_not_lock(office, clock, spend, window) -> None:
    """Some need one key, some another, some both, in different orders."""
    other = Claim("other", Rate(30, 60.0, 1))
    sets = [[SCARCE, other], [other, SCARCE], [SCARCE], [other]]
    sent = await spend(clock, workers(office, 4), lambda worker: sets[worker], clock.now + 600.0)
    assert set(Counter(worker for _, worker, _ in sent)) == {0, 1, 2, 3}
    for claim, users in ((SCARCE, {0, 1, 2}), (other, {0, 1, 3})):
        mine = [each for each in sent if each[1] in users]
        assert window(mine, 60.0) <= claim.rate.count
    assert sum(n for _, worker, n in sent if worker != 3) >= 0.9 * 200


async def test_connections_hold_over_all_workers_and_come_back_after_a_death(office, clock) -> None:
    limiters = workers(office, 4)
    seats = [Seat("site", 10), Seat("provider", 12)]
    grants = [(await limiters[turn % 4].connect(seats)).granted for turn in range(20)]
    assert sum(grants) == 10
    office.governor.worker_gone(2)
    clock.now += 1.5
    held = 10 - sum(grants[2::4])
    clock.now += 2.0
    again = [(await limiters[0].connect([Seat("site", 10)])).granted for _ in range(5)]
    assert sum(again) == 10 - held
    assert office.governor.stats()["seats"] >= 10


async def test_a_freed_seat_goes_to_the_one_who_waits(office, clock) -> None:
    holder, waiter = workers(office, 2)
    seat = [Seat("site", 2)]
    assert [(await holder.connect(seat)).granted for _ in range(2)] == [1, 1]
    refused = await waiter.connect(seat)
    assert refused.granted == 0
    holder.disconnect(seat)
    assert (await holder.connect(seat)).granted == 0
    clock.now = refused.retry_at
    assert (await waiter.connect(seat)).granted == 1


@pytest.mark.parametrize("claim", [Claim("minute", Rate(60, 60.0, 1)), PLENTY], ids=lambda c: c.key)
async def test_a_rate_is_used_and_kept_in_the_minute_in_which_a_worker_dies(
    office, clock, spend, window, claim
) -> None:
    """One of four is killed with what it leased and its turn, and replaced a second later."""
    limiters = workers(office, 4)
    start = clock.now
    died, back = start + 60.0, start + 61.0

    first = await spend(clock, limiters, lambda w: [claim], died)
    office.governor.worker_gone(3)
    limiters[3] = office.worker(3, 4)
    without = await spend(clock, limiters[:3], lambda w: [claim], back)
    after = await spend(clock, limiters, lambda w: [claim], start + 180.0)
    sent = first + without + after
    assert window(sent, 60.0) <= claim.rate.count
    for minute in (0, 30, 45, 55, 60, 90):
        used = sum(n for at, _, n in sent if start + minute <= at < start + minute + 60.0)
        assert used >= 0.95 * claim.rate.count, minute
    assert {worker for _, worker, _ in after} == {0, 1, 2, 3}


async def test_what_a_dead_worker_leased_lapses_within_half_a_second(office, clock) -> None:
    dead, heir = workers(office, 2)
    fast = Claim("fast", Rate(100, 1.0, 1))
    assert (await dead.messages([fast], 100)).granted
    while (await dead.messages([fast], 100)).granted:
        pass
    held = office.governor.stats()["leased"]
    assert held >= 10
    office.governor.worker_gone(0)
    got, until = 0, clock.now + 1.0
    while clock.now < until:
        grant = await heir.messages([fast], 1)
        got += grant.granted
        clock.now = clock.now if grant.granted else grant.retry_at
    assert got >= 70, "all but the quarter of a second that was leased"


async def test_seats_of_a_dead_worker_are_not_had_before_the_hosts_have_seen_it(
    office, clock
) -> None:
    """A host that thinks about a message does not look whether its client is still there."""
    dead, heir = workers(office, 2)
    seat = [Seat("site", 1)]
    assert (await dead.connect(seat)).granted
    office.governor.worker_gone(0)
    died = clock.now
    clock.now += 0.25
    refused = await heir.connect(seat)
    assert not refused.granted
    assert died + 0.5 <= refused.retry_at <= died + 1.0
    clock.now = refused.retry_at
    assert (await heir.connect(seat)).granted


async def test_seats_of_a_dead_worker_are_had_by_one_who_waits_within_a_second(
    office, clock
) -> None:
    dead, heir = workers(office, 2)
    seat = [Seat("site", 2)]
    assert [(await dead.connect(seat)).granted for _ in range(2)] == [1, 1]
    refused = await heir.connect(seat)
    office.governor.worker_gone(0)
    assert refused.retry_at <= clock.now + 1.0
    clock.now = refused.retry_at
    assert [(await heir.connect(seat)).granted for _ in range(2)] == [1, 1]
