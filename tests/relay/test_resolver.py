"""The resolver against a DNS server on loopback."""

from __future__ import annotations

import asyncio

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from penstock.relay.ports import AddressRecords, LookupFailure, MxRecords, TxtRecords
from penstock.relay.resolver import DnsResolver, ResolverConfig


class Server(asyncio.DatagramProtocol):
    """``zone``: (name, type) -> (ttl, texts) | rcode | None (no answer ever)."""

    def __init__(self, zone):
        self.zone = zone
        self.asked = []

    def connection_made(self, transport):
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data, address):
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text().rstrip(".").lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        found = self.zone.get((name, kind), dns.rcode.NXDOMAIN)
        if found is None:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if isinstance(found, dns.rcode.Rcode):
            response.set_rcode(found)
        else:
            ttl, texts = found
            for text in texts:
                rdtype, _, data_text = text.partition(" ")
                response.answer.append(
                    dns.rrset.from_text(question.name, ttl, "IN", rdtype, data_text)
                )
        self.transport.sendto(response.to_wire(), address)


@pytest.fixture
async def dns_of():
    """``await dns_of(zone, **config)`` -> (resolver, server); ``resolver.now[0]`` is its clock."""
    opened = []

    async def start(zone, **config):
        loop = asyncio.get_running_loop()
        transport, server = await loop.create_datagram_endpoint(
            lambda: Server(zone), local_addr=("127.0.0.1", 0)
        )
        given = {"try_timeout_s": 0.3, "tries": 1, **config}
        server.now = 0.0
        resolver = DnsResolver(
            ResolverConfig(nameservers=(f"127.0.0.1:{server.port}",), **given),
            clock=lambda: server.now,
        )
        opened.append((resolver, transport))
        return resolver, server

    yield start
    for resolver, transport in opened:
        await resolver.close()
        transport.close()


async def test_mx(dns_of):
    resolver, _ = await dns_of(
        {("d.test", "MX"): (120, ["MX 20 b.Test.", "MX 10 a.test.", "MX 10 a.test."])}
    )
    assert await resolver.mx("D.test.") == MxRecords(((10, "a.test"), (20, "b.test")), 120)


async def test_null_mx(dns_of):
    resolver, _ = await dns_of({("d.test", "MX"): (120, ["MX 0 ."])})
    assert (await resolver.mx("d.test")).records == ((0, ""),)


async def test_addresses_of_both_families(dns_of):
    resolver, _ = await dns_of(
        {
            ("h.test", "A"): (900, ["A 192.0.2.1", "A 192.0.2.2"]),
            ("h.test", "AAAA"): (300, ["AAAA 2001:db8::1"]),
        }
    )
    found = await resolver.addresses("h.test")
    assert set(found.addresses) == {"192.0.2.1", "192.0.2.2", "2001:db8::1"}
    assert found.ttl_s == 300


async def test_without_ipv6(dns_of):
    resolver, server = await dns_of({("h.test", "A"): (60, ["A 192.0.2.1"])}, ipv6=False)
    assert (await resolver.addresses("h.test")).addresses == ("192.0.2.1",)
    assert server.asked == [("h.test", "A")]


async def test_one_family_failing_does_not_hide_the_other(dns_of):
    zone = {("h.test", "A"): dns.rcode.SERVFAIL, ("h.test", "AAAA"): (60, ["AAAA 2001:db8::1"])}
    resolver, _ = await dns_of(zone)
    assert (await resolver.addresses("h.test")).addresses == ("2001:db8::1",)


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (dns.rcode.NXDOMAIN, "nxdomain", "550 5.1.2"),
        ((60, []), "nodata", "550 5.4.4"),
        ((60, ["CNAME other.test."]), "nodata", "550 5.4.4"),
        (dns.rcode.SERVFAIL, "failed", "451 4.4.3"),
        (dns.rcode.REFUSED, "failed", "451 4.4.3"),
        (None, "failed", "451 4.4.3"),
    ],
)
async def test_failures(dns_of, answer, kind, text):
    zone = {("d.test", record): answer for record in ("MX", "A", "AAAA")}
    resolver, _ = await dns_of(zone)
    for found in (await resolver.mx("d.test"), await resolver.addresses("d.test")):
        assert isinstance(found, LookupFailure)
        assert found.kind == kind
        assert str(found.reply).startswith(text)


async def test_timeout_of_the_whole_look_up(dns_of):
    resolver, _ = await dns_of({("d.test", "MX"): None}, timeout_s=0.05, try_timeout_s=5)
    found = await resolver.mx("d.test")
    assert found.kind == "failed"
    assert "timed out" in found.reply.text
    assert resolver.stats()["failures"] == 1


@pytest.mark.parametrize("name", ["a..b", "x" * 70 + ".test", "ж.test"])
async def test_impossible_names(dns_of, name):
    resolver, _ = await dns_of({})
    assert (await resolver.mx(name)).kind == "nxdomain"


async def test_ttl_within_bounds(dns_of):
    zone = {
        ("short.test", "MX"): (1, ["MX 1 a.test."]),
        ("long.test", "MX"): (10**6, ["MX 1 a.test."]),
    }
    resolver, server = await dns_of(zone, ttl_min_s=30, ttl_max_s=100)
    assert (await resolver.mx("short.test")).ttl_s == 30
    assert (await resolver.mx("long.test")).ttl_s == 100
    server.now = 29.0
    await resolver.mx("short.test")
    assert resolver.stats()["hits"] == 1
    server.now = 30.0
    await resolver.mx("short.test")
    assert resolver.stats()["misses"] == 3


async def test_asked_once_at_a_time_and_failures_kept_shortly(dns_of):
    resolver, server = await dns_of({("d.test", "MX"): dns.rcode.SERVFAIL})
    await asyncio.gather(*(resolver.mx("d.test") for _ in range(10)))
    once = len(server.asked)
    await resolver.mx("d.test")
    assert len(server.asked) == once
    assert resolver.stats()["misses"] == 1
    server.now = 10.0
    await resolver.mx("d.test")
    assert resolver.stats()["misses"] == 2


async def test_a_single_label_is_looked_up_as_the_system_would(dns_of):
    resolver, _ = await dns_of({})
    found = await resolver.addresses("localhost")
    assert isinstance(found, AddressRecords)
    assert "127.0.0.1" in found.addresses
    assert (await resolver.addresses("nosuchhost")).kind in ("nxdomain", "failed")


async def test_txt(dns_of):
    texts = ['TXT "v=STSv1; " "id=1;"', 'TXT "other"']
    resolver, server = await dns_of({("_mta-sts.d.test", "TXT"): (120, texts)})
    assert await resolver.txt("_mta-sts.D.test.") == TxtRecords(("v=STSv1; id=1;", "other"), 120)
    await resolver.txt("_mta-sts.d.test")
    assert server.asked == [("_mta-sts.d.test", "TXT")]
    missing = await resolver.txt("_mta-sts.e.test")
    assert missing.kind == "nxdomain"
