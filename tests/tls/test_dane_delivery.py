"""DANE from the record to the reply: a name server that validates, a mail server and
its certificate, what becomes of the connection. Each case says the exact reason."""

from __future__ import annotations

import asyncio
import datetime
import random

import pytest
from aiosmtpd.smtp import SMTP
from tests.tls.dane_world import Certificate
from tests.tls.signed_dns import resolver_of, signed_dns

from penstock.mail.outcome import Outcome
from penstock.policy.limits import Limits
from penstock.relay.connection import Connection
from penstock.relay.opening import open_connection
from penstock.relay.options import ConnectOptions
from penstock.relay.ports import Destination, Host
from penstock.relay.securing import Wanted
from penstock.relay.tls import TlsMemory
from penstock.relay.tls_demand import DomainTls, Terms

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
DATES = {"begins": NOW - DAY, "ends": NOW + 30 * DAY}
MX = "mx.example.net"
ROOT = Certificate("Root", authority=True, **DATES)
PLAIN = Certificate(MX, names=(MX,), **DATES)  # self-signed
OLD = Certificate("elsewhere", names=("elsewhere.example",), begins=NOW - 9 * DAY, ends=NOW - DAY)
ISSUED = Certificate("x", by=ROOT, names=(MX,), **DATES)
ELSEWHERE = Certificate("x", by=ROOT, names=("elsewhere.example",), **DATES)


class World:
    """A mail server that shows ``certificate`` and those above it; ``records`` are its TLSA
    records, or what goes wrong where they are asked for."""

    def __init__(self):
        self.findings, self.names, self.handshakes = [], [], []
        self.memory = TlsMemory(handshook=self.handshakes.append)

    async def begin(self, certificate, above=(), records=(), changes=(), unsigned=(), **options):
        context = None
        if certificate is not None:
            context = certificate.server(*above)
            context.sni_callback = lambda _, name, __: self.names.append(name)
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(
            lambda: SMTP(None, tls_context=context, hostname=MX, **options), "127.0.0.1", 0
        )
        self.port = self.server.sockets[0].getsockname()[1]
        name = f"_{self.port}._tcp.{MX}"
        zone = {("example.net", "MX"): [f"10 {MX}."], (MX, "A"): ["127.0.0.1"]}
        if records:
            zone[name, "TLSA"] = records if isinstance(records, str) else list(map(_text, records))
        zone.update(changes(self.port) if changes else {})
        self.dns = await signed_dns(zone, unsigned)
        self.resolver = resolver_of(self.dns)
        return self

    async def connect(self, mode="opportunistic"):
        host = Host(MX, ("127.0.0.1",), 10, self.port)
        answer = await self.resolver.dane.find("example.net", [host])
        published = DomainTls(tlsa=answer.tlsa, secure=answer.secure)
        demand = Terms(published).demand(Limits(tls=mode))
        wanted = Wanted(
            demand, "example.net", published, answer.secure, self.findings.append, NOW.timestamp
        )
        destination = Destination("example.net", (host,), "site", "", "mx", None, 0.0)
        async with asyncio.timeout(10):
            opened = await open_connection(
                destination,
                ConnectOptions("me.example"),
                self.memory,
                random.Random(1),
                wanted=wanted,
            )
        if isinstance(opened, Connection):
            opened.close()
        return opened

    async def close(self):
        self.server.close()
        await self.resolver.close()
        self.dns.transport.close()


def _text(record):
    usage, selector, matching, data = record
    return f"{usage} {selector} {matching} {data.hex()}"


@pytest.fixture
async def world():
    one = World()
    yield one
    await one.close()


def why(opened):
    assert isinstance(opened, Outcome), opened
    assert opened.reply.code == 451
    return " ".join(opened.reply.lines)


@pytest.mark.parametrize(
    ("certificate", "above", "records"),
    [
        (PLAIN, (), [PLAIN.tlsa(3)]),
        (PLAIN, (), [PLAIN.tlsa(3, 0, 2)]),
        (OLD, (), [OLD.tlsa(3)]),
        (ISSUED, (ROOT,), [ROOT.tlsa(2)]),
        (ISSUED, (), [ROOT.tlsa(2, 0, 0)]),
        (PLAIN, (), [OLD.tlsa(3), PLAIN.tlsa(3)]),
    ],
)
async def test_a_match_is_delivered(world, certificate, above, records):
    await world.begin(certificate, above, records)
    opened = await world.connect()
    assert isinstance(opened, Connection)
    (finding,) = world.findings
    assert (finding.policy_type, finding.result_type) == ("tlsa", "")
    assert finding.policy_string[0].startswith(str(sorted(records)[0].usage))
    assert world.names == [MX]


