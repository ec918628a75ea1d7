"""Of several limits on the way the one that binds is named, with the line that sets it."""

from __future__ import annotations

from penstock.mail.waits import Wait
from penstock.sim.relay import RelayWorld, destination, loaded

SOURCES = """\
[source.s1]
ipv4 = "192.0.2.1"
message_rate = "2/min"
[source.s2]
ipv4 = "192.0.2.2"
[pool.default]
sources = ["s1"]
"""


async def spend(world: RelayWorld, *recipients: str, **more: str) -> None:
    """Messages that go at once, and use up what there is."""
    for recipient in recipients:
        await world.send(recipient, **more)
    await world.pass_time(2)
    assert world.recipients()[-len(recipients) :] == list(recipients)


def test_the_tighter_of_a_tenants_and_a_sites_rate(play, explain, binds, goes) -> None:
    async def scenario() -> None:
        tenants = '[tenant.slow]\nmessage_rate = "1/min"\n[tenant.fast]\nmessage_rate = "50/min"\n'
        policies = loaded('[limits]\nmessage_rate = "3/min burst 2"\n', tenants=tenants)
        world = RelayWorld(policies)
        await spend(world, "first@a.example", tenant="slow")
        slow = await explain(world, await settled(world, "slow@a.example", "slow"))
        assert slow["reason"] == "message-rate"
        assert binds(slow) == ("tenant slow", "message_rate", "1/min", "policies/tenants.toml:2")
        await spend(world, "second@a.example", tenant="fast")
        fast = await explain(world, await settled(world, "fast@a.example", "fast"))
        assert binds(fast) == (
            *("site a.example", "message_rate", "3/min burst 2"),
            "policies/default.toml:2",
        )
        await goes(world, fast)
        await goes(world, slow)
        await world.close()

    play(scenario)


def test_a_rate_is_not_taken_for_the_seats_of_the_same_site(play, explain, binds, goes) -> None:
    """They are counted by one key, and are two limits."""

    async def scenario() -> None:
        world = RelayWorld(loaded('[limits]\nconnections = 2\nmessage_rate = "1/min"\n'))
        await spend(world, "first@a.example")
        told = await explain(world, await settled(world, "ann@a.example"))
        assert binds(told) == ("site a.example", "message_rate", "1/min", "policies/default.toml:3")
        await goes(world, told)
        await world.close()

    play(scenario)


def test_seats_of_a_tenant_that_has_a_rate_as_well(play, explain, binds) -> None:
    async def scenario() -> None:
        tenants = '[tenant.shop]\nconnections = 1\nmessage_rate = "100/s"\n'
        world = RelayWorld(loaded("", tenants=tenants))
        world.latency_s = 20.0
        await world.send("first@b.example", tenant="shop")
        await world.pass_time(1)
        told = await explain(world, await settled(world, "ann@a.example", "shop"))
        assert told["reason"] == "connection-limit"
        assert binds(told) == ("tenant shop", "connections", "1", "policies/tenants.toml:2")
        await world.pass_time(60)
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_a_providers_rate_over_two_of_its_sites(play, explain, binds, goes) -> None:
    async def scenario() -> None:
        gmail = 'mx = [".gmail.example"]\n[limits]\nprovider_message_rate = "2/min"\n'
        world = gmail_world(gmail)
        await spend(world, "first@a.example")
        told = await explain(world, await settled(world, "ann@b.example"))
        assert told["provider"] == "gmail"
        assert binds(told) == (
            *("provider gmail", "message_rate", "2/min"),
            "policies/providers/gmail.toml:3",
        )
        await goes(world, told)
        await world.close()

    play(scenario)


def test_a_providers_connections_over_two_of_its_sites(play, explain, binds) -> None:
    async def scenario() -> None:
        gmail = 'mx = [".gmail.example"]\n\n[limits]\nprovider_connections = 1\n'
        world = gmail_world(gmail)
        world.latency_s = 20.0
        await world.send("first@a.example")
        await world.pass_time(1)
        told = await explain(world, await settled(world, "ann@b.example"))
        assert told["reason"] == "connection-limit"
        assert binds(told) == (
            *("provider gmail", "connections", "1"),
            "policies/providers/gmail.toml:4",
        )
        await world.pass_time(200)
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_a_sources_rate(play, explain, binds, goes) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded("", sources=SOURCES))
        await spend(world, "first@b.example")
        told = await explain(world, await settled(world, "ann@a.example"))
        assert told["source"] == "s1"
        assert binds(told) == ("source s1", "message_rate", "2/min", "policies/sources.toml:3")
        await goes(world, told)
        await world.close()

    play(scenario)


def test_a_site_limit_that_is_narrowed_by_source(play, explain, binds, goes) -> None:
    async def scenario() -> None:
        text = '[limits]\nmessage_rate = "60/s"\n'
        text += '[[narrow]]\nsource = "s1"\nmessage_rate = "1/min"\n'
        world = RelayWorld(loaded(text, sources=SOURCES))
        await spend(world, "first@a.example")
        told = await explain(world, await settled(world, "ann@a.example"))
        assert binds(told) == (
            *("site a.example from s1", "message_rate", "1/min"),
            "policies/default.toml:5",
        )
        await goes(world, told)
        await world.close()

    play(scenario)


