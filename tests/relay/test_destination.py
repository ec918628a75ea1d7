"""Where a domain's mail goes: routes, the sandbox, MX, and what strangers may not make us do."""

from __future__ import annotations

import pytest

from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.relay.destination import DestinationConfig, Destinations, normal_domain
from penstock.relay.ports import AddressRecords, Destination, Host, LookupFailure, MxRecords
from penstock.relay.resolver import failed, nodata, nxdomain
from penstock.relay.route import Route


class Zone:
    """``mx``: name -> records; ``a``: name -> addresses; everything else does not exist."""

    def __init__(self, mx=None, a=None, ttl_s=600.0):
        self.mx_data, self.a_data, self.ttl_s = mx or {}, a or {}, ttl_s
        self.asked = []

    async def mx(self, domain):
        self.asked.append(("mx", domain))
        found = self.mx_data.get(domain)
        if isinstance(found, LookupFailure):
            return found
        if found is None:
            return nodata(domain, "MX") if domain in self.a_data else nxdomain(domain)
        return MxRecords(tuple(found), self.ttl_s)

    async def addresses(self, name):
        self.asked.append(("a", name))
        found = self.a_data.get(name)
        if found is None:
            return nxdomain(name)
        return (
            found if isinstance(found, LookupFailure) else AddressRecords(tuple(found), self.ttl_s)
        )


class Policies:
    def site_of(self, mx):
        return "site:" + ",".join(name for _, name in mx)

    def provider_of(self, domain, mx):
        return "google" if mx and all(name.endswith("google.com") for name in mx) else ""


class World:
    def __init__(self, zone=None, routes=(), sandbox=None, **config):
        self.now = 1000.0
        self.zone = zone or Zone()
        self.destinations = Destinations(
            self.zone,
            Policies(),
            [Route.parse(domains, hop) for domains, hop in routes],
            clock=lambda: self.now,
            config=DestinationConfig("us.example", frozenset({"8.8.4.4"}), **config),
            sandbox=sandbox,
        )

    async def find(self, domain):
        return await self.destinations.find(domain)

    async def code(self, domain):
        outcome = await self.find(domain)
        assert isinstance(outcome, Outcome), outcome
        assert outcome.phase is Phase.RESOLVE
        assert (outcome.kind is Kind.BOUNCED) == outcome.reply.permanent
        return f"{outcome.reply.code} {outcome.reply.enhanced}"


A, B, C = "8.8.8.1", "8.8.8.2", "2a00:1450::1"
GOOD = {"mx1.google.com": [A, C], "mx2.google.com": [B]}


async def test_mx():
    world = World(Zone({"d.example": [(20, "mx2.google.com"), (10, "mx1.google.com")]}, GOOD, 60))
    found = await world.find("D.Example.")
    assert found == Destination(
        domain="d.example",
        hosts=(Host("mx1.google.com", (A, C), 10, 25), Host("mx2.google.com", (B,), 20, 25)),
        site="site:mx1.google.com,mx2.google.com",
        provider="google",
        via="mx",
        route=None,
        expires_at=1060.0,
    )
    assert world.destinations.cached("d.example") is found
    asked = len(world.zone.asked)
    assert await world.find("d.example") is found
    assert len(world.zone.asked) == asked
    world.now = 1060.0
    assert await world.find("d.example") is not found


async def test_implicit_mx():
    found = await World(Zone({}, {"d.example": [A]})).find("d.example")
    assert found.hosts == (Host("d.example", (A,), 0),)


@pytest.mark.parametrize(
    ("zone", "code"),
    [
        (Zone(), "550 5.1.2"),
        (Zone({"d.example": failed("d.example", "MX", "x")}), "451 4.4.3"),
        (Zone({"d.example": [(0, "")]}), "556 5.1.10"),
        (Zone({}, {"d.example": nodata("d.example", "A")}), "550 5.4.4"),
        (Zone({}, {"d.example": failed("d.example", "A", "x")}), "451 4.4.3"),
        (Zone({"d.example": [(1, "gone")]}), "550 5.4.4"),
        (Zone({"d.example": [(1, "x"), (2, "y")]}, {"x": failed("x", "A", "")}), "451 4.4.3"),
        (Zone({"d.example": [(1, "lo")]}, {"lo": ["127.0.0.1", "::1"]}), "550 5.4.4"),
        (Zone({"d.example": [(1, "p")]}, {"p": ["10.0.0.1"]}), "550 5.4.4"),
        (Zone({"d.example": [(1, "p"), (2, "x")]},
              {"p": ["10.0.0.1"], "x": failed("x", "A", "")}), "451 4.4.3"),
        (Zone({}, {"d.example": ["192.168.0.1"]}), "550 5.4.4"),
        (Zone({"d.example": [(1, "us.example")]}), "554 5.4.6"),
        (Zone({"d.example": [(1, "us.example"), (1, "mx2.google.com")]}, GOOD), "554 5.4.6"),
        (Zone({"d.example": [(1, "alias"), (5, "mx2.google.com")]},
              {**GOOD, "alias": ["8.8.4.4"]}), "554 5.4.6"),
    ],
)  # fmt: skip
async def test_domains_that_take_no_mail(zone, code):
    assert await World(zone).code("d.example") == code


