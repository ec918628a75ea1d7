"""Mail under different demands on TLS shares a host and no connection."""

from __future__ import annotations

from dataclasses import replace

from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.policy.mta_sts import StsPolicy
from penstock.relay.tls_demand import DomainTls
from penstock.sim.relay import RelayWorld, destination, loaded
from penstock.smtp.reply import Reply

ENFORCED = DomainTls(StsPolicy("enforce", ("mx.shared.example",), 86400, "1"))
OTHER = DomainTls(StsPolicy("enforce", ("*.elsewhere.example",), 86400, "1"))
UNTRUSTED = Outcome(Kind.DEFERRED, Phase.TLS, Reply.of(451, "4.7.5 TLS handshake failed"), "mx")


def shared(world, domain, published=None):
    """``domain`` has the hosts that all of these domains have."""
    found = replace(destination(domain, site="mx.shared.example"), tls=published or DomainTls())
    world.destinations[domain] = found


def demands(world):
    """What is demanded of the connections of each site that there is."""
    return {
        site.name: site.terms.demand(site.limits).mode for site in world.sites if not site.forgotten
    }


def by_site(world):
    found = {}
    for _, site, tx in world.seen:
        found.setdefault(site.partition("+")[0] + ("+" if "+" in site else ""), []).extend(
            tx.recipients
        )
    return found


