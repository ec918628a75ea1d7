"""Sites that are slow, limited, dead or moved: who waits, and who does not."""

from __future__ import annotations

from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.relay.dispatch_ports import DispatchConfig
from penstock.sim.relay import LATER, OK, REFUSED, RelayWorld, destination, loaded
from penstock.smtp.reply import Reply
from penstock_queue import QueueConfig

NXDOMAIN = Outcome(Kind.BOUNCED, Phase.RESOLVE, Reply.of(550, "5.1.2 Domain not found"))
SERVFAIL = Outcome(Kind.DEFERRED, Phase.RESOLVE, Reply.of(451, "4.4.3 DNS failed"))


def test_a_connection_limit_is_kept(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded("[limits]\nconnections = 3\n"))
        for n in range(200):
            await world.send(f"p{n}@a.example")
        await world.pass_time(60)
        assert world.entries == 0
        assert world.open_max == 3
        await world.close()

    play(scenario)


def test_few_messages_open_few_connections(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded("[limits]\nconnections = 20\n"))
        await world.send("ann@a.example")
        await world.pass_time(5)
        assert world.open_max == 1
        await world.close()

    play(scenario)


def test_a_message_rate_is_kept_over_every_minute_and_used(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded('[limits]\nmessage_rate = "60/min"\nidle_timeout_s = "10m"\n'))
        for n in range(400):
            await world.send(f"p{n}@a.example")
        await world.pass_time(300)
        times = [at for at, _, _ in world.seen]
        worst = max(sum(1 for at in times if start <= at < start + 60) for start in times)
        assert worst <= 61
        assert len(times) >= 285
        await world.close()

    play(scenario)


def test_an_idle_connection_is_closed_in_time(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded('[limits]\nidle_timeout_s = "5s"\n'))
        await world.send("ann@a.example")
        await world.pass_time(3)
        assert world.open == 1
        await world.pass_time(5)
        assert world.open == 0
        await world.close()

    play(scenario)


