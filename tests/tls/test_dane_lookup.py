"""What DNSSEC proves of a domain's hosts, and what follows where it proves nothing or is broken."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from tests.tls.signed_dns import resolver_of, signed_dns

from penstock.relay.dnssec import NameServer, config_of, name_server
from penstock.relay.ports import Host, LookupFailure, MxRecords
from penstock.relay.tls_demand import Tlsa, TlsaSet

PIN = "3 1 1 " + "ab" * 32
PINNED = Tlsa(3, 1, 1, bytes.fromhex("ab" * 32))
NAME = "_25._tcp.mx.example.net"
ZONE = {
    ("example.net", "MX"): ["10 mx.example.net."],
    ("mx.example.net", "A"): ["192.0.2.1"],
    (NAME, "TLSA"): [PIN],
}


@pytest.fixture
async def dns_of():
    opened = []

    async def start(changes=(), unsigned=(), **config):
        zone = {**ZONE, **dict(changes)}
        server = await signed_dns({k: v for k, v in zone.items() if v is not None}, unsigned)
        resolver = resolver_of(server, **config)
        opened.append((server, resolver))
        resolver.server = server
        return resolver

    yield start
    for server, resolver in opened:
        await resolver.close()
        server.transport.close()


async def found(resolver, *names):
    hosts = [Host(name, ("192.0.2.1",)) for name in names or ("mx.example.net",)]
    return await resolver.dane.find("example.net", hosts)


async def test_a_signed_record_of_a_signed_host_of_a_signed_domain(dns_of):
    answer = await found(await dns_of())
    assert answer.secure
    assert answer.tlsa == (TlsaSet("mx.example.net", NAME, (PINNED,), "", ("mx.example.net",)),)
    assert answer.ttl_s == 300


@pytest.mark.parametrize("unsigned", ["mx.example.net", NAME])
async def test_what_is_not_signed_on_the_way_leaves_the_host_as_it_was(dns_of, unsigned):
    answer = await found(await dns_of(unsigned=[unsigned]))
    assert answer.secure
    assert answer.tlsa == ()


async def test_insecure_mx_records_end_it(dns_of):
    resolver = await dns_of(unsigned=["example.net"])
    answer = await found(resolver)
    assert (answer.secure, answer.tlsa) == (False, ())
    assert not any(kind == "TLSA" for _, kind in resolver.server.asked)


async def test_a_resolver_that_is_not_trusted_proves_nothing(dns_of):
    answer = await found(await dns_of(trusted=False))
    assert (answer.secure, answer.tlsa) == (False, ())


async def test_no_record(dns_of):
    answer = await found(await dns_of({(NAME, "TLSA"): None}))
    assert (answer.secure, answer.tlsa) == (True, ())


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("bogus", "SERVFAIL from 127.0.0.1:{port}: dnssec bogus"),
        ("servfail", "SERVFAIL from"),
        ("silent", "no answer from 127.0.0.1:{port}"),
    ],
)
async def test_a_record_that_cannot_be_known_is_not_absent(dns_of, broken, why):
    resolver = await dns_of({(NAME, "TLSA"): broken})
    (tlsa,) = (await found(resolver)).tlsa
    assert tlsa.records == ()
    assert tlsa.trouble.startswith(why.format(port=resolver.server.port))


async def test_a_bogus_answer_is_asked_for_once(dns_of):
    resolver = await dns_of({(NAME, "TLSA"): "bogus"})
    await found(resolver)
    assert resolver.server.asked.count((NAME, "TLSA")) == 1


async def test_mx_records_that_are_bogus_are_no_destination(dns_of):
    resolver = await dns_of({("example.net", "MX"): "bogus"})
    answer = await resolver.mx("example.net")
    assert isinstance(answer, LookupFailure)
    assert answer.kind == "failed"
    assert "dnssec bogus" in str(answer.reply)
    (tlsa,) = (await found(resolver)).tlsa  # nor are hosts that were found before
    assert "dnssec bogus" in tlsa.trouble


async def test_records_none_of_which_can_be_used(dns_of):
    (tlsa,) = (await found(await dns_of({(NAME, "TLSA"): ["1 1 1 " + "ab" * 32]}))).tlsa
    assert (tlsa.records, tlsa.trouble) == ((), "")


async def test_the_names_under_an_authority_include_the_domain(dns_of):
    (tlsa,) = (await found(await dns_of({(NAME, "TLSA"): ["2 1 1 " + "ab" * 32]}))).tlsa
    assert tlsa.names == ("mx.example.net", "example.net")


async def test_a_host_that_is_no_longer_in_the_records_gets_no_mail(dns_of):
    (tlsa,) = (await found(await dns_of(), "old.example.net")).tlsa
    assert tlsa.trouble == "no longer a mail host of it"


async def test_no_mx_records_and_the_domain_is_its_own_host(dns_of):
    resolver = await dns_of(
        {
            ("example.net", "MX"): None,
            ("example.net", "A"): ["192.0.2.1"],
            ("_25._tcp.example.net", "TLSA"): [PIN],
        }
    )
    (tlsa,) = (await found(resolver, "example.net")).tlsa
    assert (tlsa.name, tlsa.records) == ("_25._tcp.example.net", (PINNED,))


async def test_an_alias_is_followed_and_its_end_counts_first(dns_of):
    alias = {
        ("mx.example.net", "A"): None,
        ("mx.example.net", "CNAME"): ["real.example.org."],
        ("real.example.org", "A"): ["192.0.2.1"],
    }
    there = {("_25._tcp.real.example.org", "TLSA"): ["3 0 1 " + "cd" * 32]}
    (tlsa,) = (await found(await dns_of({**alias, **there}))).tlsa
    assert tlsa.name == "_25._tcp.real.example.org"
    assert tlsa.names == ("real.example.org", "mx.example.net")
    (tlsa,) = (await found(await dns_of(alias))).tlsa
    assert (tlsa.name, tlsa.names) == (NAME, ("mx.example.net",))


async def test_a_signed_alias_into_an_unsigned_zone_counts_by_its_own_name(dns_of):
    alias = {
        ("mx.example.net", "A"): None,
        ("mx.example.net", "CNAME"): ["real.example.org."],
        ("real.example.org", "A"): ["192.0.2.1"],
        ("_25._tcp.real.example.org", "TLSA"): ["3 0 1 " + "cd" * 32],
    }
    (tlsa,) = (await found(await dns_of(alias, unsigned=["real.example.org"]))).tlsa
    assert tlsa.name == NAME


async def test_an_alias_that_cannot_be_known_is_not_taken_for_unsigned(dns_of):
    alias = {
        ("mx.example.net", "A"): None,
        ("mx.example.net", "CNAME"): ["real.example.org."],
        ("real.example.org", "A"): ["192.0.2.1"],
    }
    resolver = await dns_of(alias, unsigned=["real.example.org"])
    resolver.server.broken[("mx.example.net", "CNAME")] = "servfail"
    (tlsa,) = (await found(resolver)).tlsa
    assert "SERVFAIL" in tlsa.trouble


async def test_a_tlsa_name_that_is_an_alias(dns_of):
    resolver = await dns_of(
        {
            (NAME, "TLSA"): None,
            (NAME, "CNAME"): ["pins.example.org."],
            ("pins.example.org", "TLSA"): [PIN],
        }
    )
    (tlsa,) = (await found(resolver)).tlsa
    assert (tlsa.name, tlsa.records) == (NAME, (PINNED,))


async def test_answers_are_kept_as_long_as_they_are_good(dns_of):
    resolver = await dns_of()
    await found(resolver)
    asked = len(resolver.server.asked)
    await found(resolver)
    assert len(resolver.server.asked) == asked
    resolver.now[0] += 301
    await found(resolver)
    assert len(resolver.server.asked) == 2 * asked


async def test_no_more_answers_are_kept_than_said(dns_of):
    resolver = await dns_of(entries_max=2)
    await found(resolver)
    assert resolver.stats()["entries"] == 2


async def test_mx_records_as_others_get_them(dns_of):
    resolver = await dns_of({("none.example", "MX"): ["0 ."]})
    assert await resolver.mx("EXAMPLE.net.") == MxRecords(((10, "mx.example.net"),), 300.0, True)
    assert (await resolver.mx("none.example")).records == ((0, ""),)
    assert (await resolver.mx("missing.example")).kind == "nxdomain"
    assert (await resolver.addresses("missing.example")).kind == "nxdomain"
    assert (await resolver.mx("mx.example.net")).kind == "nodata"
    assert (await resolver.mx("a..b")).kind == "nxdomain"


def test_which_resolvers_are_believed(monkeypatch):
    named = config_of(["192.0.2.53", "[2001:db8::1]:5353"])
    assert named.trusted
    assert named.nameservers == (NameServer("192.0.2.53"), NameServer("2001:db8::1", 5353))
    assert [str(one) for one in named.nameservers] == ["192.0.2.53", "[2001:db8::1]:5353"]
    assert name_server("127.0.0.1:54") == NameServer("127.0.0.1", 54)

    for system, trusted in (
        (["127.0.0.53"], True),
        (["::1", "127.0.0.1"], True),
        (["127.0.0.53", "192.0.2.1"], False),
        ([], False),
    ):
        found = SimpleNamespace(nameservers=system, port=53)
        monkeypatch.setattr("dns.resolver.Resolver", lambda found=found: found)
        assert config_of(()).trusted is trusted