async def test_our_own_domain_without_mx_is_a_loop():
    assert await World(Zone({}, {"us.example": [A]})).code("us.example") == "554 5.4.6"


async def test_ourselves_cut_off_the_less_preferred():
    records = [(5, "mx1.google.com"), (10, "us.example"), (20, "mx2.google.com")]
    found = await World(Zone({"d.example": records}, GOOD)).find("d.example")
    assert [host.name for host in found.hosts] == ["mx1.google.com"]
    records = [(5, "mx1.google.com"), (10, "alias"), (20, "mx2.google.com")]
    zone = Zone({"d.example": records}, {**GOOD, "alias": ["8.8.4.4"]})
    assert [host.name for host in (await World(zone).find("d.example")).hosts] == ["mx1.google.com"]


async def test_bad_addresses_and_hosts_are_left_out():
    zone = Zone(
        {"d.example": [(0, ""), (1, "mixed"), (2, "private"), (3, "gone"), (4, "slow")]},
        {"mixed": ["10.0.0.1", A], "private": ["10.0.0.2"], "slow": failed("slow", "A", "x")},
    )
    found = await World(zone).find("d.example")
    assert found.hosts == (Host("mixed", (A,), 1),)
    assert found.expires_at == 1010.0  # one host could not be looked up: ask again soon


async def test_only_so_many_hosts_are_looked_up():
    names = [f"mx{number}.example" for number in range(100)]
    zone = Zone({"d.example": list(enumerate(names))}, {name: [A] for name in names})
    assert len((await World(zone, mx_hosts_max=5).find("d.example")).hosts) == 5
    assert sum(kind == "a" for kind, _ in zone.asked) == 5


async def test_literals():
    found = await World().find("[IPv6:2A00:1450::1]")
    assert (found.hosts, found.site) == ((Host("", (C,)),), "[ipv6:2a00:1450::1]")
    assert await World().code("[127.0.0.1]") == "550 5.4.4"
    assert await World().code("[8.8.4.4]") == "554 5.4.6"
    assert await World().code("[999.0.0.1]") == "550 5.1.2"


@pytest.mark.parametrize(
    "bad", ["", "a b.example", "a..b", "x" * 64 + ".example", "a/b", "é..x", "\n"]
)
async def test_no_domains(bad):
    assert await World().code(bad) == "550 5.1.2"


def test_international_domains():
    assert normal_domain("Bücher.Example") == "xn--bcher-kva.example"
    assert normal_domain("XN--BCHER-KVA.example.") == "xn--bcher-kva.example"


async def test_routes_first_match_wins():
    world = World(
        Zone({}, {"relay.example": ["10.0.0.9"]}),
        [
            (["a.example"], "127.0.0.2:2626"),
            (["*.example"], "relay.example:587"),
            (["b.example"], "127.0.0.3"),
            (["local.test"], "localhost:2525"),
        ],
    )
    found = await world.find("a.example")
    assert found.hosts == (Host("", ("127.0.0.2",), 0, 2626),)
    assert (found.via, found.route, found.site) == ("route", 0, "route:127.0.0.2:2626")
    assert found.provider == ""
    found = await world.find("b.example")
    assert found.hosts == (Host("relay.example", ("10.0.0.9",), 0, 587),)
    assert (found.route, found.site) == (1, "route:relay.example:587")
    assert found.expires_at == 1600.0
    assert (await world.find("local.test")).hosts[0].addresses == ("127.0.0.1", "::1")
    assert await world.code("other.test") == "550 5.1.2"


async def test_a_route_also_takes_literals():
    found = await World(routes=[(["*"], "[::1]:2626")]).find("[127.0.0.1]")
    assert found.hosts == (Host("", ("::1",), 0, 2626),)


async def test_an_unknown_next_hop_makes_mail_wait():
    assert await World(routes=[(["*"], "nowhere.example")]).code("d.example") == "451 4.4.4"


class SandboxWorld:
    def hosts(self, domain):
        return (
            (Host("aspmx.google.com", ("127.0.0.1",), 5, 4025),) if domain != "no.example" else ()
        )


async def test_sandbox_stands_before_routes_and_dns_so_that_nothing_leaves():
    world = World(routes=[(["r.example"], "127.0.0.2")], sandbox=SandboxWorld())
    assert (await world.find("r.example")).via == "sandbox"
    found = await world.find("d.example")
    assert (found.via, found.provider) == ("sandbox", "google")
    assert found.hosts[0].port == 4025
    assert await world.code("no.example") == "550 5.1.2"
    assert world.zone.asked == []


async def test_failures_are_kept_for_a_while_too():
    world = World(Zone({"d.example": failed("d.example", "MX", "x")}))
    await world.code("d.example")
    world.now += 9
    await world.code("d.example")
    assert len(world.zone.asked) == 1
    world.now += 1
    await world.code("d.example")
    assert len(world.zone.asked) == 2


async def test_reload():
    world = World(Zone({}, {"d.example": [A]}))
    assert (await world.find("d.example")).via == "mx"
    world.destinations.reload(Policies(), [Route.parse(["*"], "127.0.0.1")])
    assert (await world.find("d.example")).via == "route"
    assert world.destinations.stats()["entries"] == 1
    await world.destinations.close()
