"""Messages that count against several limits at once, asked for by several workers."""

from __future__ import annotations

import heapq
from collections import Counter

import pytest

from penstock.limits.ports import Claim
from penstock.policy.rate import Rate

SITE = Claim("site", Rate(60, 60.0, 1))
PROVIDER = Claim("provider", Rate(90, 60.0, 1))


def tenant(name: str, count: int) -> Claim:
    return Claim(f"tenant {name}", Rate(count, 60.0, 1))


class Lanes:
    """Workers with many lanes each. A lane is a set of claims; one that is refused waits at the key
    that binds until the time that it was told. Of those awake
    the one served longest ago asks first."""

    def __init__(self, clock, office, lanes: list[list[list[Claim]]]) -> None:
        self.clock, self.office = clock, office
        self.limiters = [office.worker(index, len(lanes)) for index in range(len(lanes))]
        self.lanes = lanes
        self.sent: list[tuple[float, int, tuple[str, ...]]] = []
        self.waiting_max = 0

    async def run(self, span_s: float) -> None:
        end = self.clock.now + span_s
        turns = [(self.clock.now, worker, lane) for worker, lane in self._all()]
        heapq.heapify(turns)
        served = dict.fromkeys(self._all(), 0.0)
        while turns[0][0] < end:
            self.clock.now = max(self.clock.now, turns[0][0])
            awake = []
            while turns and turns[0][0] <= self.clock.now + 0.002:
                awake.append(heapq.heappop(turns)[1:])
            self.clock.now += 0.002
            for each in sorted(awake, key=lambda each: served[each]):
                heapq.heappush(turns, (await self._ask(each, served), *each))

    def _all(self) -> list[tuple[int, int]]:
        return [(worker, n) for worker, lanes in enumerate(self.lanes) for n in range(len(lanes))]

    async def _ask(self, each: tuple[int, int], served: dict[tuple[int, int], float]) -> float:
        worker, lane = each
        claims = self.lanes[worker][lane]
        grant = await self.limiters[worker].messages(claims, 1)
        self.waiting_max = max(self.waiting_max, self.office.governor.stats()["waiting"])
        if grant.granted:
            served[each] = self.clock.now
            self.sent.append((self.clock.now, worker, tuple(claim.key for claim in claims)))
            return self.clock.now
        assert grant.key in [claim.key for claim in claims]
        assert grant.retry_at > self.clock.now
        return grant.retry_at

    def of(self, key: str) -> list[tuple[float, int, int]]:
        return [(at, worker, 1) for at, worker, keys in self.sent if key in keys]


async def test_four_workers_and_three_limits_that_overlap(clock, office, window) -> None:
    """Each pair of limits is shared by two workers or all; the tightest is used in full, and nobody
    has more than twice its part of it."""
    a, b, c = Claim("a", Rate(60, 60.0, 1)), Claim("b", Rate(70, 60.0, 1)), tenant("c", 80)
    sets = [[[a, b, c]], [[c, a, b]], [[b, c, a]], [[a, c, b]]]
    crossing = Lanes(clock, office, sets)
    await crossing.run(600.0)
    assert window(crossing.of("a"), 60.0) <= 60
    assert len(crossing.sent) >= 0.95 * 600
    shares = Counter(worker for _, worker, _ in crossing.sent)
    assert len(shares) == 4
    assert max(shares.values()) <= 1.1 * min(shares.values())


async def test_limits_in_a_ring_do_not_lock(clock, office, window) -> None:
    """Worker by worker: site and one tenant, site and another, both tenants, and all of them."""
    x, y = tenant("x", 30), tenant("y", 40)
    crossing = Lanes(clock, office, [[[SITE, x]], [[SITE, y]], [[x, y]], [[SITE, x, y]]])
    await crossing.run(600.0)
    for claim in (SITE, x, y):
        assert window(crossing.of(claim.key), 60.0) <= claim.rate.count
    assert len(crossing.of(x.key)) >= 0.95 * 300, "the tightest"
    shares = Counter(worker for _, worker, _ in crossing.of(x.key))
    assert set(shares) == {0, 2, 3}
    assert min(shares.values()) >= 300 / 3 / 2


@pytest.mark.parametrize("tenants", [3, 20])
async def test_lanes_of_capped_tenants_leave_the_site_to_the_others(
    clock, office, window, tenants
) -> None:
    """Every worker has lanes of tenants with tight caps and one of a tenant without: the site is
    used in full whatever the capped ones wait for, and each of them gets its cap too."""
    capped = [[PROVIDER, SITE, tenant(str(n), 2)] for n in range(tenants)]
    start = clock.now
    crossing = Lanes(clock, office, [[*capped, [PROVIDER, SITE]] for _ in range(4)])
    await crossing.run(600.0)
    assert window(crossing.of("site"), 60.0) <= 60
    assert len(crossing.of("site")) >= 0.95 * 600
    shares = Counter(worker for _, worker, _ in crossing.sent)
    assert max(shares.values()) <= 2 * 600 / 4
    assert min(shares.values()) >= 600 / 4 / 2
    for n in range(tenants):
        settled = [at for at, _, _ in crossing.of(f"tenant {n}") if at > start + 120]
        assert len(settled) >= 0.8 * 16, n


async def test_a_worker_with_lanes_at_caps_keeps_its_turn_at_the_site(clock, office) -> None:
    """What a tenant's cap refuses does not put off what the worker was promised of the site."""
    first, second = office.worker(0, 2), office.worker(1, 2)
    cap = tenant("slow", 1)
    assert (await second.messages([SITE, cap], 1)).granted == 1
    turn = await first.messages([SITE], 1)
    clock.now = turn.retry_at
    assert (await first.messages([SITE, cap], 1)).key == cap.key
    assert (await second.messages([SITE], 1)).granted == 0
    assert (await first.messages([SITE], 1)).granted == 1


async def test_a_turn_that_another_limit_delayed_is_still_had_before_later_ones(
    clock, office
) -> None:
    first, second = office.worker(0, 2), office.worker(1, 2)
    cap = tenant("slow", 2)
    assert (await second.messages([cap], 1)).granted == 1
    turn = await first.messages([cap], 1)
    after = await second.messages([cap], 1)
    assert after.retry_at > turn.retry_at + 29
    clock.now = turn.retry_at + 3.0
    assert (await second.messages([cap], 1)).granted == 0
    assert (await first.messages([cap], 1)).granted == 1


async def test_what_waits_does_not_grow_with_the_lanes_of_a_worker(clock, office) -> None:
    """One promise a key and worker, however many ask."""
    crossing = Lanes(clock, office, [[[SITE]] * 200 for _ in range(4)])
    await crossing.run(60.0)
    assert crossing.waiting_max <= 4
    asked = office.asked().count("messages")
    assert asked <= 3 * len(crossing.sent) + 8, "refusals are remembered"
