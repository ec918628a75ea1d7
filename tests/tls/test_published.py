"""MTA-STS beside the look-up of a domain's hosts: what is asked when, and what comes of it."""

from __future__ import annotations

import asyncio

import pytest

from penstock.mail.outcome import Outcome
from penstock.policy.mta_sts import StsPolicy
from penstock.policy.policies import Policies
from penstock.relay.destination import Destinations
from penstock.relay.ports import (
    AddressRecords,
    DaneAnswer,
    Destination,
    LookupFailure,
    MxRecords,
    StsAnswer,
)
from penstock.relay.route import Route
from penstock.relay.tls_demand import TlsaSet
from penstock.smtp.reply import Reply

POLICY = StsPolicy("enforce", ("mx.there.example",), 86400, "1")
TLSA = TlsaSet("mx.there.example", "_25._tcp.mx.there.example")


class World:
    """DNS, MTA-STS and DANE that answer when they are let; ``asked`` in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sts_may = asyncio.Event()
        self.sts_may.set()
        self.mx_is: MxRecords | LookupFailure = MxRecords(((10, "mx.there.example"),), 900.0)
        self.sts = StsAnswer(POLICY, ttl_s=600.0)
        self.dane = DaneAnswer(True, (TLSA,), 700.0)

    async def mx(self, domain: str) -> MxRecords | LookupFailure:
        self.asked.append("mx")
        await asyncio.sleep(0)
        return self.mx_is

    async def addresses(self, name: str) -> AddressRecords:
        self.asked.append("addresses")
        return AddressRecords(("198.51.101.1",), 800.0)

    def finder(self, route: str = "") -> Destinations:
        world = self

        class Sts:
            async def find(self, domain: str) -> StsAnswer:
                world.asked.append("sts")
                await world.sts_may.wait()
                return world.sts

        class Dane:
            async def find(self, domain: str, hosts: object) -> DaneAnswer:
                world.asked.append("dane")
                return world.dane

        routes = [Route.parse((route,), "192.0.2.9:25")] if route else []
        return Destinations(
            self,
            Policies(),
            routes,
            clock=lambda: 0.0,
            sts=Sts(),
            dane=Dane(),  # type: ignore[arg-type]
        )


async def test_it_is_asked_for_together_with_the_hosts() -> None:
    world = World()
    found = await world.finder().find("there.example")
    assert isinstance(found, Destination)
    assert world.asked == ["mx", "sts", "addresses", "dane"]
    assert found.tls.sts == POLICY
    assert (found.tls.tlsa, found.tls.secure) == ((TLSA,), True)
    assert found.expires_at == 600.0, "as long as the shortest of the answers holds"


async def test_a_slow_policy_host_keeps_its_own_domain_only() -> None:
    world = World()
    finder = world.finder()
    world.sts_may.clear()
    slow = asyncio.ensure_future(finder.find("slow.example"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not slow.done()
    world.sts_may.set()
    assert isinstance(await finder.find("there.example"), Destination)
    assert isinstance(await slow, Destination)


@pytest.mark.parametrize("kind", ["nxdomain", "failed"])
async def test_a_domain_without_hosts_waits_for_no_policy(kind: str) -> None:
    world = World()
    world.sts_may.clear()
    world.mx_is = LookupFailure(kind, Reply.of(550, "5.1.2 none"))  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        assert isinstance(await world.finder().find("there.example"), Outcome)


async def test_a_route_and_an_address_are_nobodys_policy() -> None:
    world = World()
    for domain, finder in (
        ("there.example", world.finder("there.example")),
        ("[198.51.101.7]", world.finder()),
    ):
        found = await finder.find(domain)
        assert isinstance(found, Destination)
        assert found.tls.sts is None
    assert world.asked == []
