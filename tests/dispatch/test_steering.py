"""Steering by selector: suspended mail rests, resumed mail goes, bounced mail is reported."""

from __future__ import annotations

from penstock.sim.relay import LATER, OK, REFUSED, RelayWorld, destination, loaded


def test_suspending_a_tenant_holds_its_mail_and_nobody_elses(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        await world.order("suspend", {"tenant": "acme"})
        await world.send("ann@a.example", tenant="acme")
        await world.send("bob@a.example", tenant="other")
        await world.pass_time(60)
        assert world.recipients() == ["bob@a.example"]
        rows = (await world.steering.listing({"tenant": "acme"}, 10))["rows"]
        assert [row["state"] for row in rows] == ["suspended"]
        await world.cancel({"tenant": "acme"})
        await world.pass_time(5)
        assert world.recipients() == ["bob@a.example", "ann@a.example"]
        await world.close()

    play(scenario)


def test_suspending_a_provider_also_holds_domains_seen_later(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        for domain in ("a.example", "b.example"):
            world.destinations[domain] = destination(domain, site="google", provider="gmail")
        await world.order("suspend", {"provider": "gmail"})
        await world.send("ann@a.example")
        await world.send("ann@b.example")
        await world.send("ann@c.example")
        await world.pass_time(30)
        assert world.recipients() == ["ann@c.example"]
        told = await world.cancel({"provider": "gmail"})
        assert told == {"keys": 2, "messages": 2}
        await world.pass_time(5)
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_retry_sends_now_what_waits_for_its_time(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded('[limits]\nretry_initial_s = "1h"\n'))
        world.answer = lambda tx, one: LATER
        await world.send("ann@a.example")
        await world.send("ann@b.example")
        await world.pass_time(10)
        world.answer = lambda tx, one: OK
        assert await world.steering.retry({"domain": "a.example"}) == {"keys": 1, "messages": 1}
        await world.pass_time(5)
        rows = (await world.steering.listing({}, 10))["rows"]
        assert _names(rows) == ["ann@b.example"]
        await world.close()

    play(scenario)


def test_retry_ends_the_pause_of_a_dead_site(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        world.refuse_connect = REFUSED
        await world.send("ann@a.example")
        await world.send("bob@a.example")
        await world.pass_time(400)
        world.refuse_connect = None
        before = world.loop.time()
        await world.steering.retry({"domain": "a.example"})
        await world.pass_time(5)
        assert world.entries == 0
        assert world.loop.time() - before <= 6
        await world.close()

    play(scenario)


def test_bounce_gives_up_what_matches_and_tells_the_sender_why(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        await world.order("suspend", {"campaign": "bad"})
        for n in range(7):
            await world.send(f"p{n}@a.example", tenant="acme", campaign="bad")
        await world.send("ann@a.example", tenant="acme", campaign="good")
        await world.pass_time(1)
        selector = {"tenant": "acme", "campaign": "bad"}
        done = await world.order("bounce", selector, reason="Sent by mistake", tell=True)
        assert done == {"keys": 1, "messages": 7}
        await world.pass_time(10)
        assert world.entries == 0
        assert sorted(world.recipients()) == ["ann@a.example"] + ["app@example.org"] * 7
        assert any(b"Sent by mistake" in b"".join(tx.body) for _, _, tx in world.seen)
        await world.close()

    play(scenario)


def test_show_tells_of_a_message_with_those_who_still_wait(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        world.answer = lambda tx, one: OK if one.startswith("ann") else LATER
        ref = await world.send("ann@a.example", "bob@a.example", "cid@b.example", tenant="acme")
        await world.pass_time(10)
        shown = await world.steering.show(ref)
        assert shown is not None
        assert shown["message"]["tenant"] == "acme"
        assert shown["message"]["sender"] == "app@example.org"
        assert sorted(_names(shown["recipients"])) == ["bob@a.example", "cid@b.example"]
        assert await world.steering.show(ref + 1000) is None
        await world.close()

    play(scenario)


def test_an_empty_selector_bounces_nothing(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        world.refuse_connect = REFUSED
        await world.send("ann@a.example")
        await world.pass_time(1)
        assert not any(lane.matches({}) for lane in world.dispatcher.placing.lanes.values())
        await world.close()

    play(scenario)


def _names(rows):  # type: ignore[no-untyped-def]
    return [row["recipient"] for row in rows]


def test_a_provider_is_known_for_mail_that_no_lane_remembers(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded('[limits]\nretry_initial_s = "1h"\n'))
        world.destinations["a.example"] = destination("a.example", site="g", provider="gmail")
        world.answer = lambda tx, one: LATER
        await world.send("ann@a.example")
        await world.pass_time(10)
        await world.close()
        again = RelayWorld(disk=world.disk)
        again.destinations = world.destinations
        found = await again.steering.listing({"provider": "gmail"}, 10)
        assert found["total"] == 1
        assert (await again.steering.retry({"provider": "gmail"}))["messages"] == 1
        await again.pass_time(5)
        assert again.entries == 0
        await again.close()

    play(scenario)
