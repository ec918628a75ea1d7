"""A worker's way out with [tls] dane = true: what a destination says of its hosts' TLSA records."""

from __future__ import annotations

import asyncio

from tests.tls.signed_dns import signed_dns

from penstock.events.metrics import Registry
from penstock.relay.destination import Destinations
from penstock.relay.ports import Destination
from penstock.relay.telemetry import Telemetry
from penstock.settings.models import Settings
from penstock.worker.resolving import Resolving

PIN = "3 1 1 " + "ab" * 32
ZONE = {
    ("example.net", "MX"): ["10 mx.example.net.", "20 mx2.example.net."],
    ("mx.example.net", "A"): ["9.9.9.9"],
    ("mx2.example.net", "A"): ["9.9.9.10"],
    ("_25._tcp.mx.example.net", "TLSA"): [PIN],
    ("plain.example", "MX"): ["10 mx.example.net."],
}


class Classes:
    def site_of(self, mx):
        return "site"

    def provider_of(self, domain, mx):
        return ""


async def test_hosts_come_with_their_records_where_the_settings_say_so():
    server = await signed_dns(ZONE, unsigned=["plain.example"])
    tls = {"dane": True, "dane_nameservers": (f"127.0.0.1:{server.port}",)}
    registry = Registry()
    resolving = Resolving(Settings(tls=tls), Telemetry(registry, None), None)
    clock = asyncio.get_running_loop().time
    destinations = Destinations(resolving.resolver, Classes(), (), clock=clock, dane=resolving.dane)
    found = await destinations.find("example.net")
    assert isinstance(found, Destination)
    assert found.tls.secure
    assert [one.host for one in found.tls.tlsa] == ["mx.example.net"]
    assert [one.name for one in found.hosts] == ["mx.example.net", "mx2.example.net"]
    found = await destinations.find("plain.example")
    assert isinstance(found, Destination)
    assert (found.tls.secure, found.tls.tlsa) == (False, ())
    assert resolving.answers > 4
    lookups = registry.counter("penstock_dns_lookups_total").rows()
    assert [["tlsa", "ok"], 1] in lookups
    await destinations.close()
    await resolving.close()
    server.transport.close()


async def test_off_by_default():
    resolving = Resolving(Settings(), Telemetry(Registry(), None), None)
    assert resolving.dane is None
    assert resolving.resolver is resolving.dns
    await resolving.close()
