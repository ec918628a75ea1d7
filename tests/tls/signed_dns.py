"""A name server on loopback that answers as one that validates: with AD, without, or SERVFAIL."""

from __future__ import annotations

import asyncio
import threading

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from penstock.relay.dane import Dane, ValidatingResolver
from penstock.relay.dnssec import DnssecConfig, NameServer
from penstock.relay.resolver import ResolverConfig

BOGUS = dns.edns.EDEOption(dns.edns.EDECode.DNSSEC_BOGUS)


class SignedDns(asyncio.DatagramProtocol):
    """``zone``: (name, type) -> texts of records, or ``"bogus"``, ``"servfail"``, ``"silent"``. A
    name in ``unsigned`` is answered without AD; one with no records at all does not exist."""

    def __init__(self, zone, unsigned=()):
        self.zone, self.unsigned = dict(zone), set(unsigned)
        self.broken = {}  # the same for what is asked for itself, and not met on the way
        self.asked = []
        self.ttl = 300

    def connection_made(self, transport):
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data, address):
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        found = self.broken.get((name, kind)) or self.zone.get((name, kind), [])
        if found == "silent":
            return
        if found in ("bogus", "servfail"):
            response.set_rcode(dns.rcode.SERVFAIL)
            if found == "bogus":
                response.use_edns(0, options=[BOGUS])
        else:
            self._answer(response, name, kind)
        self.transport.sendto(response.to_wire(), address)

    def _answer(self, response, name, kind):
        secure = True
        for _ in range(5):
            secure = secure and name not in self.unsigned
            alias = self.zone.get((name, "CNAME"))
            if alias is None or kind == "CNAME":
                break
            self._add(response, name, "CNAME", alias)
            name = alias[0].rstrip(".")
        records = self.zone.get((name, kind))
        if records:
            self._add(response, name, kind, records)
        elif not any(known == name for known, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if secure:
            response.flags |= dns.flags.AD

    def _add(self, response, name, kind, records):
        response.answer.append(
            dns.rrset.from_text(name.rstrip(".") + ".", self.ttl, "IN", kind, *records)
        )


async def signed_dns(zone, unsigned=()):
    loop = asyncio.get_running_loop()
    _, server = await loop.create_datagram_endpoint(
        lambda: SignedDns(zone, unsigned), local_addr=("127.0.0.1", 0)
    )
    return server


def resolver_of(server, *, trusted=True, **config):
    """A resolver that asks ``server``; ``now`` is its clock."""
    now = [1000.0]
    dnssec = DnssecConfig((NameServer("127.0.0.1", server.port),), trusted, 0.2, 2)
    made = ValidatingResolver(
        dnssec,
        ResolverConfig(**config),
        None,
        clock=lambda: now[0],  # type: ignore[arg-type]
    )
    made.now = now
    made.dane = Dane(made)
    return made


@pytest.fixture
def name_server():
    """``name_server(zone)`` -> its port; in a thread, since the tests here wait."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers = []

    def start(zone, unsigned=()):
        server = asyncio.run_coroutine_threadsafe(signed_dns(zone, unsigned), loop).result(10)
        servers.append(server)
        return int(server.port)

    yield start

    async def close():
        for server in servers:
            server.transport.close()
        await asyncio.sleep(0)

    asyncio.run_coroutine_threadsafe(close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
