"""DANE look-ups through unbound, which validates zones that we have signed; one is spoilt."""

from __future__ import annotations

import pathlib

import pytest
from bench.harness import free_port
from tests.interop.unbound import Unbound, signed

from penstock.relay.dane import Dane, ValidatingResolver
from penstock.relay.dnssec import config_of
from penstock.relay.ports import Host
from penstock.relay.resolver import ResolverConfig

ZONE = """
@ 300 IN SOA ns.{zone}. admin.{zone}. 1 3600 600 86400 300
@ 300 IN NS ns.{zone}.
ns 300 IN A 192.0.2.53
@ 300 IN MX 10 mx.{zone}.
mx 300 IN A 192.0.2.1
_25._tcp.mx 300 IN TLSA 3 1 1 {pin}
alias 300 IN MX 10 named.{zone}.
named 300 IN CNAME mx.{zone}.
bare 300 IN MX 10 quiet.{zone}.
quiet 300 IN A 192.0.2.2
"""
PIN = "ab" * 32
ZONES = ("signed.example", "spoilt.example", "plain.example")


@pytest.fixture
def resolver_address(need, tmp_path: pathlib.Path):
    need("unbound")
    anchors, zones = [], {}
    for name in ZONES:
        plain = ZONE.format(zone=name, pin=PIN)
        text, key = signed(name, plain)
        if name == "plain.example":
            text = plain.replace("@ ", f"{name}. ")
            anchors.append(f'domain-insecure: "{name}"')
        else:
            anchors.append(f'trust-anchor: "{key}"')
        if name == "spoilt.example":
            text = text.replace(PIN, "cd" * 32)  # after it was signed
        zones[name] = text
    port = free_port()
    with Unbound(tmp_path, "127.0.0.1", port, zones, anchors):
        yield f"127.0.0.1:{port}"


async def found(address: str, domain: str, *hosts: str):
    resolver = ValidatingResolver(config_of([address]), ResolverConfig(), None)  # type: ignore[arg-type]
    try:
        return await Dane(resolver).find(domain, [Host(one, ("192.0.2.1",)) for one in hosts])
    finally:
        await resolver.close()


async def test_what_a_real_resolver_proves(resolver_address: str) -> None:
    answer = await found(resolver_address, "signed.example", "mx.signed.example")
    assert answer.secure
    (tlsa,) = answer.tlsa
    assert tlsa.name == "_25._tcp.mx.signed.example"
    assert tlsa.records[0].data.hex() == PIN

    answer = await found(resolver_address, "alias.signed.example", "named.signed.example")
    assert answer.tlsa[0].names == ("mx.signed.example", "named.signed.example")

    answer = await found(resolver_address, "bare.signed.example", "quiet.signed.example")
    assert (answer.secure, answer.tlsa) == (True, ())

    answer = await found(resolver_address, "plain.example", "mx.plain.example")
    assert (answer.secure, answer.tlsa) == (False, ())

    answer = await found(resolver_address, "spoilt.example", "mx.spoilt.example")
    (tlsa,) = answer.tlsa
    assert tlsa.records == ()
    assert "dnssec bogus" in tlsa.trouble
