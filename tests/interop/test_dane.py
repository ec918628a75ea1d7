"""DANE look-ups through unbound, which validates zones that we have signed; one is spoilt."""

from __future__ import annotations

import datetime
import os
import pathlib
import signal
import subprocess
import time

import dns.dnssec
import dns.name
import dns.zone
import pytest
from bench.harness import free_port, program
from cryptography.hazmat.primitives.asymmetric import ec

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
CONFIG = """
server:
  interface: 127.0.0.1@{port}
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{home}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  module-config: "validator iterator"
  ede: yes
  val-log-level: 2
  {anchors}
remote-control:
  control-enable: no
{zones}
"""
AUTH = """
auth-zone:
  name: "{zone}."
  zonefile: "{path}"
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
"""
PIN = "ab" * 32
ZONES = ("signed.example", "spoilt.example", "plain.example")


def signed(name: str) -> tuple[str, str]:
    """The zone's text with its signatures, and its key."""
    zone = dns.zone.from_text(ZONE.format(zone=name, pin=PIN), origin=name, relativize=False)
    key = ec.generate_private_key(ec.SECP256R1())
    public = dns.dnssec.make_dnskey(key.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, 257)
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    dns.dnssec.sign_zone(zone, keys=[(key, public)], inception=now - day, expiration=now + day)
    return zone.to_text(relativize=False), f"{name}. DNSKEY {public.to_text()}"


@pytest.fixture
def resolver_address(need, tmp_path: pathlib.Path):
    need("unbound")
    anchors, zones = [], []
    for name in ZONES:
        text, key = signed(name)
        if name == "plain.example":
            text = ZONE.format(zone=name, pin=PIN).replace("@ ", f"{name}. ")
            anchors.append(f'domain-insecure: "{name}"')
        else:
            anchors.append(f'trust-anchor: "{key}"')
        if name == "spoilt.example":
            text = text.replace(PIN, "cd" * 32)  # after it was signed
        path = tmp_path / name
        path.write_text(f"$ORIGIN {name}.\n{text}\n")
        zones.append(AUTH.format(zone=name, path=path))
    port = free_port()
    config = tmp_path / "unbound.conf"
    config.write_text(
        CONFIG.format(
            port=port, home=tmp_path, anchors="\n  ".join(anchors), zones="\n".join(zones)
        )
    )
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            [program("unbound"), "-d", "-p", "-c", str(config)], stdout=log, stderr=log
        )
    end = time.monotonic() + 20.0
    while "start of service" not in (tmp_path / "log").read_text():
        assert process.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < end
        time.sleep(0.05)
    yield f"127.0.0.1:{port}"
    os.kill(process.pid, signal.SIGTERM)
    process.wait(10)


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
