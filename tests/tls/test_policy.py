"""What the operator's policy demands, against hosts that meet it and hosts that do not."""

from __future__ import annotations

import asyncio
import datetime
import ssl

import pytest

from penstock.policy.limits import Limits, Provenance
from penstock.relay.tls import TlsFiles, TlsMemory
from penstock.relay.tls_demand import DomainTls, Terms, Tlsa, TlsaSet

WHERE = "policies/default.toml:4"
BY = f"(demanded by {WHERE})"


class SaysWhy:
    """Refuses a handshake as most servers do, with an alert; asyncio's just hang up."""

    name = "mx.there.example"

    def __init__(self, context) -> None:
        self.context = context

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader, writer):
        writer.write(b"220 hi\r\n")
        await reader.readline()
        writer.write(b"250-mx\r\n250 STARTTLS\r\n")
        await reader.readline()
        writer.write(b"220 go\r\n")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        secured = self.context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(await reader.read(1 << 16))
        with pytest.raises(ssl.SSLError):
            secured.do_handshake()
        writer.write(outgoing.read())
        await writer.drain()
        writer.close()


def limits(tls, version="1.2"):
    return Limits(
        tls=tls,
        tls_min_version=version,
        provenance={"tls": Provenance("policies/default.toml", 4)},
    )


@pytest.mark.parametrize("mode", ["opportunistic", "required", "verified"])
async def test_a_good_host_gets_mail_under_every_demand(world, mode) -> None:
    host = await world.host()
    assert await world.deliver(limits=limits(mode)) == "delivered TLSv1.3"
    assert host.got == ["TLSv1.3"]
    assert world.results == ["no-policy-found ok"]


async def test_none_does_not_encrypt(world) -> None:
    host = await world.host()
    assert await world.deliver(limits=limits("none")) == "delivered"
    assert host.got == [""]


async def test_an_expired_certificate(world) -> None:
    await world.host(file=world.authority.make("mx.there.example", days=-3))
    ended = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=3)
    assert await world.deliver(limits=limits("verified")) == (
        f"deferred 451 4.7.5 TLS handshake failed: certificate expired on {ended:%Y-%m-%d} {BY}"
    )
    assert world.results == ["no-policy-found certificate-expired"]
    assert await world.deliver(limits=limits("required")) == "delivered TLSv1.3"


async def test_a_certificate_for_another_name(world) -> None:
    file = world.authority.make("a.example", "b.example", "c.example", "d.example")
    await world.host(file=file)
    assert await world.deliver(limits=limits("verified")) == (
        "deferred 451 4.7.5 TLS handshake failed: certificate is for a.example, b.example, "
        f"c.example and 1 more, not mx.there.example {BY}"
    )
    assert world.results == ["no-policy-found certificate-host-mismatch"]
    assert await world.deliver(limits=limits("opportunistic")) == "delivered TLSv1.3"


async def test_the_common_name_says_nothing(world) -> None:
    """Only the names of the extension count (RFC 6125 6.4.4)."""
    file = world.authority.make("other.example", subject="mx.there.example")
    await world.host(file=file)
    reply = await world.deliver(limits=limits("verified"))
    assert "certificate is for other.example, not mx.there.example" in reply


async def test_a_wildcard_stands_for_one_label(world) -> None:
    await world.host(file=world.authority.make("*.there.example"))
    assert await world.deliver(limits=limits("verified")) == "delivered TLSv1.3"
    await world.host("mx.deep.there.example", world.authority.make("*.there.example"))
    reply = await world.deliver("there.example", world.hosts[1], limits=limits("verified"))
    assert "certificate is for *.there.example, not mx.deep.there.example" in reply


async def test_a_self_signed_certificate(world) -> None:
    await world.host(file=world.authority.make("mx.there.example", self_signed=True))
    assert await world.deliver(limits=limits("verified")) == (
        f"deferred 451 4.7.5 TLS handshake failed: certificate is self-signed {BY}"
    )
    assert world.results == ["no-policy-found certificate-not-trusted"]
    assert await world.deliver(limits=limits("required")) == "delivered TLSv1.3"


async def test_an_authority_that_we_do_not_know(world, tools, tmp_path) -> None:
    (tmp_path / "other").mkdir()
    other = tools.Authority(tmp_path / "other", "Somebody Else")
    await world.host(file=other.make("mx.there.example"))
    assert await world.deliver(limits=limits("verified")) == (
        "deferred 451 4.7.5 TLS handshake failed: certificate's issuer is not known here: "
        f"CN=Somebody Else {BY}"
    )
    world.memory.reload(TlsFiles(ca=str(other.file)))
    assert await world.deliver(limits=limits("verified")) == "delivered TLSv1.3"


@pytest.mark.parametrize("mode", ["required", "verified"])
async def test_starttls_stripped_on_the_way(world, mode) -> None:
    host = await world.host()
    host.stripped = True
    assert await world.deliver(limits=limits(mode)) == (
        f"deferred 451 4.7.4 TLS is required, STARTTLS not offered by host {BY}"
    )
    assert host.got == []
    assert world.results == ["no-policy-found starttls-not-supported"]
    assert await world.deliver(limits=limits("opportunistic")) == "delivered"


