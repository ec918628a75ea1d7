"""By which source mail leaves: by weight, always the same for a message, and by others where one is
out; what no source can send waits and says so."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.sim.relay import LATER, OK, RelayWorld, destination, loaded
from penstock.smtp.reply import Reply

THREE_TO_ONE = """\
[source.s1]
ipv4 = "192.0.2.1"
[source.s2]
ipv4 = "192.0.2.2"
[source.s3]
ipv4 = "192.0.2.3"
[pool.default]
sources = { s1 = 3, s2 = 1 }
overflow = "spare"
[pool.spare]
sources = ["s3"]
"""
FAST = '[limits]\nmessage_rate = "unlimited"\nconnection_rate = "unlimited"\n'
NO_WAY = Outcome(
    Kind.DEFERRED,
    Phase.EGRESS,
    Reply.of(451, "4.4.1 The source's proxy failed: Connection refused"),
)


def _world(text: str = FAST, sources: str = THREE_TO_ONE, **files: str) -> RelayWorld:
    return RelayWorld(loaded(text, sources=sources, **files))


def _counts(world: RelayWorld) -> dict[str, int]:
    return {source: len(got) for source, got in world.sources().items()}


def _absent(world: RelayWorld, *names: str) -> None:
    """These sources have no address on the machine from now on."""
    if world.dispatcher.placing.book.absent(dict.fromkeys(names, "gone")):
        world.dispatcher.placing.sources_changed()


async def _waits(world: RelayWorld) -> Counter[str]:
    rows = (await world.steering.listing({}, 10_000))["rows"]
    return Counter(row["reason"] for row in rows)


# weights


def test_weights_count_over_all_queues_and_not_in_each(play) -> None:
    async def scenario() -> None:
        world = _world()
        for n in range(100):
            for domain in range(10):
                await world.send(f"u{n}@d{domain}.example", tenant=f"t{n % 3}")
        await world.pass_time(60)
        assert _counts(world)["s1"] == pytest.approx(750, abs=15)
        assert world.entries == 0
        by_domain = Counter(one.partition("@")[2] for one in world.sources()["s2"])
        assert len(by_domain) == 10
        await world.close()

    play(scenario)


def test_one_message_to_each_of_many_queues_is_shared_by_weight_too(play) -> None:
    async def scenario() -> None:
        world = _world()
        for n in range(1000):
            await world.send(f"ann@d{n}.example")
        await world.pass_time(60)
        assert _counts(world)["s1"] == pytest.approx(750, abs=20)
        await world.close()

    play(scenario)


def test_all_recipients_of_a_message_leave_by_one_source(play) -> None:
    async def scenario() -> None:
        world = _world()
        for n in range(40):
            await world.send(*(f"m{n}p{p}@a.example" for p in range(20)))
        await world.pass_time(60)
        sources = {
            (source, one.partition("p")[0])
            for source, got in world.sources().items()
            for one in got
        }
        assert len(sources) == 40
        assert {source for source, _ in sources} == {"s1", "s2"}
        assert all(len(tx.recipients) == 20 for _, _, tx in world.seen)
        await world.close()

    play(scenario)


def test_a_greylisted_message_comes_again_by_the_same_source(play) -> None:
    async def scenario() -> None:
        world = _world(FAST + 'retry_initial_s = "1m"\nretry_factor = 1\n')
        world.answer = lambda tx, one: LATER
        for n in range(100):
            await world.send(f"u{n}@a.example")
        await world.pass_time(600)
        for got in world.sources().values():
            assert min(Counter(got).values()) >= 5
        assert not set(world.sources()["s1"]) & set(world.sources()["s2"])
        await world.close()

    play(scenario)


def test_it_comes_again_by_the_same_source_after_a_restart_too(play) -> None:
    async def scenario() -> None:
        world = _world(FAST + 'retry_initial_s = "1m"\n')
        world.answer = lambda tx, one: LATER
        for n in range(100):
            await world.send(f"u{n}@a.example")
        await world.pass_time(10)
        await world.close()
        again = RelayWorld(loaded(FAST, sources=THREE_TO_ONE), disk=world.disk, jump=120)
        await again.pass_time(10)
        assert {k: sorted(v) for k, v in again.sources().items()} == {
            k: sorted(v) for k, v in world.sources().items()
        }
        await again.close()

    play(scenario)


# a source that is out


def test_a_source_that_goes_moves_its_own_mail_and_no_other(play) -> None:
    async def scenario() -> None:
        slow = '[limits]\nmessage_rate = "5/s burst 1"\nconnections = 2\n'
        world = _world(slow, THREE_TO_ONE.replace("s1 = 3, s2 = 1", "s1 = 1, s2 = 1, s3 = 1"))
        for n in range(600):
            await world.send(f"u{n}@a.example")
        placing = world.dispatcher.placing
        [lane] = placing.lanes.values()
        await world.pass_time(1)
        before = {ref: placing.source_of(lane, ref) for ref in world.spool.refs()}
        await world.pass_time(5)
        _absent(world, "s2")
        gone_at, sent = world.loop.time(), _counts(world)["s2"]
        assert 10 < sent < 100
        await world.pass_time(20)
        assert _counts(world)["s2"] <= sent + 2, "but for what was under way"
        for ref in world.spool.refs():
            now = placing.source_of(lane, ref)
            assert now == before[ref] or before[ref] == "s2"
        moved = Counter(placing.source_of(lane, ref) for ref in world.spool.refs())
        assert moved.keys() == {"s1", "s3"}

        _absent(world)
        await world.pass_time(0.1)
        left = {ref: placing.source_of(lane, ref) for ref in world.spool.refs()}
        assert await _settled(world)
        assert len(world.recipients()) == len(set(world.recipients())) == 600
        assert world.loop.time() > gone_at
        assert all(before[ref] == source for ref, source in left.items() if ref in before)
        assert _counts(world)["s2"] > sent + 50
        await world.close()

    play(scenario)


async def _settled(world: RelayWorld) -> bool:
    await world.pass_time(300)
    return world.entries == 0


def test_mail_overflows_only_while_the_whole_pool_is_out(play) -> None:
    async def scenario() -> None:
        world = _world()
        _absent(world, "s1")
        await world.send("one@a.example")
        await world.pass_time(5)
        _absent(world, "s1", "s2")
        await world.send("two@a.example")
        await world.pass_time(5)
        _absent(world)
        await world.send("three@a.example")
        await world.pass_time(5)
        assert world.sources()["s3"] == ["two@a.example"]
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_what_no_source_can_send_waits_and_goes_when_one_returns(play) -> None:
    async def scenario() -> None:
        world = _world()
        _absent(world, "s1", "s2", "s3")
        for n in range(50):
            await world.send(f"u{n}@a.example")
        await world.pass_time(3600)
        assert world.recipients() == []
        assert world.connects == []
        assert world.attempts == []
        assert await _waits(world) == {"source-down": 50}
        _absent(world, "s1", "s2")
        await world.pass_time(10)
        assert _counts(world) == {"s3": 50}
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_what_waits_for_a_source_expires_in_its_time(play) -> None:
    async def scenario() -> None:
        world = _world()
        _absent(world, "s1", "s2", "s3")
        await world.send("ann@a.example", expires_s=600, sender="")
        await world.send("bob@a.example", expires_s=6000, sender="")
        await world.pass_time(590)
        assert world.entries == 2
        await world.pass_time(20)
        assert world.entries == 1
        _absent(world)
        await world.pass_time(10)
        assert world.recipients() == ["bob@a.example"]
        await world.close()

    play(scenario)


def test_a_broken_way_out_takes_the_source_out_and_costs_no_attempt(play) -> None:
    async def scenario() -> None:
        world = _world(sources=THREE_TO_ONE.replace('overflow = "spare"', ""))
        tried: list[float] = []
        connect = world.dispatcher._connect_to

        async def noted(site: Any) -> Any:
            if site.source == "s2":
                tried.append(world.loop.time())
            return await connect(site)

        world.dispatcher._connect_to = noted
        world.refuse_source = {"s2": NO_WAY}
        for n in range(100):
            await world.send(f"u{n}@a.example")
            await world.send(f"u{n}@b.example")
        await world.pass_time(20)
        assert _counts(world) == {"s1": 200}
        assert {one.attempt for one in world.attempts} == {1}
        for n in range(500):
            await world.pass_time(10)
            for domain in "abcdefgh":
                await world.send(f"late{n}@{domain}.example")
        pauses = [later - earlier for earlier, later in itertools.pairwise(tried)]
        pauses = [pause for pause in pauses if pause > 1]
        planned = [15, 30, 60, 120, 240, 480, 900, 900, 900, 900]
        for pause, least in zip(pauses, planned, strict=False):
            assert least <= pause < least + 30
        assert len(pauses) >= 8
        assert not any(one.outcome.phase is Phase.EGRESS for one in world.attempts)
        await world.pass_time(10)
        assert world.entries == 0

        world.refuse_source = {}
        await world.pass_time(1000)
        for n in range(40):
            await world.send(f"again{n}@a.example")
        await world.pass_time(10)
        assert _counts(world)["s2"] == pytest.approx(10, abs=3)
        assert not world.dispatcher.placing.book._failures
        await world.close()

    play(scenario)


def test_when_every_way_out_is_broken_mail_waits_untouched(play) -> None:
    async def scenario() -> None:
        world = _world()
        world.refuse_source = dict.fromkeys(("s1", "s2", "s3"), NO_WAY)
        refs = [await world.send(f"u{n}@a.example") for n in range(20)]
        await world.pass_time(5)
        assert await _waits(world) == {"source-down": 20}
        await world.pass_time(3600)
        assert {world.spool.attempts(ref) for ref in refs} == {0}
        assert world.attempts == []
        assert len({int(at) for at, _ in world.connects}) < 40
        world.refuse_source = {}
        await world.pass_time(1000)
        assert len(world.recipients()) == 20
        await world.close()

    play(scenario)


# limits


def test_each_source_has_the_rate_of_a_site_for_itself(play) -> None:
    async def scenario() -> None:
        even = THREE_TO_ONE.replace("s1 = 3", "s1 = 1")
        world = _world('[limits]\nmessage_rate = "60/min burst 1"\n', even)
        for n in range(600):
            await world.send(f"u{n}@a.example")
        await world.pass_time(100)
        assert set(world.sources()) == {"s1", "s2"}
        for got in world.sources().values():
            assert len(got) == pytest.approx(100, abs=5)
        await world.close()

    play(scenario)


def test_the_total_of_a_source_holds_over_all_its_sites(play) -> None:
    async def scenario() -> None:
        limited = THREE_TO_ONE.replace(
            'ipv4 = "192.0.2.1"', 'ipv4 = "192.0.2.1"\nmessage_rate = "60/min burst 1"'
        ).replace('ipv4 = "192.0.2.2"', 'ipv4 = "192.0.2.2"\nconnections = 2')
        world = _world(FAST, limited.replace("s1 = 3", "s1 = 1"))
        world.latency_s = 1
        for n in range(50):
            for domain in range(20):
                await world.send(f"u{n}@d{domain}.example")
        seen: list[int] = []
        for _ in range(100):
            await world.pass_time(1)
            seen.append(sum(len(site.feeds) for site in world.sites if site.source == "s2"))
        assert len(world.sources()["s1"]) == pytest.approx(100, abs=5)
        assert max(seen) == 2
        assert len(world.sources()["s2"]) > 100
        assert len({one.partition("@")[2] for one in world.sources()["s1"]}) == 20
        await world.close()

    play(scenario)


# pools

POOLS = """\
[source.s1]
ipv4 = "192.0.2.1"
[source.s2]
ipv4 = "192.0.2.2"
[source.s3]
ipv4 = "192.0.2.3"
[source.s4]
ipv4 = "192.0.2.4"
[pool.default]
sources = ["s1"]
[pool.of-tenant]
sources = ["s2"]
[pool.of-class]
sources = ["s3"]
[pool.said]
sources = ["s4"]
"""
CHOOSERS = '[class.bulk]\npool = "of-class"\n[tenant.shop]\npool = "of-tenant"\n'


@pytest.mark.parametrize(
    ("mail", "source"),
    [
        ({}, "s1"),
        ({"class_": "bulk"}, "s3"),
        ({"tenant": "shop", "class_": "bulk"}, "s2"),
        ({"tenant": "shop", "class_": "bulk", "pool": "said"}, "s4"),
        ({"tenant": "shop", "pool": "unheard-of"}, "s2"),
    ],
)
def test_the_message_chooses_its_pool_then_its_tenant_then_its_class(mail, source, play) -> None:
    async def scenario() -> None:
        world = _world(FAST, POOLS, tenants=CHOOSERS)
        await world.send("ann@a.example", **mail)
        await world.pass_time(5)
        assert world.sources() == {source: ["ann@a.example"]}
        await world.close()

    play(scenario)


def test_a_pool_that_goes_with_a_reload_leaves_its_mail_to_the_next_choice(play) -> None:
    async def scenario() -> None:
        world = _world(FAST, POOLS, tenants=CHOOSERS)
        world.answer = lambda tx, one: LATER
        await world.order("reroute", {"tenant": "moved"}, pool="said")
        await world.send("ann@a.example", tenant="shop", pool="said")
        await world.send("bob@b.example", pool="said")
        await world.send("cid@c.example", tenant="moved")
        await world.pass_time(5)
        assert _counts(world) == {"s4": 3}
        without = POOLS.partition("[pool.said]")[0]
        world.answer = lambda tx, one: OK
        world.dispatcher.reload(loaded(FAST, sources=without, tenants=CHOOSERS), ())
        await world.send("dan@d.example", pool="said")
        await world.pass_time(3 * 3600)
        assert world.sources()["s2"] == ["ann@a.example"]
        assert sorted(world.sources()["s1"]) == ["bob@b.example", "cid@c.example", "dan@d.example"]
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_a_source_that_goes_with_a_reload_is_used_no_more(play) -> None:
    async def scenario() -> None:
        world = _world('[limits]\nmessage_rate = "5/s burst 1"\n')
        for n in range(200):
            await world.send(f"u{n}@a.example")
        await world.pass_time(5)
        before = _counts(world)["s2"]
        only_one = '[source.s1]\nipv4 = "192.0.2.1"\n'
        world.dispatcher.reload(loaded(FAST, sources=only_one), ())
        await world.pass_time(60)
        assert _counts(world)["s2"] <= before + 2
        assert len(world.recipients()) == len(set(world.recipients())) == 200
        await world.close()

    play(scenario)


def test_a_suspension_of_a_source_for_one_provider_spares_the_others(play) -> None:
    async def scenario() -> None:
        world = _world()
        world.destinations["g.example"] = destination("g.example", provider="gmail")
        await world.order("suspend", {"source": "s1", "provider": "gmail"})
        for n in range(40):
            await world.send(f"u{n}@g.example")
            await world.send(f"u{n}@a.example")
        await world.pass_time(30)
        assert all(one.endswith("a.example") for one in world.sources()["s1"])
        assert sum(one.endswith("g.example") for one in world.sources()["s2"]) == 40
        await world.close()

    play(scenario)
