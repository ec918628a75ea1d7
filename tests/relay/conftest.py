"""Fakes for the outward edge: a feed, a wire, and an SMTP server that follows a script.

Scripts are text dialogues. ``S:`` is what the server says (lines in a row arrive together), ``C:``
what it must hear (a glob), ``X:`` what it does.
"""

from __future__ import annotations

import asyncio
import fnmatch
import ssl
import textwrap
from types import SimpleNamespace

import pytest

from penstock.mail.outcome import Outcome
from penstock.relay.exchange import Exchange
from penstock.relay.options import ConnectOptions
from penstock.relay.peer import Peer
from penstock.relay.ports import Transaction
from penstock.smtp.client_reply import ReplyParser

PATIENCE_S = 5.0


def tx(name="a", recipients=1, body=(b"Subject: x\r\n\r\nhello\r\n",), **more):
    to = tuple(f"{name}{number}@example.net" for number in range(1, recipients + 1))
    size = sum(map(len, body))
    return Transaction(f"{name}@example.com", to, body, **{"size": size, **more})


class FakeFeed:
    """``stay``: wait for more when empty (:meth:`add`, :meth:`stop`); else the end."""

    def __init__(self, *transactions, stay=False):
        self.waiting = list(transactions)
        self.taken = []
        self.reports = []
        self.stay = stay
        self.waits = 0
        self._news = asyncio.Event()

    def next(self):
        if not self.waiting:
            return None
        self.taken.append(self.waiting.pop(0))
        return self.taken[-1]

    async def wait(self):
        self.waits += 1
        if not self.waiting and self.stay:
            self._news.clear()
            await self._news.wait()
        return bool(self.waiting)

    def add(self, *transactions):
        self.waiting += transactions
        self._news.set()

    def stop(self):
        self.stay = False
        self._news.set()

    def done(self, tx, outcomes):
        assert len(outcomes) == len(tx.recipients)
        self.reports.append((tx, list(outcomes)))

    @property
    def outcomes(self) -> list[Outcome]:
        """Of all recipients, in the order of reports."""
        return [outcome for _, outcomes in self.reports for outcome in outcomes]

    @property
    def told(self) -> list[str]:
        """The same as text: ``delivered final 250``."""
        return [f"{o.kind.value} {o.phase.value} {o.reply.code}" for o in self.outcomes]

    def check(self):
        """Everything taken was reported, once."""
        assert sorted(map(id, self.taken)) == sorted(id(tx) for tx, _ in self.reports)


class FakeWire:
    def __init__(self):
        self.writing = True
        self.sent = b""
        self.waiting_bytes = 0
        self.dropped = False
        self.rests = 0

    def write(self, data):
        self.sent += data

    def writelines(self, chunks):
        self.sent += b"".join(chunks)

    def unsent(self):
        return self.waiting_bytes

    def drop(self):
        self.dropped = True

    def rest(self):
        self.rests += 1


ALL = Peer(True, True, 0, True, True, True)


class Talk:
    """An ``Exchange`` without a socket: :meth:`script` plays a dialogue from the start."""

    def __init__(self, *transactions, peer=ALL, feed=None, **options):
        self.feed = feed or FakeFeed(*transactions)
        self.wire = FakeWire()
        self.now = 1000.0
        self.options = ConnectOptions("me.example", **options)
        where = ("mx.example", "192.0.2.1", "")
        clock = lambda: self.now  # noqa: E731
        self.exchange = Exchange(self.wire, self.feed, peer, self.options, clock, where)
        self.parser = ReplyParser()
        self.exchange.ask()

    def script(self, text):
        said = b""
        for line in textwrap.dedent(text).strip().splitlines():
            who, what = line.strip()[:1], line.strip()[3:]
            if who == "S":
                said += what.encode() + b"\r\n"
                continue
            said = self._say(said)
            assert who == "C", line
            heard, newline, self.wire.sent = self.wire.sent.partition(b"\r\n")
            assert newline, f"nothing more was sent; expected {what!r}"
            assert fnmatch.fnmatchcase(heard.decode(), what), (heard, what)
        self._say(said)
        assert not self.wire.sent, self.wire.sent
        return self

    def _say(self, said):
        if said:
            assert not self.wire.sent, f"not expected: {self.wire.sent!r}"
            self.exchange.replies(self.parser.feed(said))
        return b""