async def test_a_version_that_is_too_low(world) -> None:
    await world.host(version=ssl.TLSVersion.TLSv1_2)
    old = await SaysWhy(world.hosts[0].context).start()
    assert await world.deliver("there.example", old, limits=limits("required", "1.3")) == (
        f"deferred 451 4.7.5 TLS handshake failed: its version of TLS is too low {BY}"
    )
    assert world.results == ["no-policy-found validation-failure"]
    old.server.close()


async def test_opportunistic_mail_asks_for_no_version(world) -> None:
    host = await world.host(version=ssl.TLSVersion.TLSv1_2)
    assert (await world.deliver(limits=limits("required", "1.3"))).startswith("deferred 451 4.7.5")
    assert host.got == []
    assert await world.deliver(limits=limits("required", "1.2")) == "delivered TLSv1.2"
    assert await world.deliver(limits=limits("opportunistic", "1.3")) == "delivered TLSv1.2"


async def test_the_next_host_where_one_does_not_meet_the_demand(world) -> None:
    first = await world.host("mx1.there.example", world.authority.make("x.example"))
    second = await world.host("mx2.there.example")
    assert await world.deliver(limits=limits("verified")) == "delivered TLSv1.3"
    assert (first.got, second.got) == ([], ["TLSv1.3"])


async def test_a_session_of_an_unverified_handshake_is_not_resumed_by_a_verified_one(world) -> None:
    """Else a host that anybody could have stood in for would count as verified."""
    host = await world.host(file=world.authority.make("mx.there.example", self_signed=True))
    assert await world.deliver(limits=limits("opportunistic")) == "delivered TLSv1.3"
    assert await world.deliver(limits=limits("required")) == "delivered TLSv1.3"
    assert "self-signed" in await world.deliver(limits=limits("verified"))
    assert len(host.got) == 2


async def test_a_resumed_session_was_verified_and_ends_with_its_certificate(world) -> None:
    ends = []
    world.memory.handshook = ends.append
    await world.host(file=world.authority.make("mx.there.example", days=1))
    for _ in range(2):
        assert await world.deliver(limits=limits("verified")) == "delivered TLSv1.3"
    assert ends == ["ok", "resumed"]
    ((_, until),) = world.memory.sessions._kept.values()
    assert until - world.now <= 7200
    world.memory.sessions._kept.clear()
    world.memory.sessions._keep_s = 10**9
    assert await world.deliver(limits=limits("verified")) == "delivered TLSv1.3"
    ((session, until),) = world.memory.sessions._kept.values()
    assert until - world.now <= min(86400, session.timeout)


async def test_our_own_files_that_cannot_be_read_let_nothing_through(world) -> None:
    host = await world.host()
    world.memory = TlsMemory(files=TlsFiles(ca="/nowhere/ca.pem"))
    reply = await world.deliver(limits=limits("verified"))
    assert reply.startswith("deferred 451 4.3.5 TLS cannot be used here: ")
    assert host.got == []
    assert await world.deliver(limits=limits("opportunistic")) == "delivered TLSv1.3"


async def test_a_client_certificate_is_shown_to_those_who_ask(world) -> None:
    own = world.authority.make("client.example")
    host = await world.host()
    host.context.verify_mode = ssl.CERT_REQUIRED
    host.context.load_verify_locations(world.authority.file)
    host.context.maximum_version = ssl.TLSVersion.TLSv1_2  # where a refusal is in the handshake
    assert (await world.deliver(limits=limits("required"))).startswith("deferred 451 4.7.5")
    files = TlsFiles(str(world.authority.file), str(own), str(own))
    world.memory = TlsMemory(files=files)
    assert await world.deliver(limits=limits("verified")) == "delivered TLSv1.2"


async def test_records_of_which_none_can_be_used_make_nothing_weaker(world) -> None:
    """DANE asks for TLS then; who asks for a verified host or a newer version still gets it."""
    await world.host(
        file=world.authority.make("mx.there.example", self_signed=True),
        version=ssl.TLSVersion.TLSv1_2,
    )
    unusable = TlsaSet("mx.there.example", "_25._tcp.mx.there.example")
    terms = Terms(DomainTls(tlsa=(unusable,), secure=True))
    assert await world.deliver(terms=terms) == "delivered TLSv1.2"
    assert "self-signed" in await world.deliver(terms=terms, limits=limits("verified"))
    reply = await world.deliver(terms=terms, limits=limits("required", "1.3"))
    assert reply.startswith("deferred 451 4.7.5")
    world.hosts[0].stripped = True
    assert (await world.deliver(terms=terms)).startswith("deferred 451 4.7.4")


async def test_a_host_with_records_has_the_version_that_we_ask_for(world) -> None:
    await world.host(version=ssl.TLSVersion.TLSv1_2)
    der = world.hosts[0].certificate
    tlsa = TlsaSet("mx.there.example", "_25._tcp.mx.there.example", (Tlsa(3, 0, 0, der),))
    terms = Terms(DomainTls(tlsa=(tlsa,), secure=True))
    assert await world.deliver(terms=terms) == "delivered TLSv1.2"
    reply = await world.deliver(terms=terms, limits=limits("required", "1.3"))
    assert reply.startswith("deferred 451 4.7.5")


async def test_none_is_not_tested(world) -> None:
    host = await world.host()
    world.publish("there.example", "mx.there.example", mode="testing")
    assert await world.deliver(limits=limits("none")) == "delivered"
    assert host.connections == 1