def test_an_enforced_policy_has_connections_of_its_own(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        shared(world, "strict.example", ENFORCED)
        shared(world, "plain.example")
        for domain in ("strict.example", "plain.example"):
            await world.send(f"a@{domain}")
        await world.pass_time(5)
        assert by_site(world) == {
            "mx.shared.example+": ["a@strict.example"],
            "mx.shared.example": ["a@plain.example"],
        }
        assert sorted(demands(world).values()) == ["opportunistic", "verified"]
        await world.close()

    play(scenario)


def test_domains_that_demand_the_same_share_connections(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        shared(world, "a.example", ENFORCED)
        shared(world, "b.example", ENFORCED._replace(sts=ENFORCED.sts._replace(id="other")))
        shared(world, "c.example", OTHER)
        for domain in "abc":
            await world.send(f"x@{domain}.example")
            await world.pass_time(5)
        assert len(world.connects) == 2
        await world.close()

    play(scenario)


def test_one_broken_policy_stops_nobody_else(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        shared(world, "broken.example", OTHER)
        shared(world, "plain.example")
        connect = world.connect

        async def strict(site):
            demand = site.terms.demand(site.limits)
            return UNTRUSTED if demand.mode == "verified" else await connect(site)

        world.dispatcher._connect_to = strict
        for n in range(20):
            await world.send(f"p{n}@broken.example")
            await world.send(f"p{n}@plain.example")
        await world.pass_time(60)
        assert len(world.recipients()) == 20
        assert all(one.endswith("@plain.example") for one in world.recipients())
        assert world.entries == 20
        await world.close()

    play(scenario)


def test_the_limits_of_a_host_hold_for_all_of_its_mail_together(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded('[limits]\nconnections = 2\nmessage_rate = "60/min burst 1"\n'))
        shared(world, "strict.example", ENFORCED)
        shared(world, "plain.example")
        for n in range(100):
            await world.send(f"p{n}@strict.example")
            await world.send(f"p{n}@plain.example")
        await world.pass_time(60)
        assert world.open_max <= 2
        assert 55 <= len(world.recipients()) <= 62
        assert len(by_site(world)) == 2
        await world.close()

    play(scenario)


def test_a_policy_that_comes_and_goes_moves_its_domain_and_no_other(play) -> None:
    """A connection made before it counts for nothing, nor does the domain's new demand for others
    that stay."""

    async def scenario() -> None:
        world = RelayWorld(loaded('[limits]\nidle_timeout_s = "1h"\n'))
        shared(world, "moves.example")
        shared(world, "stays.example")
        seen_at = []
        connect = world.connect

        async def noting(site):
            seen_at.append(site.terms.demand(site.limits).mode)
            return await connect(site)

        world.dispatcher._connect_to = noting
        await world.send("a@moves.example")
        await world.send("a@stays.example")
        await world.pass_time(5)
        assert set(seen_at) == {"opportunistic"}
        shared(world, "moves.example", ENFORCED)
        world.dispatcher.reload(world.dispatcher.placing.policies, ())
        await world.pass_time(5)
        for n in range(3):
            await world.send(f"{n}@moves.example")
            await world.send(f"{n}@stays.example")
        await world.pass_time(5)
        sites = by_site(world)
        assert sites["mx.shared.example+"] == [f"{n}@moves.example" for n in range(3)]
        plain = next(one for one in world.sites if "+" not in one.name)
        assert plain.terms.demand(plain.limits).mode == "opportunistic"
        assert plain.destination.domain != "moves.example" or not plain.terms.published.sts
        shared(world, "moves.example")
        world.dispatcher.reload(world.dispatcher.placing.policies, ())
        await world.pass_time(5)
        await world.send("back@moves.example")
        await world.pass_time(5)
        assert by_site(world)["mx.shared.example"][-1] == "back@moves.example"
        await world.close()

    play(scenario)


def test_a_stricter_policy_of_ours_leaves_no_old_connection_in_use(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded('[limits]\nidle_timeout_s = "1h"\n'))
        for n in range(50):
            await world.send(f"{n}@a.example")
        await world.pass_time(2)
        before = len(world.connects)
        strict = loaded('[limits]\nidle_timeout_s = "1h"\ntls = "verified"\n')
        old = set(world.sites)
        world.dispatcher.reload(strict, ())
        for n in range(50, 100):
            await world.send(f"{n}@a.example")
        await world.pass_time(20)
        assert len(world.recipients()) == 100
        assert len(world.connects) > before
        assert not old & set(world.sites)
        for _, _, tx in world.seen:
            site = tx.ticket.site
            late = int(tx.recipients[0].partition("@")[0]) >= 50
            assert site not in old or not late
        assert set(demands(world).values()) == {"verified"}
        await world.close()

    play(scenario)


def test_a_reload_that_changes_nothing_of_tls_keeps_the_connections(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded('[limits]\nidle_timeout_s = "1h"\n'))
        await world.send("a@a.example")
        await world.pass_time(2)
        world.dispatcher.reload(loaded('[limits]\nidle_timeout_s = "50m"\n'), ())
        await world.pass_time(2)
        await world.send("b@a.example")
        await world.pass_time(2)
        assert len(world.connects) == 1
        await world.close()

    play(scenario)


def test_tls_of_one_tenant(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded('[[narrow]]\ntenant = "bank"\ntls = "verified"\n'))
        await world.send("a@a.example", tenant="bank")
        await world.send("b@a.example", tenant="shop")
        await world.pass_time(5)
        assert demands(world) == {"a.example": "opportunistic", "a.example+verified": "verified"}
        assert by_site(world) == {"a.example+": ["a@a.example"], "a.example": ["b@a.example"]}
        await world.close()

    play(scenario)


def test_what_a_message_says_of_itself(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        shared(world, "strict.example", ENFORCED)
        await world.send("a@strict.example", tls="relax")
        await world.send("b@strict.example", tls="require")
        await world.send("c@strict.example")
        await world.pass_time(5)
        sites = {tx.recipients[0]: site for _, site, tx in world.seen}
        assert sites["a@strict.example"] == "mx.shared.example"
        assert sites["b@strict.example"].endswith("+requiretls")
        assert sites["c@strict.example"] == sites["b@strict.example"].removesuffix("+requiretls")
        flags = {tx.recipients[0]: tx.requiretls for _, _, tx in world.seen}
        assert [flags[f"{one}@strict.example"] for one in "abc"] == [False, True, False]
        await world.close()

    play(scenario)


def test_what_requiretls_cannot_have_comes_back_at_once(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        refused = Outcome(Kind.BOUNCED, Phase.EHLO, Reply.of(550, "5.7.30 REQUIRETLS"), "mx")
        connect = world.connect

        async def without(site):
            return refused if site.terms.requiretls else await connect(site)

        world.dispatcher._connect_to = without
        for n in range(20):
            await world.send(f"{n}@a.example", tls="require")
        await world.send("x@a.example")
        await world.pass_time(120)
        bounced = [one for one in world.attempts if one.outcome.kind is Kind.BOUNCED]
        assert len(bounced) == 20
        assert "x@a.example" in world.recipients()
        await world.close()

    play(scenario)


def test_a_lane_that_was_forgotten_takes_no_policy_of_a_neighbour(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        shared(world, "strict.example", ENFORCED)
        shared(world, "plain.example")
        await world.send("a@strict.example", tls="relax")
        await world.send("a@plain.example")
        await world.pass_time(5)
        (site,) = world.sites
        placing = world.dispatcher.placing
        ref = await world.send("b@plain.example", due=world.now() + 3600)
        lane = placing.lane_of(ref)
        placing.unassign(lane)
        site.destination = world.destinations["strict.example"]
        placing.put_back(site, ref)
        assert lane.site_name == "mx.shared.example"
        assert lane.terms.published.sts is None
        await world.close()

    play(scenario)


def test_explain_says_who_demands_it(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded('[[narrow]]\ntenant = "bank"\ntls = "required"\n'))
        world.refuse_connect = UNTRUSTED
        shared(world, "strict.example", ENFORCED)
        said = {}
        for domain, tenant in (
            ("strict.example", ""),
            ("plain.example", ""),
            ("other.example", "bank"),
        ):
            ref = await world.send(f"a@{domain}", tenant=tenant)
            await world.pass_time(2)
            (found,) = await world.explainer.message(ref)
            row = next(cap for cap in found["caps"] if cap["field"] == "tls")
            said[domain] = f"{row['value']}: {row['where']}"
            assert "4.7.5 TLS handshake failed" in found["last_replies"][0]["reply"]
        assert said == {
            "strict.example": "verified: MTA-STS, policy id 1",
            "plain.example": "opportunistic: built-in",
            "other.example": "required: policies/default.toml:3",
        }
        await world.close()

    play(scenario)