async def test_a_mismatch_waits_and_says_why(world):
    await world.begin(PLAIN, records=[OLD.tlsa(3)])
    text = why(await world.connect())
    assert text.startswith("4.7.5 TLS handshake failed: certificate sha256:")
    assert f"matches no record at _{world.port}._tcp.{MX} (demanded by DANE, " in text
    (finding,) = world.findings
    assert (finding.policy_type, finding.result_type) == ("tlsa", "tlsa-invalid")
    assert finding.mx_host == MX
    assert "matches no record" in finding.detail


async def test_a_mismatch_is_never_met_in_the_clear_or_from_memory(world):
    await world.begin(PLAIN, records=[OLD.tlsa(3)])
    for _ in range(3):
        assert "matches no record" in why(await world.connect())


@pytest.mark.parametrize(
    ("certificate", "result", "said"),
    [
        (ELSEWHERE, "certificate-host-mismatch", f"is for elsewhere.example, not {MX}"),
        (PLAIN, "tlsa-invalid", "leads to no authority in the records"),
    ],
)
async def test_an_authority_that_does_not_vouch(world, certificate, result, said):
    await world.begin(certificate, (ROOT,), [ROOT.tlsa(2)])
    assert said in why(await world.connect())
    assert [one.result_type for one in world.findings] == [result]


async def test_an_expired_certificate_of_an_authority(world):
    late = Certificate("x", by=ROOT, names=(MX,), begins=NOW - 9 * DAY, ends=NOW - DAY)
    await world.begin(late, (ROOT,), [ROOT.tlsa(2)])
    assert "expired" in why(await world.connect())
    assert [one.result_type for one in world.findings] == ["certificate-expired"]


async def test_starttls_stripped_away(world):
    await world.begin(None, records=[PLAIN.tlsa(3)])
    text = why(await world.connect())
    assert text.startswith("4.7.4 TLS is required, STARTTLS not offered by host (demanded by DANE")
    assert [one.result_type for one in world.findings] == ["starttls-not-supported"]


async def test_no_records_and_all_is_as_before(world):
    await world.begin(OLD)
    assert isinstance(await world.connect(), Connection)
    assert [one.policy_type for one in world.findings] == ["no-policy-found"]


@pytest.mark.parametrize("unsigned", ["example.net", MX])
async def test_records_that_are_not_proven_bind_nobody(world, unsigned):
    await world.begin(PLAIN, records=[OLD.tlsa(3)], unsigned=[unsigned])
    assert isinstance(await world.connect(), Connection)


@pytest.mark.parametrize("broken", ["bogus", "servfail", "silent"])
async def test_records_that_cannot_be_known_hold_the_mail_back(world, broken):
    await world.begin(PLAIN, records=broken)
    text = why(await world.connect())
    assert text.startswith(f"4.7.5 TLSA records of {MX} cannot be relied on: ")
    if broken == "bogus":
        assert "dnssec bogus" in text
    assert [one.result_type for one in world.findings] == ["dnssec-invalid"]


async def test_records_that_nobody_can_use_ask_for_encryption_only(world):
    unusable = PLAIN.tlsa(3)._replace(usage=1)
    await world.begin(OLD, records=[unusable])
    assert isinstance(await world.connect(), Connection)


async def test_and_without_encryption_there_is_no_mail(world):
    await world.begin(None, records=[PLAIN.tlsa(3)._replace(usage=1)])
    assert "STARTTLS not offered" in why(await world.connect())


async def test_an_alias_is_asked_for_by_the_name_of_its_records(world):
    base = "real.example.org"
    issued = Certificate("x", by=ROOT, names=(base,), **DATES)

    def changes(port):
        return {
            (MX, "CNAME"): [f"{base}."],
            (base, "A"): ["127.0.0.1"],
            (f"_{port}._tcp.{base}", "TLSA"): [_text(ROOT.tlsa(2))],
        }

    await world.begin(issued, (ROOT,), changes=changes)
    assert isinstance(await world.connect(), Connection)
    assert world.names == [base]


async def test_a_resumed_session_is_of_the_same_records_only(world):
    await world.begin(PLAIN, records=[PLAIN.tlsa(3)])
    assert isinstance(await world.connect(), Connection)
    assert isinstance(await world.connect(), Connection)
    assert world.handshakes == ["ok", "resumed"]
    name = (f"_{world.port}._tcp.{MX}", "TLSA")
    world.dns.zone[name] = [_text(OLD.tlsa(3))]
    world.resolver.now[0] += 1000.0
    assert "matches no record" in why(await world.connect())


async def test_strict_policies_of_our_own_are_met_by_the_records(world):
    await world.begin(PLAIN, records=[PLAIN.tlsa(3)])
    assert isinstance(await world.connect("verified"), Connection)
