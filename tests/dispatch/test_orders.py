"""Standing orders: they hold at once, for all that they name, wherever it is, and for nothing else.

Each order is tried with selectors of every kind on mail in every state: ready, waiting for a time,
read ahead, under way, and for a domain that nobody has looked up yet.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from penstock.mail.outcome import Kind
from penstock.sim.relay import LATER, NOW, OK, RelayWorld, destination, loaded
from penstock_queue import QueueConfig

SOURCES = """\
[source.s1]
ipv4 = "192.0.2.1"
[source.s2]
ipv4 = "192.0.2.2"
[source.s3]
ipv4 = "192.0.2.3"
[pool.default]
sources = { s1 = 1, s2 = 1 }
[pool.warm]
sources = ["s3"]
"""
SLOW_RETRY = '[limits]\nretry_initial_s = "1h"\nretry_jitter = 0\n'
FIELDS = {
    "tenant": "acme",
    "campaign": "spring",
    "provider": "gmail",
    "domain": "a.example",
    "class": "bulk",
    "pool": "warm",
}
NAMED = {"tenant": "acme", "campaign": "spring", "class_": "bulk", "pool": "warm"}
SELECTORS = [
    *({name: value} for name, value in FIELDS.items()),
    *({name: FIELDS[name] for name in pair} for pair in itertools.pairwise(FIELDS)),
    FIELDS,
]


def _world(text: str = SLOW_RETRY, **more: Any) -> RelayWorld:
    world = RelayWorld(loaded(text, sources=SOURCES), **more)
    world.destinations["a.example"] = destination("a.example", provider="gmail")
    world.destinations["b.example"] = destination("b.example", provider="other")
    return world


async def _restarted(world: RelayWorld, text: str = SLOW_RETRY) -> RelayWorld:
    """The same spool under a new worker, which is told the same orders."""
    now = world.now()
    await world.close()
    again = _world(text, disk=world.disk, jump=now - NOW)
    again.answer = world.answer
    await again.obey(world.orders)
    return again


async def _two(world: RelayWorld) -> None:
    """One message that all of ``FIELDS`` fit, and one that none does."""
    await world.send("named@a.example", **NAMED)
    await world.send("free@b.example", tenant="other", campaign="other", class_="triggered")


def _bounced(world: RelayWorld) -> list[str]:
    return [one.recipient for one in world.attempts if one.outcome.kind is Kind.BOUNCED]


async def _so_many_bounced(world: RelayWorld, count: int) -> None:
    """The next turn of the loop after it, and no time."""
    while len(_bounced(world)) < count:  # noqa: ASYNC110
        await asyncio.sleep(0)


# suspend


@pytest.mark.parametrize("selector", SELECTORS, ids="+".join)
def test_what_is_suspended_waits_and_nothing_else(selector, play) -> None:
    async def scenario() -> None:
        world = _world()
        await world.order("suspend", selector)
        await _two(world)
        await world.pass_time(3600)
        assert world.recipients() == ["free@b.example"]
        await world.cancel(selector)
        await world.pass_time(5)
        assert world.recipients() == ["free@b.example", "named@a.example"]
        await world.close()

    play(scenario)


@pytest.mark.parametrize("selector", SELECTORS, ids="+".join)
def test_what_waits_for_a_retry_is_held_when_it_is_due(selector, play) -> None:
    async def scenario() -> None:
        world = _world()
        world.answer = lambda tx, one: LATER
        await _two(world)
        await world.pass_time(10)
        await world.order("suspend", selector)
        world.answer = lambda tx, one: OK
        await world.pass_time(7200)
        assert world.recipients()[2:] == ["free@b.example"]
        await world.cancel(selector)
        await world.pass_time(5)
        assert world.entries == 0
        await world.close()

    play(scenario)


@pytest.mark.parametrize("selector", SELECTORS, ids="+".join)
@pytest.mark.parametrize("verb", ["suspend", "bounce"])
def test_an_order_holds_at_once_for_a_site_in_full_swing(verb, selector, play) -> None:
    """Also for what was read ahead: nothing is in the cache."""

    async def scenario() -> None:
        limits = '[limits]\nconnections = 3\nmessage_rate = "20/s burst 1"\n'
        world = _world(limits, queue=QueueConfig(cache_bytes=1))
        for n in range(200):
            await world.send(f"n{n}@a.example", **NAMED)
        await world.pass_time(2)
        under_way = len(world.dispatcher.in_flight)
        before = len(world.recipients())
        assert 10 < before < 190
        await world.order(verb, selector)
        await world.pass_time(60)
        assert len(world.recipients()) <= before + under_way
        await world.send("free@b.example")
        await world.pass_time(30)
        assert world.recipients()[-1] == "free@b.example"
        if verb == "suspend":
            await world.cancel(selector)
            await world.pass_time(60)
            assert len(set(world.recipients())) == 201
        else:
            assert len(_bounced(world)) + before + under_way >= 200
            assert world.steering.rules_left() == {"o1": 0}
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_a_suspended_source_leaves_its_mail_to_the_others(play) -> None:
    async def scenario() -> None:
        world = _world()
        await world.order("suspend", {"source": "s1"})
        for n in range(40):
            await world.send(f"n{n}@a.example")
        await world.pass_time(30)
        assert set(world.sources()) == {"s2"}
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_a_source_suspended_for_a_tenant_holds_that_tenants_part_of_it(play) -> None:
    async def scenario() -> None:
        world = _world()
        selector = {"source": "s1", "tenant": "acme"}
        await world.order("suspend", selector)
        for n in range(40):
            await world.send(f"n{n}@a.example", tenant="acme")
            await world.send(f"o{n}@a.example", tenant="other")
        await world.pass_time(30)
        by_s1, by_s2 = world.sources()["s1"], world.sources()["s2"]
        assert all(one.startswith("o") for one in by_s1)
        assert len(by_s1) == pytest.approx(20, abs=2)
        assert len(by_s2) == pytest.approx(40, abs=3)
        assert world.entries == 80 - len(by_s1) - len(by_s2) > 0
        await world.cancel(selector)
        await world.pass_time(30)
        assert world.sources()["s2"] == by_s2, "what was held goes from its own source"
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_an_order_is_under_way_while_the_domain_is_looked_up(play) -> None:
    async def scenario() -> None:
        world = _world()
        found = asyncio.Event()
        find = world.find

        async def slowly(domain: str) -> Any:
            await found.wait()
            return await find(domain)

        world.dispatcher.locator._find = slowly
        await world.send("ann@a.example", tenant="acme")
        await world.send("bob@a.example", tenant="other")
        await world.pass_time(1)
        asyncio.get_running_loop().call_later(5, found.set)
        await world.order("suspend", {"provider": "gmail", "tenant": "acme"})
        await world.pass_time(30)
        assert world.recipients() == ["bob@a.example"]
        await world.close()

    play(scenario)


# bounce


@pytest.mark.parametrize("selector", [*SELECTORS, {"source": "s3"}, {"source": "s3", **FIELDS}])
@pytest.mark.parametrize("where", ["ready", "timers", "restarted", "unknown"])
def test_a_bounce_takes_all_it_names_and_ends_by_itself(where, selector, play) -> None:
    async def scenario() -> None:
        world = _world()
        world.answer = lambda tx, one: LATER
        if where == "unknown":
            await world.send("named@a.example", due=world.now() + 3600, **NAMED)
            await world.send("free@b.example", due=world.now() + 3600, tenant="other")
        else:
            if where == "ready":
                await world.order("suspend", {"tenant": "acme"})
            await _two(world)
            await world.pass_time(10)
        if where == "restarted":
            world = await _restarted(world)
        attempted = world.recipients().count("named@a.example")
        await world.order("bounce", selector, before=world.now(), reason="wrong list")
        await world.pass_time(5)
        bounced = [one for one in world.attempts if one.outcome.kind is Kind.BOUNCED]
        assert [one.recipient for one in bounced] == ["named@a.example"]
        assert "wrong list" in str(bounced[0].outcome.reply)
        assert world.recipients().count("named@a.example") == attempted
        bounce = world.orders[-1]["id"]
        assert world.steering.rules_left() == {bounce: 0}
        assert world.entries == 1

        await world.obey([])
        world.answer = lambda tx, one: OK
        await world.send("named@a.example", **NAMED)
        await world.pass_time(5)
        assert world.recipients()[-1] == "named@a.example", "what comes afterwards goes"
        await world.close()

    play(scenario)


def test_mail_that_comes_in_the_second_of_a_bounce_is_not_meant(play) -> None:
    async def scenario() -> None:
        world = _world()
        await world.order("suspend", {"tenant": "acme"})
        await world.pass_time(0.5)
        await world.send("old@a.example", tenant="acme")
        await world.pass_time(0.1)
        before = world.now()
        await world.pass_time(0.1)
        await world.send("new@a.example", tenant="acme")
        await world.order("bounce", {"tenant": "acme"}, before=before)
        await world.pass_time(5)
        assert _bounced(world) == ["old@a.example"]
        assert world.steering.rules_left() == {"o2": 0}
        await world.obey([])
        await world.pass_time(5)
        assert world.recipients() == ["new@a.example"]
        await world.close()

    play(scenario)


def test_a_bounce_with_a_duration_also_takes_what_comes(play) -> None:
    async def scenario() -> None:
        world = _world()
        await world.order("bounce", {"tenant": "acme"}, until=world.now() + 60)
        for n in range(5):
            await world.send(f"n{n}@a.example", tenant="acme")
            await world.pass_time(5)
        assert world.recipients() == []
        assert len(_bounced(world)) == 5
        assert world.steering.rules_left() == {"o1": 1}, "it ends by its time, not by itself"
        await world.close()

    play(scenario)


def test_who_is_told_and_who_is_not(play) -> None:
    async def scenario() -> None:
        world = _world()
        for tenant in ("told", "untold"):
            await world.order("suspend", {"tenant": tenant})
            sender = f"{tenant}@s.example"
            for n in range(600):
                await world.send(f"{tenant}{n}@b.example", tenant=tenant, sender=sender)
        before = world.now()
        await world.pass_time(1)
        await world.obey([])
        await world.order("bounce", {"tenant": "told"}, before=before, tell=True)
        await world.order("bounce", {"tenant": "untold"}, before=before)
        await world.pass_time(120)
        assert list(world.steering.rules_left().values()) == [0, 0]
        await world.obey([])
        await world.pass_time(120)
        assert len(set(_bounced(world))) == len(_bounced(world)) == 1200, "each is in the log"
        assert world.recipients() == ["told@s.example"] * 600
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_the_reports_of_a_lasting_bounce_are_not_bounced_themselves(play) -> None:
    async def scenario() -> None:
        world = _world()
        await world.order("bounce", {"tenant": "told"}, until=world.now() + 60, tell=True)
        for n in range(10):
            await world.send(f"told{n}@b.example", tenant="told", sender="app@s.example")
        await world.pass_time(60)
        await world.obey([])
        await world.pass_time(60)
        assert world.recipients() == ["app@s.example"] * 10
        await world.close()

    play(scenario)


def test_what_was_under_way_is_bounced_when_it_comes_back(play) -> None:
    async def scenario() -> None:
        world = _world()
        world.latency_s = 20
        world.answer = lambda tx, one: LATER if one.startswith("later") else OK
        await world.send("later@a.example", tenant="acme")
        await world.send("done@a.example", tenant="acme")
        await world.pass_time(5)
        await world.order("bounce", {"tenant": "acme"}, before=world.now())
        await world.pass_time(5)
        assert world.steering.rules_left()["o1"] > 0
        await world.pass_time(60)
        assert _bounced(world) == ["later@a.example"]
        assert world.steering.rules_left() == {"o1": 0}
        await world.close()

    play(scenario)


def test_a_restart_in_the_middle_of_a_bounce(play) -> None:
    async def scenario() -> None:
        world = _world()
        await world.order("suspend", {"tenant": "acme"})
        for n in range(3000):
            await world.send(f"n{n}@a.example", tenant="acme")
        await world.order("bounce", {"tenant": "acme"}, before=world.now())
        await _so_many_bounced(world, 1000)
        first = set(_bounced(world))
        assert len(first) < 2500
        again = await _restarted(world)
        await again.pass_time(30)
        assert again.entries == 0
        assert first | set(_bounced(again)) == {f"n{n}@a.example" for n in range(3000)}
        assert first.isdisjoint(_bounced(again))
        assert world.recipients() == again.recipients() == []
        await again.close()

    play(scenario)


def test_a_cancelled_bounce_stops_and_the_rest_goes(play) -> None:
    async def scenario() -> None:
        world = _world('[limits]\nmessage_rate = "1000/s"\n')
        await world.order("suspend", {"tenant": "acme"})
        for n in range(2000):
            await world.send(f"n{n}@a.example", tenant="acme")
        await world.order("bounce", {"tenant": "acme"}, before=world.now())
        await _so_many_bounced(world, 500)
        await world.obey([])
        cancelled = len(_bounced(world))
        await world.pass_time(600)
        assert len(_bounced(world)) == cancelled < 2000
        assert len(world.recipients()) == len(set(world.recipients())) == 2000 - cancelled
        assert world.entries == 0
        await world.close()

    play(scenario)


# reroute


@pytest.mark.parametrize("selector", [s for s in SELECTORS if "pool" not in s], ids="+".join)
def test_rerouted_mail_goes_by_the_other_pool_until_it_is_cancelled(selector, play) -> None:
    async def scenario() -> None:
        world = _world()
        named = {**NAMED, "pool": ""}
        await world.order("suspend", {"domain": "a.example"})
        for n in range(20):
            await world.send(f"early{n}@a.example", **named)
            await world.send(f"free{n}@b.example")
        await world.pass_time(1)
        await world.order("reroute", selector, pool="warm")
        if selector != {"domain": "a.example"}:
            await world.cancel({"domain": "a.example"})
        else:
            await world.obey(world.orders[1:])
        for n in range(20):
            await world.send(f"late{n}@a.example", **named)
        await world.pass_time(30)
        assert len(world.sources()["s3"]) == 40
        assert all(one.endswith("a.example") for one in world.sources()["s3"])
        await world.obey([])
        for n in range(20):
            await world.send(f"after{n}@a.example", **named)
        await world.pass_time(30)
        assert len(world.sources()["s3"]) == 40
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_rerouted_mail_that_still_waits_goes_back_when_that_is_cancelled(play) -> None:
    async def scenario() -> None:
        world = _world()
        world.dispatcher.placing.book.absent({"s3": "gone"})
        await world.order("reroute", {"tenant": "acme"}, pool="warm")
        for n in range(20):
            await world.send(f"n{n}@a.example", tenant="acme")
        await world.pass_time(60)
        assert world.recipients() == [], "no other source than those of the pool"
        await world.cancel({"tenant": "acme"})
        await world.pass_time(5)
        assert {source: len(got) for source, got in world.sources().items()} == {"s1": 10, "s2": 10}
        await world.close()

    play(scenario)


@pytest.mark.parametrize("tenant", ["", "acme"])
def test_the_mail_of_one_source_is_rerouted(tenant, play) -> None:
    async def scenario() -> None:
        world = _world()
        selector = {"source": "s1", **({"tenant": tenant} if tenant else {})}
        await world.order("reroute", selector, pool="warm")
        for n in range(40):
            await world.send(f"n{n}@a.example", tenant="acme")
            await world.send(f"o{n}@a.example", tenant="other")
        await world.pass_time(30)
        counts = {source: len(got) for source, got in world.sources().items()}
        expected = {"s2": 40, "s3": 20, "s1": 20} if tenant else {"s2": 40, "s3": 40}
        assert counts == pytest.approx(expected, abs=3)
        assert not tenant or all(one.startswith("n") for one in world.sources()["s3"])
        await world.obey([])
        for n in range(20):
            await world.send(f"p{n}@a.example", tenant="acme")
        await world.pass_time(30)
        assert world.sources()["s1"][-1].startswith("p")
        assert world.entries == 0
        await world.close()

    play(scenario)


# expire


@pytest.mark.parametrize("selector", SELECTORS, ids="+".join)
def test_an_earlier_expiry_ends_what_it_names(selector, play) -> None:
    async def scenario() -> None:
        world = _world()
        world.answer = lambda tx, one: LATER
        await _two(world)
        await world.pass_time(10)
        at = world.now() + 600
        await world.order("expire", selector, expires_at=at, before=world.now())
        await world.pass_time(590)
        assert world.entries == 2
        assert world.steering.rules_left()["o1"] > 0, "a restart must find it again"
        await world.pass_time(130)
        world.answer = lambda tx, one: OK
        assert world.kinds()[-1:] == ["deferred"]
        rows = (await world.steering.listing({}, 10))["rows"]
        assert [row["recipient"] for row in rows if row["sender"]] == ["free@b.example"]
        await world.pass_time(120)
        assert world.steering.rules_left() == {"o1": 0}
        await world.close()

    play(scenario)


@pytest.mark.parametrize("restart", [False, True])
def test_a_later_expiry_is_kept_over_a_restart_and_beyond_the_maximum_age(restart, play) -> None:
    async def scenario() -> None:
        limits = '[limits]\nmax_age_s = "2h"\nretry_initial_s = "30m"\nretry_factor = 1\n'
        world = _world(limits)
        world.answer = lambda tx, one: LATER
        await world.send("kept@a.example", tenant="acme", expires_s=7200)
        await world.send("lost@a.example", tenant="other", expires_s=7200)
        await world.pass_time(10)
        at = world.now() + 86400
        await world.order("expire", {"tenant": "acme"}, expires_at=at, before=world.now())
        await world.pass_time(10)
        if restart:
            world = await _restarted(world, limits)
        await world.pass_time(4 * 3600)
        rows = (await world.steering.listing({}, 10))["rows"]
        assert [row["recipient"] for row in rows if row["sender"]] == ["kept@a.example"]
        world.answer = lambda tx, one: OK
        await world.pass_time(3600)
        assert "kept@a.example" in world.recipients()
        assert world.entries == 0
        assert world.steering.rules_left() == {"o1": 0}
        await world.close()

    play(scenario)


def test_of_two_expiries_the_later_order_holds_also_after_a_restart(play) -> None:
    async def scenario() -> None:
        world = _world()
        world.answer = lambda tx, one: LATER
        refs = [await world.send(f"n{n}@a.example", tenant="acme") for n in range(600)]
        await world.pass_time(20)
        first, second = world.now() + 1000, world.now() + 50_000
        await world.order("expire", {"tenant": "acme"}, expires_at=first, before=world.now())
        await world.pass_time(5)
        await world.order("expire", {"domain": "a.example"}, expires_at=second, before=world.now())
        await world.pass_time(5)
        again = await _restarted(world)
        await again.pass_time(5)
        assert [again.spool.expires(ref) for ref in refs] == [pytest.approx(second, abs=1)] * 600
        await again.close()

    play(scenario)


# retry


@pytest.mark.parametrize("selector", [*SELECTORS, {"source": "s3"}, {"source": "s3", **FIELDS}])
@pytest.mark.parametrize("restart", [False, True])
def test_retry_now_by_every_selector(restart, selector, play) -> None:
    async def scenario() -> None:
        world = _world()
        world.answer = lambda tx, one: LATER
        await _two(world)
        await world.pass_time(10)
        if restart:
            world = await _restarted(world)
        world.answer = lambda tx, one: OK
        before = len(world.recipients())
        assert (await world.steering.retry(selector))["messages"] == 1
        await world.pass_time(5)
        assert world.recipients()[before:] == ["named@a.example"]
        await world.close()

    play(scenario)


# what goes wrong


def test_a_disk_that_cannot_be_read_only_delays_a_bounce(play) -> None:
    async def scenario() -> None:
        world = _world()
        await world.order("suspend", {"tenant": "acme"})
        for n in range(10):
            await world.send(f"n{n}@a.example", tenant="acme")
        broken = [True]
        read = world.spool.read_heads

        def unreadable(refs: Any) -> Any:
            if broken[0]:
                raise OSError(5, "Input/output error")
            return read(refs)

        world.spool.read_heads = unreadable  # type: ignore[method-assign]
        await world.order("bounce", {"tenant": "acme"}, before=world.now())
        await world.pass_time(10)
        assert world.steering.rules_left()["o2"] == 10
        assert _bounced(world) == []
        broken[0] = False
        await world.pass_time(5)
        assert len(_bounced(world)) == 10
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_provider_orders_find_many_unknown_domains_at_once(play) -> None:
    async def scenario() -> None:
        world = _world()
        for n in range(1000):
            world.destinations[f"d{n}.example"] = destination(f"d{n}.example", provider="gmail")
            await world.send(f"ann@d{n}.example", due=world.now() + 3600)
        find = world.find

        async def slowly(domain: str) -> Any:
            await asyncio.sleep(0.5)
            return await find(domain)

        world.dispatcher.locator._find = slowly
        began = world.loop.time()
        assert (await world.order("bounce", {"provider": "gmail"}, before=world.now())) == {
            "keys": 1000,
            "messages": 1000,
        }
        assert world.loop.time() - began < 10
        await world.pass_time(300)
        assert world.entries == 0
        assert world.steering.rules_left() == {"o1": 0}
        await world.close()

    play(scenario)
