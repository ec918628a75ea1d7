"""A reload: what is queued follows the new policy at once, wherever it stands."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from penstock.mail.outcome import Outcome
from penstock.policy.policies import Policies
from penstock.sim.relay import NOW, RelayWorld, destination, loaded

FAST = '[limits]\nmessage_rate = "unlimited"\nconnection_rate = "unlimited"\n'
TWO_SOURCES = """\
[source.s1]
ipv4 = "192.0.2.1"
[source.s2]
ipv4 = "192.0.2.2"
[pool.default]
sources = { s1 = %d, s2 = %d }
"""


def _rate(text: str) -> str:
    return f'[limits]\nmessage_rate = "{text} burst 1"\nconnection_rate = "unlimited"\n'


def _reload(world: RelayWorld, policies: Policies) -> None:
    world.dispatcher.reload(policies, ())


async def _sent_in(world: RelayWorld, seconds: float) -> int:
    before = len(world.recipients())
    await world.pass_time(seconds)
    return len(world.recipients()) - before


def test_a_rate_holds_from_the_reload_on_both_ways(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded(_rate("60/min")))
        for n in range(3000):
            await world.send(f"u{n}@a.example")
        assert await _sent_in(world, 60) == pytest.approx(60, abs=3)
        _reload(world, loaded(_rate("20/s")))
        assert await _sent_in(world, 10) == pytest.approx(200, abs=10)
        _reload(world, loaded(_rate("6/h")))
        assert await _sent_in(world, 590) <= 3
        _reload(world, loaded(FAST))
        await world.pass_time(60)
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_who_waits_long_for_a_limit_that_is_lifted_waits_no_more(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded(_rate("1/d")))
        for domain in range(300):
            for n in range(3):
                await world.send(f"u{n}@d{domain}.example")
        await world.pass_time(60)
        assert len(world.recipients()) == 300
        _reload(world, loaded(FAST))
        await world.pass_time(10)
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_tenants_share_by_their_new_weights(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded(_rate("10/s")))
        for n in range(1500):
            for tenant in "ab":
                await world.send(f"{tenant}{n}@a.example", tenant=tenant)
        for tenants, expected in (
            ("", 0.5),
            ("[tenant.a]\nweight = 3\n", 0.75),
            ("[tenant.b]\nweight = 9\n", 0.1),
        ):
            _reload(world, loaded(_rate("10/s"), tenants=tenants))
            before = len(world.recipients())
            await world.pass_time(40)
            got = Counter(one[0] for one in world.recipients()[before:])
            assert got["a"] / got.total() == pytest.approx(expected, abs=0.03)
        await world.close()

    play(scenario)


def test_a_tenant_of_another_class_goes_before_others_from_then_on(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded(_rate("10/s")))
        for n in range(300):
            for tenant in "ab":
                await world.send(f"{tenant}{n}@a.example", tenant=tenant)
        await world.pass_time(5)
        _reload(world, loaded(_rate("10/s"), tenants='[tenant.b]\nclass = "transactional"\n'))
        before = len(world.recipients())
        await world.pass_time(10)
        got = Counter(one[0] for one in world.recipients()[before:])
        assert got["b"] / got.total() > 0.8
        await world.close()

    play(scenario)


def test_queued_mail_is_shared_by_the_new_weights_of_its_sources(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded(_rate("1/h"), sources=TWO_SOURCES % (1, 1)))
        for n in range(1000):
            await world.send(f"u{n}@a.example")
        await world.pass_time(5)
        _reload(world, loaded(FAST, sources=TWO_SOURCES % (9, 1)))
        await world.pass_time(60)
        assert world.entries == 0
        assert len(world.sources()["s2"]) == pytest.approx(100, abs=15)
        await world.close()

    play(scenario)


def test_a_tenants_mail_moves_to_its_new_pool(play) -> None:
    async def scenario() -> None:
        sources = TWO_SOURCES % (1, 1) + '[pool.only]\nsources = ["s2"]\n'
        world = RelayWorld(loaded(_rate("1/h"), sources=sources))
        for n in range(100):
            await world.send(f"u{n}@a.example", tenant="a")
            await world.send(f"u{n}@b.example", tenant="b")
        await world.pass_time(5)
        sent = len(world.sources()["s1"])
        _reload(world, loaded(FAST, sources=sources, tenants='[tenant.a]\npool = "only"\n'))
        await world.pass_time(60)
        assert not any(one.endswith("@a.example") for one in world.sources()["s1"][sent:])
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_a_window_closes_and_opens_with_a_reload(play) -> None:
    async def scenario() -> None:
        # 1,800,000,000 is a Friday, 08:00 UTC
        world = RelayWorld(loaded(_rate("10/s")))
        for n in range(2000):
            await world.send(f"u{n}@a.example", tenant="a")
        await world.pass_time(10)
        shut = '[tenant.a]\nwindow = "mon-fri 12:00-18:00 UTC"\n'
        _reload(world, loaded(_rate("10/s"), tenants=shut))
        await world.pass_time(1)
        assert await _sent_in(world, 3600) == 0
        opened = '[tenant.a]\nwindow = "mon-fri 07:00-18:00 UTC"\n'
        _reload(world, loaded(_rate("10/s"), tenants=opened))
        assert await _sent_in(world, 10) == pytest.approx(100, abs=10)
        _reload(world, loaded(_rate("10/s"), tenants=shut))
        await world.pass_time(1)
        assert await _sent_in(world, 600) == 0
        _reload(world, loaded(FAST))
        await world.pass_time(60)
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_what_is_narrowed_for_a_tenant_holds_for_its_mail_alone(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded(_rate("20/s")))
        for n in range(1500):
            for tenant in "ab":
                await world.send(f"{tenant}{n}@a.example", tenant=tenant)
        await world.pass_time(5)
        narrow = '[[narrow]]\ntenant = "a"\nmessage_rate = "1/s burst 1"\n'
        _reload(world, loaded(_rate("20/s") + narrow))
        before = len(world.recipients())
        await world.pass_time(60)
        got = Counter(one[0] for one in world.recipients()[before:])
        assert got["a"] == pytest.approx(60, abs=4)
        assert got["b"] == pytest.approx(1140, abs=60)
        _reload(world, loaded(_rate("20/s")))
        before = len(world.recipients())
        await world.pass_time(30)
        got = Counter(one[0] for one in world.recipients()[before:])
        assert got["a"] > 250
        await world.close()

    play(scenario)


def test_a_domain_becomes_a_providers_and_orders_by_provider_find_it(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded(_rate("1/s")))
        for n in range(100):
            await world.send(f"u{n}@a.example")
        await world.order("suspend", {"provider": "gmail"})
        await world.pass_time(10)
        assert len(world.recipients()) >= 9
        world.destinations["a.example"] = destination("a.example", provider="gmail")
        _reload(world, loaded(_rate("1/s")))
        await world.pass_time(1)
        assert await _sent_in(world, 60) == 0
        await world.close()

    play(scenario)


def test_mail_that_comes_while_a_reload_goes_round_is_under_the_new_policy(play) -> None:
    """Also in a lane that somebody looks at before its turn: a domain that is found just then."""

    async def scenario() -> None:
        world = RelayWorld(loaded(_rate("10/s")))
        for n in range(2000):
            await world.send(f"ann@d{n}.example", tenant="a", due=world.now() + 3600)
        placing = world.dispatcher.placing
        for key, _ in list(world.spool.key_counts()):
            placing.lane(key)
        lanes = list(placing.lanes.values())
        _reload(world, loaded(_rate("10/s"), tenants='[tenant.a]\nclass = "bulk"\nweight = 5\n'))
        for lane in lanes[-50:]:
            found = await world.find(lane.key.domain)
            assert not isinstance(found, Outcome)
            placing.assign(lane, found)
        await world.pass_time(5)
        assert {lane.class_ for lane in lanes} == {"bulk"}
        assert {lane.place.tenant_weight for lane in lanes if lane.place} == {5}
        await world.close()

    play(scenario)


def test_two_thousand_lanes_follow_though_nothing_is_sent(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded(_rate("1/d")))
        for n in range(2_000):
            await world.send(f"ann@d{n}.example", tenant=f"t{n % 50}")
        await world.pass_time(60)
        placing = world.dispatcher.placing
        assert len(placing.lanes) >= 2_000
        new = loaded(_rate("2/d"), tenants='[tenant."*"]\nweight = 2\n')
        at = world.loop.time()
        _reload(world, new)
        while placing.rounding:
            await world.pass_time(0)
        assert world.loop.time() - at < 1
        assert all(site.policies is new for site in world.sites)
        assert all(lane.place.tenant_weight == 2 for lane in placing.lanes.values() if lane.place)
        await world.close()

    play(scenario)


def test_the_clock_of_these_scenarios_is_on_a_friday_morning() -> None:
    assert time.gmtime(NOW)[6:7] == (4,)
    assert time.gmtime(NOW)[3] == 8
