"""Bytes are counted when a message was taken, and whoever comes next waits for what is owed."""

from __future__ import annotations

import heapq
import random
from collections import Counter

import pytest

from penstock.limits.lease import lease_tokens
from penstock.limits.ports import Claim
from penstock.limits.share import rate_share
from penstock.policy.rate import ByteRate, Rate

MIB = 1 << 20
BYTES = Claim("bytes", ByteRate(MIB, 1.0, MIB))
SITE = Claim("site", Rate(10, 10.0, 5))


async def test_a_large_message_blocks_until_it_is_worked_off(limiter, clock) -> None:
    assert (await limiter.messages([SITE, BYTES], 1)).granted == 1
    limiter.spend([SITE, BYTES], 50 * MIB)
    refused = await limiter.messages([SITE, BYTES], 1)
    assert (refused.granted, refused.key) == (0, "bytes")
    assert refused.retry_at == pytest.approx(clock.now + 49, rel=0.03), "less the burst"
    assert (await limiter.messages([SITE], 9)).granted == 4, "nothing else was charged"
    clock.now = refused.retry_at - 0.1
    assert (await limiter.messages([BYTES], 1)).granted == 0
    clock.now = refused.retry_at
    assert (await limiter.messages([BYTES], 1)).granted == 1


async def test_bytes_do_not_divide_messages(limiter, clock) -> None:
    """One byte free admits what the other claims allow."""
    little = Claim("little", ByteRate(10, 10.0, 1))
    assert (await limiter.messages([SITE, little], 3)).granted == 3
    assert (await limiter.messages([SITE, little], 1)).key == "little"


async def test_admission_given_back_is_admission_again(limiter, clock) -> None:
    little = Claim("little", ByteRate(10, 100.0, 1))
    assert (await limiter.messages([little], 1)).granted == 1
    limiter.give_back([little], 1)
    assert (await limiter.messages([little], 1)).granted == 1


async def test_a_changed_rate_works_off_what_is_owed(limiter, clock) -> None:
    assert (await limiter.messages([BYTES], 1)).granted == 1
    limiter.spend([BYTES], 11 * MIB)
    await limiter.messages([BYTES], 1)
    twice = Claim("bytes", ByteRate(2 * MIB, 1.0, MIB))
    refused = await limiter.messages([twice], 1)
    assert refused.retry_at == pytest.approx(clock.now + 5, rel=0.05)


async def test_what_is_owed_is_counted(limiter, clock) -> None:
    assert (await limiter.messages([BYTES], 1)).granted == 1
    limiter.spend([BYTES, SITE], 3 * MIB)
    await limiter.messages([BYTES], 1)
    assert limiter.stats()["bytes_spent"] == 3 * MIB


async def test_the_governor_counts_the_keys_that_owe(office, clock) -> None:
    limiter = office.worker()
    await limiter.messages([BYTES], 1)
    limiter.spend([BYTES], 3 * MIB)
    await limiter.messages([BYTES], 1)
    assert office.governor.stats()["keys_in_debt"] == 1
    assert office.governor.stats()["bytes_spent"] == 3 * MIB
    clock.now += 2.1
    assert office.governor.stats()["keys_in_debt"] == 0


def test_bytes_are_never_leased_and_their_shares_are_bytes() -> None:
    assert lease_tokens(BYTES.rate) == 0
    assert lease_tokens(Rate(MIB, 1.0, MIB)) > 0
    assert rate_share(BYTES.rate, 4) == ByteRate(MIB // 4, 1.0, MIB // 4)
    assert rate_share(ByteRate(2, 60.0, 1), 8) == ByteRate(1, 240.0, 1)


async def test_a_share_of_bytes_owes_too(office, clock) -> None:
    limiter = office.worker(0, 4)
    office.cut = True
    await limiter.messages([BYTES], 1)
    clock.now += 0.5
    assert limiter.try_messages([BYTES], 1).granted == 1
    limiter.spend([BYTES], MIB)
    clock.now += 0.4
    refused = limiter.try_messages([BYTES], 1)
    assert refused.granted == 0
    assert refused.retry_at == pytest.approx(clock.now + 4 - 1, abs=0.6)


async def test_what_was_spent_while_the_governor_was_lost_is_charged_when_it_is_back(
    office, clock
) -> None:
    """Granted by the governor, taken, and weighed just when nobody answers any more."""
    limiter = office.worker()
    await limiter.messages([BYTES], 1)
    office.cut = True
    limiter.spend([BYTES], 10 * MIB)
    await limiter.messages([SITE], 1)
    assert limiter.stats()["fallback"] == 1
    office.cut = False
    clock.now += 2
    assert (await limiter.messages([BYTES], 1)).granted == 0
    assert office.governor.stats()["keys_in_debt"] == 1


def weights(rng: random.Random) -> int:
    return rng.choice([rng.randint(1, 5_000), rng.randint(1, 200_000), rng.randint(1, 3 * MIB)])


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_four_workers_keep_bytes_in_every_window_and_use_them(office, clock, seed) -> None:
    """Each takes a message as soon as it is let, of any size; a window holds at most what the rate
    and the burst give it, and the last message of each worker."""
    rng = random.Random(seed)
    rate = ByteRate(MIB // 2, 1.0, MIB // 2)
    limiters = [office.worker(index, 4) for index in range(4)]
    start = clock.now
    turns = [(start, index) for index in range(4)]
    sent: list[tuple[float, int, int]] = []
    while turns[0][0] < start + 300:
        at, index = heapq.heappop(turns)
        clock.now = max(clock.now, at)
        grant = await limiters[index].messages([Claim("bytes", rate)], 1)
        if not grant.granted:
            heapq.heappush(turns, (grant.retry_at + rng.uniform(0, 0.005), index))
            continue
        size = weights(rng)
        sent.append((clock.now, index, size))
        limiters[index].spend([Claim("bytes", rate)], size)
        heapq.heappush(turns, (clock.now + rng.uniform(0, 0.001), index))
    total = sum(size for _, _, size in sent)
    assert 0.95 * 300 * rate.count <= total <= 300 * rate.count + rate.burst + 12 * MIB
    for first in range(len(sent)):
        inside = 0
        largest: dict[int, int] = {}
        for at, worker, size in sent[first:]:
            inside += size
            largest[worker] = max(largest.get(worker, 0), size)
            window = at - sent[first][0]
            assert inside <= rate.count * window + rate.burst + sum(largest.values())
    turns_had = Counter(worker for _, worker, _ in sent)
    assert min(turns_had.values()) >= 0.7 * max(turns_had.values()), turns_had
