"""A world of real servers on loopback: an authority, mail hosts that speak SMTP under TLS, and one
HTTPS host for the MTA-STS policies of all domains. DNS alone is played."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import random
import ssl
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiosmtpd.smtp import SMTP
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from penstock.mail.outcome import Outcome
from penstock.policy.limits import Limits
from penstock.policy.mta_sts import StsPolicy
from penstock.relay.connection import Connection
from penstock.relay.opening import open_connection
from penstock.relay.options import ConnectOptions
from penstock.relay.ports import (
    AddressRecords,
    Destination,
    Host,
    LookupFailure,
    Transaction,
    TxtRecords,
)
from penstock.relay.securing import Wanted
from penstock.relay.sts import MtaSts
from penstock.relay.sts_fetch import FetchConfig, Fetcher
from penstock.relay.sts_store import StsStore
from penstock.relay.tls import TlsFiles, TlsMemory
from penstock.relay.tls_demand import DomainTls, Terms
from penstock.smtp.reply import Reply

_DAY = datetime.timedelta(days=1)


class Authority:
    """Signs what it is asked to; ``file``: its own certificate."""

    def __init__(self, directory: Path, name: str = "Test Authority") -> None:
        self.directory, self._count = directory, 0
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self._name, self._key.public_key(), [], self._key, ca=True)
        self.file = directory / f"{name.replace(' ', '-')}.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def make(
        self, *names: str, days: int = 30, self_signed: bool = False, subject: str = ""
    ) -> Path:
        """A file with key and certificate for ``names``, valid for so many days (or until so many
        ago)."""
        key = ec.generate_private_key(ec.SECP256R1())
        common = x509.NameAttribute(x509.NameOID.COMMON_NAME, subject or names[0])
        whose, signer = x509.Name([common]), key if self_signed else self._key
        issued = self._sign(whose, key.public_key(), names, signer, days, self_signed=self_signed)
        self._count += 1
        path = self.directory / f"{names[0].replace('*', 'any')}-{self._count}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + issued.public_bytes(serialization.Encoding.PEM)
        )
        return path

    def _sign(self, subject, public, names, signer, days=3650, ca=False, self_signed=False):
        now = datetime.datetime.now(datetime.UTC)
        end = now + days * _DAY
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if self_signed else self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, end) - 30 * _DAY)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            found = [_general_name(name) for name in names]
            builder = builder.add_extension(x509.SubjectAlternativeName(found), critical=False)
        return builder.sign(signer, hashes.SHA256())


def _general_name(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def server_context(file: Path, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    if version is not None:
        context.maximum_version = version
    return context


class _Handler:
    def __init__(self, host: MailHost) -> None:
        self.host = host

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        last = responses.pop()
        if self.host.requiretls and server.transport.get_extra_info("sslcontext"):
            responses.append("250-REQUIRETLS")
        if self.host.stripped:
            responses = [one for one in responses if "STARTTLS" not in one]
        return [*responses, last]

    async def handle_MAIL(self, server, session, envelope, address, options):
        envelope.mail_from, self.host.options = address, options
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        secured = server.transport.get_extra_info("ssl_object")
        self.host.got.append(secured.version() if secured is not None else "")
        return "250 OK"


class _Session(SMTP):
    """aiosmtpd knows no REQUIRETLS: it is taken off before it looks."""

    async def smtp_MAIL(self, arg):
        handler = self.event_handler
        handler.host.said.append(arg)
        await super().smtp_MAIL(arg.replace(" REQUIRETLS", "") if arg else arg)


class MailHost:
    """``got``: for each message the version of TLS that it came over; ``said``: MAIL commands."""

    def __init__(self, name: str, context: ssl.SSLContext | None) -> None:
        self.name, self.context = name, context
        self.got: list[str] = []
        self.said: list[str] = []
        self.options: list[str] = []
        self.stripped = self.requiretls = False
        self.connections = 0
        self.certificate = b""

    async def start(self) -> MailHost:
        loop = asyncio.get_running_loop()

        def session():
            self.connections += 1
            return _Session(_Handler(self), tls_context=self.context, loop=loop, hostname=self.name)

        self._server = await loop.create_server(session, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()


class PolicyHost:
    """Serves ``policies`` (domain to body) over HTTPS; ``answers`` replaces a whole answer."""

    def __init__(self) -> None:
        self.policies: dict[str, bytes] = {}
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.hangs = False

    async def start(self, file: Path) -> PolicyHost:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=server_context(file)
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        self._server.close()

    async def _serve(self, reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = [line.partition(": ") for line in head.split("\r\n")]
            host = next(value for name, _, value in lines if name.lower() == "host")
            domain = host.partition(":")[0].removeprefix("mta-sts.")
            self.asked.append(domain)
            if self.hangs:
                await reader.read()
            writer.write(self.answers.get(domain) or self._answer(domain))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _answer(self, domain: str) -> bytes:
        body = self.policies.get(domain)
        if body is None:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


class Dns:
    """``records``: TXT by name. Every other name is on loopback."""

    def __init__(self) -> None:
        self.records: dict[str, str | LookupFailure] = {}
        self.asked: list[str] = []

    async def txt(self, name):
        self.asked.append(name)
        found = self.records.get(name)
        if found is None:
            return LookupFailure("nxdomain", Reply.of(550, "5.1.2 none"))
        return found if isinstance(found, LookupFailure) else TxtRecords((found,), 300.0)

    async def addresses(self, name):
        return AddressRecords(("127.0.0.1",), 300.0)


class Feed:
    """One message, then the end."""

    def __init__(self, **more) -> None:
        body = (b"Subject: x\r\n\r\nhello\r\n",)
        to = ("ann@there.example",)
        size = sum(map(len, body))
        self._waiting = [Transaction("bob@here.example", to, body, size, **more)]
        self.outcomes: list[Outcome] = []

    def next(self):
        return self._waiting.pop() if self._waiting else None

    async def wait(self):
        return False

    def done(self, tx, outcomes):
        self.outcomes += outcomes


class World:
    """``deliver(domain)`` sends one message and tells how it ended, in one line."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory)
        self.dns, self.policy_host = Dns(), PolicyHost()
        self.hosts: list[MailHost] = []
        self.findings = []
        self.now = 1000.0
        self.files = TlsFiles(ca=str(self.authority.file))
        self.memory = TlsMemory(files=self.files)
        self.domains: dict[str, list[MailHost]] = {}
        self.store = StsStore(str(directory / "policies"), 100)
        self.fetches: list[str] = []
        self.sts: MtaSts

    async def start(self) -> World:
        names = ("mta-sts.there.example", "mta-sts.other.example")
        await self.policy_host.start(self.authority.make(*names))
        self.make_sts()
        return self

    def make_sts(self) -> None:
        """As after a restart: the store alone is kept."""
        networks = (ipaddress.ip_network("127.0.0.0/8"),)
        config = FetchConfig(self.files.ca, 2.0, self.policy_host.port, networks)
        fetcher = Fetcher(config, self.dns)
        clock = lambda: self.now  # noqa: E731
        self.sts = MtaSts(self.dns, fetcher.fetch, self.store, clock, told=self.fetches.append)

    async def stop(self) -> None:
        await self.sts.close()
        self.store.close()
        await self.policy_host.stop()
        for host in self.hosts:
            await host.stop()

    async def host(self, name="mx.there.example", file=None, version=None, tls=True) -> MailHost:
        file = file or self.authority.make(name)
        context = server_context(file, version) if tls else None
        self.hosts.append(await MailHost(name, context).start())
        self.hosts[-1].certificate = ssl.PEM_cert_to_DER_cert(
            file.read_text().partition("-----END PRIVATE KEY-----\n")[2]
        )
        return self.hosts[-1]

    def publish(self, domain, *mx, mode="enforce", max_age=86400, id="1") -> None:
        """An MTA-STS record and the policy that it speaks of."""
        self.dns.records[f"_mta-sts.{domain}"] = f"v=STSv1; id={id};"
        lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {one}" for one in mx)]
        body = "\r\n".join([*lines, f"max_age: {max_age}", ""])
        self.policy_host.policies[domain] = body.encode()

    async def published(self, domain) -> DomainTls:
        answer = await self.sts.find(domain)
        return DomainTls(answer.policy, answer.trouble)

    async def deliver(
        self, domain="there.example", *hosts, limits=None, terms=None, named=None, **more
    ) -> str:
        """``delivered TLSv1.3``, ``delivered`` in the clear, or the reply that says why not."""
        hosts = hosts or tuple(self.hosts)
        published = await self.published(domain) if terms is None else terms.published
        terms = terms or Terms(published)
        found = tuple(
            Host(one.name, ("127.0.0.1",), number, one.port) for number, one in enumerate(hosts)
        )
        destination = Destination(domain, found, "site", "", "mx", None, 0.0, published)
        demand = terms.demand(limits or Limits())
        named = published.names_hosts if named is None else named
        seen = self.findings.append
        wanted = Wanted(demand, domain, published, named, seen, time.time)
        async with asyncio.timeout(10):
            opened = await open_connection(
                destination,
                ConnectOptions("me.example", command_timeout_s=5),
                self.memory,
                random.Random(7),
                lambda: self.now,
                wanted=wanted,
            )
            if isinstance(opened, Outcome):
                return f"{opened.kind.value} {opened.reply}"
            assert isinstance(opened, Connection)
            feed = Feed(**more)
            await opened.run(feed)
        (outcome,) = feed.outcomes
        if outcome.kind.value != "delivered":
            return f"{outcome.kind.value} {outcome.reply}"
        return f"delivered {opened.tls.partition(' ')[0]}".strip()

    @property
    def results(self) -> list[str]:
        """What would be reported: ``sts ok``, ``no-policy-found validation-failure``."""
        return [f"{one.policy_type} {one.result_type or 'ok'}" for one in self.findings]


@pytest.fixture
async def world(tmp_path):
    made = await World(tmp_path).start()
    yield made
    await made.stop()


@pytest.fixture
def tools():
    return SimpleNamespace(
        Authority=Authority, server_context=server_context, StsPolicy=StsPolicy, World=World
    )