def test_a_campaigns_rate_leaves_the_rest_of_its_tenant_alone(play, explain, binds, goes) -> None:
    async def scenario() -> None:
        tenants = "[tenant.shop]\nweight = 2\n"
        tenants += '[tenant.shop.campaign.spring]\nmessage_rate = "1/min"\n'
        world = RelayWorld(loaded("", tenants=tenants))
        await spend(world, "first@a.example", tenant="shop", campaign="spring")
        spring = await settled(world, "ann@a.example", "shop", "spring")
        await spend(world, "bob@a.example", tenant="shop", campaign="summer")
        told = await explain(world, spring)
        assert binds(told) == (
            *("campaign shop/spring", "message_rate", "1/min"),
            "policies/tenants.toml:4",
        )
        await goes(world, told)
        await world.close()

    play(scenario)


def test_a_class_of_a_tenant_at_one_provider(play, explain, binds, goes) -> None:
    async def scenario() -> None:
        gmail = (
            'mx = [".gmail.example"]\n[[narrow]]\ntenant = "shop"\nclass = "bulk"\n'
            'provider_message_rate = "1/min"\n'
        )
        world = gmail_world(gmail)
        await spend(world, "first@a.example", tenant="shop", class_="bulk")
        held = await settled(world, "ann@b.example", "shop", class_="bulk")
        await spend(world, "bob@b.example", tenant="shop")
        told = await explain(world, held)
        assert binds(told) == (
            *("tenant shop, class bulk at gmail", "message_rate", "1/min"),
            "policies/providers/gmail.toml:5",
        )
        await goes(world, told)
        await world.close()

    play(scenario)


def test_bytes_of_a_source(play, explain, binds, goes) -> None:
    async def scenario() -> None:
        sources = SOURCES.replace('message_rate = "2/min"', 'byte_rate = "1 KiB/s"')
        world = RelayWorld(loaded("", sources=sources))
        await world.send("first@b.example", body=b"Subject: large\r\n\r\n" + b"x" * 30 * 1024)
        await world.pass_time(2)
        told = await explain(world, await settled(world, "ann@a.example"))
        assert (told["reason"], binds(told)) == (
            "byte-rate",
            ("source s1", "byte_rate", "1 KiB/s", "policies/sources.toml:3"),
        )
        await goes(world, told)
        await world.close()

    play(scenario)


def test_a_domain_with_a_rate_of_its_own(play, explain, binds, goes) -> None:
    async def scenario() -> None:
        text = '[limits]\nmessage_rate = "60/s"\n[domain."a.example"]\nmessage_rate = "1/min"\n'
        world = RelayWorld(loaded(text))
        for domain in ("a.example", "b.example"):
            world.destinations[domain] = destination(domain, site="shared")
        await spend(world, "first@a.example")
        await spend(world, "first@b.example", "second@b.example")
        told = await explain(world, await settled(world, "ann@a.example"))
        assert binds(told) == (
            *("domain a.example at shared", "message_rate", "1/min"),
            "policies/default.toml:4",
        )
        await goes(world, told)
        await world.close()

    play(scenario)


def test_what_stands_ahead_in_the_line_is_counted_in(play, explain, goes) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded('[limits]\nmessage_rate = "6/min"\n'))
        for n in range(20):
            await world.send(f"p{n}@a.example")
        last = await settled(world, "ann@a.example")
        told = await explain(world, last)
        assert told["position"] == 19
        assert told["next_attempt"] - world.now() > 150
        await goes(world, told, within_s=15.0)
        await world.close()

    play(scenario)


def test_two_tenants_take_turns_at_a_sites_rate(play, explain, goes) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded('[limits]\nmessage_rate = "6/min"\n'))
        for n in range(10):
            await world.send(f"p{n}@a.example", tenant="one")
            await world.send(f"q{n}@a.example", tenant="two")
        told = await explain(world, await settled(world, "ann@a.example", "one"))
        await goes(world, told, within_s=25.0)
        assert 8 <= len([one for one in world.recipients() if one[0] == "q"]) <= 10
        await world.close()

    play(scenario)


def test_seats_of_a_site_do_not_hold_up_who_waits_for_its_rate(play) -> None:
    """One line for both would wake one for what the other waits for, and forget the first."""

    async def scenario() -> None:
        gmail = 'mx = [".gmail.example"]\n[limits]\nprovider_connections = 2\n'
        gmail += 'provider_message_rate = "12/min"\nidle_timeout_s = "2s"\n'
        world = gmail_world(gmail)
        for n in range(12):
            await world.send(f"p{n}@a.example")
            await world.send(f"p{n}@b.example")
            await world.send(f"p{n}@c.example")
        await world.pass_time(200)
        assert world.entries == 0
        await world.close()

    play(scenario)


def gmail_world(text: str) -> RelayWorld:
    world = RelayWorld(loaded("", **{"providers/gmail": text}))
    for domain in ("a.example", "b.example", "c.example"):
        world.destinations[domain] = destination(domain, provider="gmail")
    return world


async def settled(
    world: RelayWorld, recipient: str, tenant: str = "", campaign: str = "", class_: str = ""
) -> int:
    """A message that has had time to get to where it waits."""
    ref = await world.send(recipient, tenant=tenant, campaign=campaign, class_=class_)
    await world.pass_time(1)
    assert world.explainer.reason(ref)[0].wait is not Wait.IN_FLIGHT
    return ref