def test_a_dead_site_defers_one_delivery_and_leaves_the_rest_alone(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        world.refuse_connect = REFUSED
        for n in range(50):
            await world.send(f"p{n}@a.example")
        await world.pass_time(1)
        assert world.kinds() == ["deferred"]
        await world.pass_time(600)
        assert len(world.connects) < 15, "a dead site is tried with growing pauses"
        world.refuse_connect = None
        await world.pass_time(2 * 3600)
        assert world.entries == 0
        assert len(set(world.recipients())) == 50
        await world.close()

    play(scenario)


def test_a_dead_site_delays_nobody_else(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        world.destinations["b.example"] = destination("b.example")
        real = world.connect

        async def connect(site):  # type: ignore[no-untyped-def]
            return REFUSED if site.name == "a.example" else await real(site)

        world.dispatcher._connect_to = connect
        for n in range(100):
            await world.send(f"p{n}@a.example")
        await world.send("ann@b.example")
        await world.pass_time(1)
        assert world.recipients() == ["ann@b.example"]
        await world.close()

    play(scenario)


def test_messages_behind_a_dead_site_expire_on_time(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        real = world.connect

        async def connect(site):  # type: ignore[no-untyped-def]
            return REFUSED if site.name == "a.example" else await real(site)

        world.dispatcher._connect_to = connect
        for n in range(5):
            await world.send(f"p{n}@a.example", expires_s=1800.0)
        await world.pass_time(1790)
        assert world.entries == 5
        await world.pass_time(30)
        assert world.entries == 0
        assert sorted(world.recipients()) == ["app@example.org"] * 5
        assert b"Connection refused" in b"".join(world.seen[0][2].body)
        await world.close()

    play(scenario)


def test_a_domain_that_does_not_exist_bounces_all_its_mail(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        world.destinations["nowhere.example"] = NXDOMAIN
        for n in range(3):
            await world.send(f"p{n}@nowhere.example")
        await world.pass_time(5)
        assert world.entries == 0
        assert world.kinds().count("bounced") == 3
        assert world.recipients() == ["app@example.org"] * 3
        await world.close()

    play(scenario)


def test_a_domain_that_dns_cannot_tell_waits_without_being_asked_for_each_message(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        world.destinations["slow.example"] = SERVFAIL
        for n in range(100):
            await world.send(f"p{n}@slow.example")
        await world.pass_time(120)
        assert world.kinds().count("deferred") <= 6
        assert world.found.count("slow.example") <= 6
        world.destinations["slow.example"] = destination("slow.example")
        await world.pass_time(2 * 3600)
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_mail_follows_a_domain_that_moves_to_other_hosts(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        old = destination("a.example", site="old", expires_at=world.now() + 60)
        world.destinations["a.example"] = old
        real = world.connect

        async def connect(site):  # type: ignore[no-untyped-def]
            return REFUSED if site.name == "old" else await real(site)

        world.dispatcher._connect_to = connect
        for n in range(10):
            await world.send(f"p{n}@a.example")
        await world.pass_time(50)
        assert world.entries == 10
        world.destinations["a.example"] = destination("a.example", site="new")
        await world.pass_time(120)
        assert world.entries <= 3, "only what was deferred at the old site still waits"
        assert {site for _, site, _ in world.seen} == {"new"}
        await world.close()

    play(scenario)


def test_domains_of_one_site_share_its_connections(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded("[limits]\nconnections = 2\n"))
        for n in range(40):
            world.destinations[f"d{n}.example"] = destination(f"d{n}.example", site="shared")
            await world.send(f"ann@d{n}.example")
        await world.pass_time(30)
        assert world.entries == 0
        assert world.open_max <= 2
        await world.close()

    play(scenario)


def test_what_is_idle_is_forgotten(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(config=DispatchConfig(forget_s=60.0))
        for n in range(30):
            await world.send(f"ann@d{n}.example")
        await world.pass_time(300)
        stats = world.dispatcher.stats()
        assert (stats["lanes"], stats["sites"], stats["connections"]) == (0, 0, 0)
        await world.close()

    play(scenario)


def test_the_worker_wide_bound_on_connections_holds_and_starves_nobody(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(
            loaded('[limits]\nidle_timeout_s = "1s"\n'), config=DispatchConfig(connections_max=5)
        )
        for n in range(40):
            await world.send(f"ann@d{n}.example")
        await world.pass_time(120)
        assert world.entries == 0
        assert world.open_max <= 5
        await world.close()

    play(scenario)


def test_what_is_ready_is_counted_wherever_it_waits(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded("[limits]\nconnections = 1\n"))
        world.latency_s = 1.0
        await world.send("ann@later.example", due=world.now() + 3600)
        for n in range(10):
            await world.send(f"p{n}@a.example")
        await world.order("suspend", {"domain": "b.example"})
        for n in range(3):
            await world.send(f"p{n}@b.example")
        await world.pass_time(0.5)
        stats = world.dispatcher.stats()
        assert (stats["in_flight"], stats["ready"], stats["suspended"]) == (1, 12, 3)
        await world.pass_time(60)
        stats = world.dispatcher.stats()
        assert (stats["in_flight"], stats["ready"], stats["suspended"]) == (0, 3, 3)
        assert world.entries == 4
        await world.close()

    play(scenario)


def test_idle_connections_make_room_for_sites_that_have_none(play) -> None:
    """With mail for more sites than there are connections, none is kept open just in case."""

    async def scenario() -> None:
        world = RelayWorld(
            loaded('[limits]\nidle_timeout_s = "1h"\n'), config=DispatchConfig(connections_max=5)
        )
        for n in range(5):
            await world.send(f"ann@d{n}.example")
        await world.pass_time(10)
        assert world.dispatcher.stats()["connections"] == 5, "nobody else wants them"
        for n in range(5, 500):
            await world.send(f"ann@d{n}.example")
        await world.pass_time(30)
        assert world.entries == 0
        assert world.open_max <= 5
        await world.close()

    play(scenario)


def test_a_site_that_may_not_send_for_an_hour_keeps_no_connection_from_others(play) -> None:
    """Five connections, each kept for a site with more mail and a rate of one message an hour: the
    other sites got their turn only when those had been idle for a minute."""

    async def scenario() -> None:
        world = RelayWorld(
            loaded('[limits]\nidle_timeout_s = "1m"\nmessage_rate = "1/h"\n'),
            config=DispatchConfig(connections_max=5),
        )
        for n in range(100):
            await world.send(f"ann@d{n}.example")
            await world.send(f"bob@d{n}.example")
        await world.pass_time(30)
        assert world.entries == 100, "one went to each"
        assert world.open_max <= 5
        await world.close()

    play(scenario)


def test_a_connection_that_will_be_wanted_in_a_second_is_kept(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(
            loaded('[limits]\nconnections = 1\nmessage_rate = "60/min"\n'),
            config=DispatchConfig(connections_max=1),
        )
        real, opened = world.dispatcher._connect_to, []

        async def connect(site):  # type: ignore[no-untyped-def]
            opened.append(site.name)
            return await real(site)

        world.dispatcher._connect_to = connect
        for n in range(10):
            await world.send(f"p{n}@a.example")
        await world.pass_time(0.5)
        await world.send("ann@b.example")
        await world.pass_time(7)
        assert len(opened) == 1
        await world.pass_time(15)
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_a_free_connection_wakes_one_site_not_all_that_wait(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded(""), config=DispatchConfig(connections_max=5))
        pumped = [0]
        pump = world.dispatcher.pump

        def counting(site) -> None:  # type: ignore[no-untyped-def]
            pumped[0] += 1
            pump(site)

        world.dispatcher.pump = world.dispatcher.permits._pump = counting  # type: ignore[method-assign]
        for n in range(300):
            await world.send(f"ann@d{n}.example")
        await world.pass_time(60)
        assert world.entries == 0
        assert pumped[0] < 10 * 300
        await world.close()

    play(scenario)


def test_a_failed_connection_beside_open_ones_is_only_a_hint(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded("[limits]\nconnections = 10\n"))
        real, opened = world.connect, [0]

        async def connect(site):  # type: ignore[no-untyped-def]
            opened[0] += 1
            return REFUSED if world.open >= 2 else await real(site)

        world.dispatcher._connect_to = connect
        world.latency_s = 0.5
        for n in range(60):
            await world.send(f"p{n}@a.example")
        await world.pass_time(60)
        assert world.entries == 0
        assert "deferred" not in world.kinds()
        await world.close()

    play(scenario)


def test_stopping_sends_nothing_new_and_keeps_the_rest(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded("[limits]\nconnections = 1\n"))
        world.latency_s = 1.0
        for n in range(10):
            await world.send(f"p{n}@a.example")
        await world.pass_time(2.5)
        await world.close()
        delivered = len(world.seen)
        assert 1 <= delivered < 10
        again = RelayWorld(disk=world.disk)
        assert again.entries == 10 - delivered
        await again.close()

    play(scenario)


def test_reloaded_limits_hold_at_once(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded('[limits]\nmessage_rate = "1/h"\n'))
        for n in range(20):
            await world.send(f"p{n}@a.example")
        await world.pass_time(60)
        assert len(world.seen) == 1
        world.dispatcher.reload(loaded(""), ())
        await world.pass_time(30)
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_a_bug_on_the_way_to_one_site_is_no_storm(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        reported: list[object] = []
        world.loop.set_exception_handler(lambda loop, context: reported.append(context))
        calls = [0]

        async def connect(site):  # type: ignore[no-untyped-def]
            calls[0] += 1
            raise ValueError("bug")

        world.dispatcher._connect_to = connect
        world.answer = lambda tx, one: LATER
        await world.send("ann@a.example")
        await world.send("bob@a.example")
        await world.pass_time(60)
        assert calls[0] < 6
        assert len(reported) == calls[0]
        assert world.entries == 2
        world.dispatcher._connect_to = world.connect
        world.answer = lambda tx, one: OK
        await world.pass_time(3600)
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_a_domain_with_limits_of_its_own_keeps_them_beside_its_neighbours(play) -> None:
    async def scenario() -> None:
        policies = loaded(
            '[limits]\nconnections = 4\n[domain."slow.example"]\nmessage_rate = "6/min"\n'
        )
        world = RelayWorld(policies)
        for domain in ("slow.example", "fast.example"):
            world.destinations[domain] = destination(domain, site="shared")
            for n in range(30):
                await world.send(f"p{n}@{domain}")
        await world.pass_time(60)
        seen = world.recipients()
        assert sum(one.endswith("@fast.example") for one in seen) == 30
        assert 5 <= sum(one.endswith("@slow.example") for one in seen) <= 7
        assert world.open_max <= 4, "the limit of the hosts that both share holds over both"
        await world.close()

    play(scenario)


def test_what_waits_behind_a_connection_that_hangs_gets_another(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        world.latency_s = 240.0
        await world.send("hangs@a.example")
        await world.pass_time(1)
        world.latency_s = 0.1
        await world.send("ann@a.example")
        await world.pass_time(6)
        assert world.recipients() == ["ann@a.example"]
        await world.pass_time(300)
        assert world.recipients() == ["ann@a.example", "hangs@a.example"]
        await world.close()

    play(scenario)


def test_idle_connections_beyond_a_workers_share_are_given_up_soon(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded("[limits]\nconnections = 9\n"), config=DispatchConfig(workers=3))
        for n in range(200):
            await world.send(f"p{n}@a.example")
        await world.pass_time(8)
        assert world.entries == 0
        assert world.open_max == 9
        assert world.open == 3, "the others have a right to the other six"
        await world.pass_time(70)
        assert world.open == 0
        await world.close()

    play(scenario)


def test_a_message_that_cannot_be_built_holds_up_nobody(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        reported: list[object] = []
        world.loop.set_exception_handler(lambda loop, context: reported.append(context))
        build = world.dispatcher._build

        def sometimes(batch, ticket):  # type: ignore[no-untyped-def]
            if batch.stored[0].recipient.address.startswith("bad"):
                raise ValueError("bug")
            return build(batch, ticket)

        world.dispatcher._build = sometimes
        for n in range(1500):
            await world.send(f"bad{n}@a.example")
        await world.send("ann@a.example")
        await world.pass_time(5)
        assert world.recipients() == ["ann@a.example"]
        assert len(reported) == 1500
        assert world.entries == 1500
        assert world.dispatcher.in_flight == set()
        await world.close()

    play(scenario)


def test_a_bug_in_resolving_leaves_no_mail_behind(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        world.loop.set_exception_handler(lambda loop, context: None)
        real, broken = world.find, [True]

        async def find(domain):  # type: ignore[no-untyped-def]
            if broken[0]:
                raise ValueError("bug")
            return await real(domain)

        world.dispatcher.locator._find = find
        await world.send("ann@a.example")
        await world.send("bob@a.example")
        await world.pass_time(5)
        broken[0] = False
        await world.pass_time(3600)
        assert sorted(world.recipients()) == ["ann@a.example", "bob@a.example"]
        await world.close()

    play(scenario)


def test_a_disk_that_cannot_be_read_for_a_while_loses_nothing(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(queue=QueueConfig(cache_bytes=0))
        real, broken = world.spool.read, [True]

        def read(refs):  # type: ignore[no-untyped-def]
            if broken[0]:
                raise OSError(5, "Input/output error")
            return real(refs)

        world.spool.read = read
        for n in range(50):
            await world.send(f"p{n}@a.example")
        await world.pass_time(10)
        assert world.recipients() == []
        broken[0] = False
        await world.pass_time(30)
        assert len(set(world.recipients())) == 50
        assert world.entries == 0
        assert world.dispatcher.stats()["staged_bytes"] == 0
        await world.close()

    play(scenario)


def test_many_that_expire_at_once_are_given_up_in_turns(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        world.refuse_connect = REFUSED
        for n in range(450):
            await world.send(f"p{n}@a.example", sender="", expires_s=600.0)
        await world.pass_time(590)
        assert world.entries == 450
        await world.pass_time(30)
        assert world.entries == 0
        await world.close()

    play(scenario)