class ScriptedServer:
    """Plays one script a connection, in turn; ``errors`` is what did not go by them."""

    def __init__(self, scripts, context):
        self.scripts = [
            [line for line in script.splitlines() if line.strip()] for script in scripts
        ]
        self.context = context
        self.errors = []
        self.connections = 0
        self.content = []
        self.tasks = set()

    async def start(self, host="127.0.0.1"):
        self.server = await asyncio.start_server(self._serve, host, 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def stop(self):
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.server.close()
        await self.server.wait_closed()

    async def finished(self):
        """All scripts have been played to their end."""
        async with asyncio.timeout(PATIENCE_S):
            while self.tasks:
                await asyncio.wait(list(self.tasks))
        assert not self.errors, self.errors
        assert self.connections == len(self.scripts)

    async def _serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        number = self.connections
        self.connections += 1
        try:
            assert number < len(self.scripts), "one connection too many"
            await self._play(self.scripts[number], reader, writer)
        except (AssertionError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            self.errors.append((number, repr(error)))
        except asyncio.CancelledError:
            pass
        finally:
            self.tasks.discard(asyncio.current_task())
            writer.close()

    async def _play(self, lines, reader, writer):
        for line in lines:
            who, what = line.strip()[:1], line.strip()[3:]
            if who == "S":
                writer.write(what.encode() + b"\r\n")
            elif who == "C":
                await writer.drain()
                async with asyncio.timeout(PATIENCE_S):
                    heard = await reader.readuntil(b"\r\n")
                heard = heard[:-2].decode()
                assert fnmatch.fnmatchcase(heard, what), f"heard {heard!r}, expected {what!r}"
            else:
                await self._act(what, reader, writer)
                if what in ("close", "reset"):
                    return

    async def _act(self, what, reader, writer):
        verb, _, argument = what.partition(" ")
        if verb == "raw":
            writer.write(argument.encode().decode("unicode_escape").encode("latin-1"))
        elif verb == "flood":
            for _ in range(int(argument)):
                writer.write(b"250-and so on\r\n")
        elif verb == "content":
            async with asyncio.timeout(PATIENCE_S):
                self.content.append(await reader.readuntil(b"\r\n.\r\n"))
        elif verb == "gone":  # the client closes
            async with asyncio.timeout(PATIENCE_S):
                assert await reader.read() == b""
        elif verb == "tls":
            await writer.start_tls(self.context)
        elif verb == "hear":  # anything
            assert await reader.read(1)
        elif verb == "reset":
            writer.transport.abort()
        else:
            assert verb == "close", what


@pytest.fixture(scope="session")
def server_tls(tmp_path_factory):
    """A server's TLS context with a certificate that nobody trusts."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mx.example")])
    start = datetime.datetime(2020, 1, 1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@pytest.fixture
async def serve(server_tls):
    """``await serve(script, ...)``: a running server; all scripts must have been played."""
    servers = []

    async def start(*scripts, host="127.0.0.1"):
        servers.append(await ScriptedServer(scripts, server_tls).start(host))
        return servers[-1]

    yield start
    for server in servers:
        await server.stop()


async def until(true):
    """Let the loop run until ``true()``."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 (what is waited for has no event of its own)
            await asyncio.sleep(0)


@pytest.fixture
def fake():
    return SimpleNamespace(
        tx=tx, Feed=FakeFeed, Wire=FakeWire, Talk=Talk, Server=ScriptedServer, peer=ALL, until=until
    )
