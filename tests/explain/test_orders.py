"""Orders of operators, sources and times: which of them is named, and when mail really goes."""

from __future__ import annotations

import asyncio

from penstock.sim.relay import LATER, OK, REFUSED, RelayWorld, destination, loaded

HOUR_S = 3600.0
TWO_SOURCES = """\
[source.s1]
ipv4 = "192.0.2.1"
[source.s2]
ipv4 = "192.0.2.2"
[pool.default]
sources = ["s1"]
[pool.both]
sources = ["s1", "s2"]
"""


def test_the_order_that_holds_is_named_and_not_another_that_fits(play, explain, binds) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded("", sources=TWO_SOURCES))
        await world.order("reroute", {"tenant": "shop"}, pool="both", reason="warm-up")
        await world.order("suspend", {"source": "s1", "tenant": "shop"}, reason="complaints")
        await world.order("suspend", {"source": "s2", "tenant": "shop"}, reason="more of them")
        ref = await world.send("ann@a.example", tenant="shop")
        await world.pass_time(2)
        told = await explain(world, ref)
        order = {"s1": "o2", "s2": "o3"}[told["source"]]
        selector = f"source={told['source']} tenant=shop"
        why = {"o2": "op: complaints", "o3": "op: more of them"}[order]
        assert told["reason"] == "suspended"
        assert binds(told) == (f"order {order}", "suspend", selector, why)
        assert [rule["id"] for rule in told["rules"]] == ["o1", "o2", "o3"]
        await world.cancel({"source": told["source"], "tenant": "shop"})
        await world.pass_time(2)
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_of_two_orders_the_one_that_holds_longer(play, explain, goes) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        now = world.now()
        await world.order("suspend", {"tenant": "shop"}, until=now + 60)
        await world.order("suspend", {"domain": "a.example"}, until=now + HOUR_S)
        ref = await world.send("ann@a.example", tenant="shop")
        await world.pass_time(5)
        told = await explain(world, ref)
        assert (told["binds"]["scope"], told["next_attempt"]) == ("order o2", now + HOUR_S)
        await world.pass_time(HOUR_S - 5)
        await world.cancel({"domain": "a.example"})  # as the daemon does when an order has run out
        await world.cancel({"tenant": "shop"})
        await goes(world, told)
        await world.close()

    play(scenario)


def test_held_for_good_and_due_later_goes_at_no_known_time(play, explain) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        await world.order("suspend", {"tenant": "shop"})
        ref = await world.send("ann@a.example", tenant="shop", due=world.now() + HOUR_S)
        told = await explain(world, ref)
        assert (told["reason"], told["next_attempt"]) == ("scheduled", 0)
        await world.pass_time(HOUR_S + 5)
        assert (await explain(world, ref))["reason"] == "suspended"
        await world.close()

    play(scenario)


def test_a_retry_that_falls_into_a_closed_window(play, explain, goes) -> None:
    async def scenario() -> None:
        tenants = '[tenant.shop]\n[tenant.shop.campaign.spring]\nwindow = "daily 07:00-08:10 UTC"\n'
        policies = loaded('[limits]\nretry_initial_s = "30m"\nretry_jitter = 0\n', tenants=tenants)
        world = RelayWorld(policies)
        world.answer = lambda tx, one: LATER
        ref = await world.send("ann@a.example", tenant="shop", campaign="spring")
        await world.pass_time(10)
        world.answer = lambda tx, one: OK
        told = await explain(world, ref)
        assert told["reason"] == "retry"
        assert [one["reply"] for one in told["last_replies"]] == ["451 4.7.1 Greylisted"]
        assert told["next_attempt"] - world.now() > 22 * HOUR_S
        await world.pass_time(HOUR_S)
        held = await explain(world, ref)
        assert held["reason"] == "window"
        assert held["binds"]["scope"] == "campaign shop/spring"
        assert held["binds"]["where"] == "policies/tenants.toml:3"
        assert held["next_attempt"] == told["next_attempt"]
        await goes(world, told)
        await world.close()

    play(scenario)


def test_a_source_that_is_suspended_or_absent_is_down(play, explain) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded("", sources=TWO_SOURCES))
        placing = world.dispatcher.placing
        placing.book.absent({"s2": "192.0.2.2 is not an address of this machine"})
        placing.sources_changed()
        await world.order("suspend", {"source": "s1"})
        ref = await world.send("ann@a.example", pool="both")
        await world.pass_time(5)
        told = await explain(world, ref)
        assert (told["reason"], told["next_attempt"]) == ("source-down", 0)
        assert told["reason_text"].endswith(
            "(pool both: s1: suspended; s2: 192.0.2.2 is not an address of this machine)"
        )
        placing.book.absent({})
        placing.sources_changed()
        await world.pass_time(2)
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_an_unreachable_site_says_what_it_said_last(play, explain, goes) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        world.refuse_connect = REFUSED
        refs = [await world.send(f"p{n}@a.example") for n in range(5)]
        await world.pass_time(60)
        waiting = [ref for ref in refs if world.spool.attempts(ref) == 0]
        told = await explain(world, waiting[0])
        assert (told["reason"], told["attempts"]) == ("unreachable", 0)
        assert told["last_replies"][0]["reply"] == "451 4.4.1 Connection refused"
        world.refuse_connect = None
        await goes(world, told)
        await world.close()

    play(scenario)


def test_a_recipient_is_found_in_whatever_queue_it_is(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded("", tenants='[tenant.shop]\nwindow = "mon 07:00-07:10 UTC"\n'))
        for n in range(30):
            await world.send(f"p{n}@a.example", tenant="shop", campaign=f"c{n % 3}")
        await world.send("Ann@a.example", tenant="shop", campaign="c1", class_="bulk")
        await world.send("ann@b.example", tenant="shop")
        await world.pass_time(5)
        ask = world.explainer.queue
        found = await ask("a.example", "", "", "ann@a.example")
        assert [one["recipient"] for one in found["explanations"]] == ["Ann@a.example"]
        assert found["more"] == 0
        queues = (await ask("a.example", "shop", "", ""))["explanations"]
        assert [(one["queue"]["campaign"], one["queued"]) for one in queues] == [
            *(("c0", 10), ("c1", 10), ("c2", 10), ("c1", 1))
        ]
        assert len((await ask("a.example", "shop", "c1", ""))["explanations"]) == 2
        everywhere = (await ask("", "shop", "", ""))["explanations"]
        assert len(everywhere) == 5
        assert (await ask("", "nobody", "", ""))["explanations"] == []
        await world.close()

    play(scenario)


def test_of_many_queues_some_are_shown_and_the_rest_counted(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded("", tenants='[tenant."*"]\nwindow = "mon 07:00-07:10 UTC"\n'))
        for n in range(30):
            await world.send("ann@a.example", tenant=f"t{n}")
        await world.pass_time(5)
        told = await world.explainer.queue("a.example", "", "", "")
        assert (len(told["explanations"]), told["more"]) == (20, 10)
        await world.close()

    play(scenario)


def test_what_leaves_the_queue_while_it_is_explained_is_left_out(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        world.destinations["b.example"] = destination("b.example")
        ref = await world.send("ann@a.example", "bob@b.example", due=world.now() + HOUR_S)
        asked = asyncio.ensure_future(world.explainer.message(ref))
        await asyncio.sleep(0)
        assert not asked.done()
        world.spool.settle(ref + 1)
        explained = await asked
        assert explained is not None
        assert [one["recipient"] for one in explained] == ["ann@a.example"]
        await world.close()

    play(scenario)
