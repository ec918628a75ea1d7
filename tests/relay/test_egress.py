"""By which way a connection leaves: what the host sees of it, and who is to blame where it fails.

Real sockets, on both event loops. The proxies are small but do their work: they connect onward and
pass bytes on, the one from the address that the PROXY header names, as a transparent one does.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import random
import socket

import pytest
import uvloop
from aiosmtpd.proxy_protocol import AF, PROTO, V2_CMD
from hypothesis import given
from hypothesis import strategies as st

from penstock.intake.proxy import _parse, read_proxy
from penstock.mail.dsn_status import answered
from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.relay.connection import Connection
from penstock.relay.egress import ProxyNames, WayOut, proxy_header
from penstock.relay.opening import open_connection
from penstock.relay.options import ConnectOptions, Proxy
from penstock.relay.ports import Destination, Host
from penstock.relay.tls import TlsMemory

HELLO = "S: 220 hi\nC: EHLO me.example\nS: 250 mx\n"
QUIET = HELLO + "X: gone"
SECURE = """
    S: 220 hi
    C: EHLO *
    S: 250-mx
    S: 250 STARTTLS
    C: STARTTLS
    S: 220 go
    X: tls
    C: EHLO *
    S: 250 mx
    X: gone
"""
MAIL = """
    C: MAIL *
    C: RCPT *
    C: DATA
    S: 250 ok
    S: 250 ok
    S: 354 go
    X: content
    S: 250 ok
    C: QUIT
    S: 221 bye
    X: gone
"""


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request):
    """``run(scenario)``: in a loop of its own, within five seconds."""

    def run(scenario):
        async def main():
            async with asyncio.timeout(5):
                return await scenario

        return request.param(main())

    return run


class Running:
    """Something that is stopped whatever happens: uvloop does not end while a server is open."""

    async def __aenter__(self):
        return await self.start()

    async def __aexit__(self, *_):
        await self.stop()


class Sink(Running):
    """A scripted host that notes from which addresses it was connected to."""

    def __init__(self, fake, context, *scripts, host="127.0.0.1"):
        self.server = fake.Server(scripts, context)
        self.where = host
        self.peers = []
        play = self.server._play

        async def noting(lines, reader, writer):
            self.peers.append(writer.get_extra_info("peername")[0])
            await play(lines, reader, writer)

        self.server._play = noting

    async def start(self):
        await self.server.start(self.where)
        self.host = Host("mx.example", (self.where,), 0, self.server.port)
        return self

    async def stop(self):
        await self.server.stop()


class Relaying(Running):
    """A proxy: :meth:`admit` reads what a client wants and says where to go, ``None``: nowhere."""

    async def start(self):
        self.clients = 0
        self.tasks = set()
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def stop(self):
        self.server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.server.wait_closed()

    async def _serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        self.clients += 1
        try:
            await self.serve(reader, writer)
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(asyncio.current_task())
            writer.close()

    async def pass_on(self, reader, writer, to, source, head=b""):
        """``head`` goes to the client together with the first that the host says."""
        far_reader, far_writer = await asyncio.open_connection(*to, local_addr=(source, 0))
        try:
            writer.write(head + await far_reader.read(65536))
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            far_writer.close()


async def _pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


class HaProxy(Relaying):
    """Transparent: connects from the header's source to the header's destination."""

    def __init__(self):
        self.headers = []

    async def serve(self, reader, writer):
        data = b""
        while (proxied := read_proxy(data)) is None:
            data += await reader.readexactly(1)  # nothing may follow before the host has spoken
        self.headers.append(data)
        said = _parse(data)
        await self.pass_on(reader, writer, (str(said.dst_addr), said.dst_port), proxied.address)


class Socks(Relaying):
    """``login``: the user and password it wants; ``script``: bytes said, one item a question,
    ``None``: silence, ``""``: the end; without a script it does its work."""

    def __init__(self, login=None, script=None):
        self.login, self.script = login, script
        self.asked = []
        self.logins = []

    async def serve(self, reader, writer):
        if self.script is not None:
            await self._play(reader, writer)
            return
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        wanted = 2 if self.login else 0
        if wanted not in methods:
            writer.write(b"\5\xff")
            return
        writer.write(bytes((5, wanted)))
        if self.login and not await self._let_in(reader, writer):
            return
        _, command, _, kind = await reader.readexactly(4)
        assert command == 1
        address = str(ipaddress.ip_address(await reader.readexactly({1: 4, 4: 16}[kind])))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append(address)
        granted = b"\5\0\0\1\x7f\0\0\x09\0\x19"
        source = "127.0.0.9" if kind == 1 else "::1"
        try:
            await self.pass_on(reader, writer, (address, port), source, granted)
        except ConnectionRefusedError:
            writer.write(b"\5\5\0\1\0\0\0\0\0\0")

    async def _let_in(self, reader, writer):
        said = []
        await reader.readexactly(1)
        for _ in range(2):
            (length,) = await reader.readexactly(1)
            said.append((await reader.readexactly(length)).decode())
        self.logins.append(tuple(said))
        ok = self.logins[-1] == self.login
        writer.write(bytes((1, not ok)))
        return ok

    async def _play(self, reader, writer):
        for words in self.script:
            await reader.read(65536)
            if words is None:
                await reader.read()  # until the client has had enough
            writer.write(bytes.fromhex(words or ""))


async def attempt(*hosts, way_out=None, memory=None, feed=None, via="mx", **options):
    opened = await open_connection(
        Destination("example.net", hosts, "site", "", via, None, 0.0),
        ConnectOptions("me.example", **options),
        memory or TlsMemory(),
        random.Random(7),
        way_out=way_out,
    )
    if isinstance(opened, Connection):
        if feed is not None:
            await opened.run(feed)
        opened.close()
    return opened


@pytest.fixture
def visit(run, fake, server_tls):
    """``visit(script, proxy, ...)``: the sink and what was opened, by this way."""

    def visit(script, proxy=None, host="127.0.0.1", kind="", feed=None, **options):
        async def scenario():
            async with contextlib.AsyncExitStack() as running:
                sink = Sink(fake, server_tls, script, host=host)
                await running.enter_async_context(sink)
                if proxy is not None:
                    await running.enter_async_context(proxy)
                    user, password = getattr(proxy, "login", None) or ("", "")
                    options["proxy"] = Proxy(kind, "127.0.0.1", proxy.port, user, password)
                opened = await attempt(sink.host, feed=feed, **options)
                if isinstance(opened, Connection):
                    await sink.server.finished()
                return sink, opened

        return run(scenario())

    return visit


# without a proxy


@pytest.mark.parametrize(
    ("host", "options"),
    [
        ("127.0.0.1", {"source_ipv4": "127.0.0.2"}),
        ("127.0.0.1", {"source_ipv4": "127.0.0.2", "source_ipv6": "::1"}),
        ("::1", {"source_ipv4": "127.0.0.2", "source_ipv6": "::1"}),
    ],
)
def test_the_host_sees_the_sources_address(visit, host, options):
    sink, opened = visit(QUIET, host=host, **options)
    assert isinstance(opened, Connection)
    assert sink.peers == ["127.0.0.2" if host == "127.0.0.1" else "::1"]


@pytest.mark.parametrize(
    ("host", "options"),
    [
        ("127.0.0.1", {"source_ipv4": "192.0.2.1"}),
        ("::1", {"source_ipv6": "2001:db8::1"}),
    ],
)
def test_an_address_that_is_not_of_this_machine(visit, host, options):
    sink, outcome = visit(QUIET, host=host, **options)
    assert (outcome.kind, outcome.phase) == (Kind.DEFERRED, Phase.EGRESS)
    (address,) = options.values()
    text = f"451 4.4.1 The source's address {address} is not an address of this machine"
    assert str(outcome.reply) == text
    assert sink.peers == []


def test_another_host_is_not_tried_over_a_broken_way_out(run):
    tried = []

    async def scenario():
        hosts = [Host(f"mx{n}", ("127.0.0.1",), n, 9) for n in range(3)]

        class Counting(WayOut):
            async def connect(self, *args):
                tried.append(args)
                return await super().connect(*args)

        return await attempt(*hosts, source_ipv4="192.0.2.1", way_out=Counting())

    outcome = run(scenario())
    assert outcome.phase is Phase.EGRESS
    assert len(tried) == 1


@pytest.mark.parametrize(
    ("number", "source", "phase", "enhanced"),
    [
        (errno.EADDRINUSE, "127.0.0.2", Phase.EGRESS, "4.4.5"),
        # the address is there: it is the ports towards this one host that have run out
        (errno.EADDRNOTAVAIL, "127.0.0.2", Phase.CONNECT, "4.4.1"),
        (errno.EADDRNOTAVAIL, "", Phase.CONNECT, "4.4.1"),
        (errno.ECONNREFUSED, "127.0.0.2", Phase.CONNECT, "4.4.1"),
    ],
)
async def test_out_of_ports(monkeypatch, number, source, phase, enhanced):
    async def failing(*args, **more):
        raise OSError(number, "no")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", failing)
    outcome = await attempt(Host("mx", ("192.0.2.25",)), source_ipv4=source)
    assert (outcome.phase, outcome.reply.enhanced) == (phase, enhanced)


NO_IPV6 = "No host of example.net has an IPv6 address, and no other may be used"
NO_FAMILY = "The source has no address of a family that may be used"
HAPROXY, SOCKS = Proxy("haproxy", "127.0.0.1", 9), Proxy("socks5", "127.0.0.1", 9)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"source_ipv6": "2001:db8::1"}, NO_IPV6),
        ({"source_ipv6": "2001:db8::1", "proxy": HAPROXY}, NO_IPV6),
        ({"source_ipv6": "2001:db8::1", "proxy": SOCKS}, NO_IPV6),
        ({"source_ipv4": "192.0.2.1", "family": "ipv6"}, NO_FAMILY),
        ({"proxy": HAPROXY}, NO_FAMILY),
    ],
)
async def test_no_address_of_the_sources_family(options, text):
    outcome = await attempt(Host("mx", ("127.0.0.1",), 0, 9), **options)
    assert (outcome.kind, outcome.phase) == (Kind.DEFERRED, Phase.CONNECT)
    assert str(outcome.reply) == f"451 4.4.4 {text}"


async def test_no_address_at_all():
    outcome = await attempt(Host("mx", ()))
    text = "451 4.4.4 No host of example.net has an IPv4 or IPv6 address"
    assert str(outcome.reply) == text


# through a PROXY header


@pytest.mark.parametrize("script", [QUIET, SECURE], ids=["plain", "tls"])
def test_haproxy_connects_from_the_source(visit, script):
    haproxy = HaProxy()
    sink, opened = visit(script, haproxy, kind="haproxy", source_ipv4="127.0.0.7")
    assert isinstance(opened, Connection), opened
    assert sink.peers == ["127.0.0.7"]
    assert bool(opened.tls) == (script is SECURE)
    said = _parse(haproxy.headers[0])
    assert (str(said.dst_addr), said.dst_port) == ("127.0.0.1", sink.server.port)
    assert opened.address == "127.0.0.1"  # the host's, not the proxy's


def test_haproxy_is_told_the_address_of_the_hosts_family(visit):
    haproxy = HaProxy()
    sink, _ = visit(
        QUIET, haproxy, "::1", kind="haproxy", source_ipv4="127.0.0.7", source_ipv6="::1"
    )
    assert sink.peers == ["::1"]
    assert read_proxy(haproxy.headers[0]).address == "::1"


def test_mail_through_haproxy(visit, fake):
    feed = fake.Feed(fake.tx(body=(b"x" * 998 + b"\r\n",) * 50))
    script = HELLO.replace("250 mx", "250-mx\nS: 250 PIPELINING") + MAIL
    sink, _ = visit(script, HaProxy(), kind="haproxy", source_ipv4="127.0.0.7", feed=feed)
    assert feed.told == ["delivered final 250"]
    assert len(sink.server.content[0]) == 50_000 + len(".\r\n")


def test_haproxy_that_cannot_reach_the_host_just_closes(run):
    async def scenario():
        with _closed_port() as port:
            async with HaProxy() as haproxy:
                way = Proxy("haproxy", "127.0.0.1", haproxy.port)
                host = Host("mx", ("127.0.0.1",), 0, port)
                outcome = await attempt(host, proxy=way, source_ipv4="127.0.0.7")
                return way, outcome

    way, outcome = run(scenario())
    assert (outcome.kind, outcome.phase) == (Kind.DEFERRED, Phase.BANNER)
    assert str(outcome.reply) == f"451 4.4.2 Connection lost: banner, through {way}"


@given(
    st.one_of(
        st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)),
        st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6)),
    ),
    st.integers(1, 65535),
    st.binary(max_size=20),
)
def test_the_header_is_what_our_own_intake_reads(addresses, port, more):
    source, host = map(str, addresses)
    header = proxy_header(source, host, port)
    proxied = read_proxy(header + more)
    assert (proxied.address, proxied.length) == (source, len(header))
    assert read_proxy(header[:-1]) is None
    said = _parse(header)
    assert (str(said.dst_addr), said.dst_port, said.src_port) == (host, port, 0)
    family = AF.INET if addresses[0].version == 4 else AF.INET6
    assert (said.command, said.family, said.protocol) == (V2_CMD.PROXY, family, PROTO.STREAM)


# through SOCKS5


@pytest.mark.parametrize("login", [None, ("joe", "pässword")], ids=["open", "login"])
@pytest.mark.parametrize("script", [QUIET, SECURE], ids=["plain", "tls"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_socks_connects_to_the_host(visit, login, script, host):
    socks = Socks(login)
    sink, opened = visit(script, socks, host, kind="socks5")
    assert isinstance(opened, Connection), opened
    assert sink.peers == ["127.0.0.9" if host == "127.0.0.1" else "::1"]
    assert bool(opened.tls) == (script is SECURE)
    assert socks.asked == [host]
    assert socks.logins == ([login] if login else [])


def test_mail_through_socks(visit, fake):
    feed = fake.Feed(fake.tx(body=(b"x" * 998 + b"\r\n",) * 50))
    script = HELLO.replace("250 mx", "250-mx\nS: 250 PIPELINING") + MAIL
    sink, _ = visit(script, Socks(), kind="socks5", feed=feed)
    assert feed.told == ["delivered final 250"]
    assert len(sink.server.content[0]) == 50_000 + len(".\r\n")


def test_socks_only_to_the_family_that_the_source_has(run, fake, server_tls):
    async def scenario():
        async with Sink(fake, server_tls, QUIET) as sink, Socks() as socks:
            host = Host("mx.example", ("::1", "127.0.0.1"), 0, sink.server.port)
            way = Proxy("socks5", "127.0.0.1", socks.port)
            # the address is the proxy's: that it is not of this machine is no matter
            options = {"family": "prefer-ipv6", "source_ipv4": "192.0.2.1"}
            opened = await attempt(host, proxy=way, **options)
            await sink.server.finished()
            return socks, opened

    socks, opened = run(scenario())
    assert isinstance(opened, Connection)
    assert socks.asked == ["127.0.0.1"]


def test_a_host_that_refuses_behind_socks_is_the_hosts_matter(run, fake, server_tls):
    """The next one gets its chance."""

    async def scenario():
        with _closed_port() as port:
            async with Sink(fake, server_tls, QUIET) as sink, Socks() as socks:
                way = Proxy("socks5", "127.0.0.1", socks.port)
                dead = Host("dead", ("127.0.0.1",), 0, port)
                alone = await attempt(dead, proxy=way)
                both = await attempt(
                    dead, Host("mx", ("127.0.0.1",), 9, sink.server.port), proxy=way
                )
                await sink.server.finished()
                return way, alone, both

    way, alone, both = run(scenario())
    assert alone.phase is Phase.CONNECT
    text = f"451 4.4.1 Connection failed: connection refused, through {way}"
    assert str(alone.reply) == text
    assert isinstance(both, Connection)
    assert both.host == "mx"


FAILED = "The source's {} failed: "
HOST = "Connection failed: "


@pytest.mark.parametrize(
    ("script", "phase", "text"),
    [
        ([None], Phase.EGRESS, "4.4.1 " + FAILED + "timed out"),
        ([""], Phase.EGRESS, "4.4.1 " + FAILED + "connection closed"),
        (["05"], Phase.EGRESS, "4.4.1 " + FAILED + "connection closed"),
        (["05 ff"], Phase.EGRESS, "4.7.0 " + FAILED + "it takes no login by user name"),
        (["05 02", "01 01"], Phase.EGRESS, "4.7.0 " + FAILED + "user name or password refused"),
        (["05 02", None], Phase.EGRESS, "4.4.1 " + FAILED + "timed out"),
        (["05 00", "05 01 00"], Phase.EGRESS, "4.4.1 " + FAILED + "general failure"),
        (["34 32 31"], Phase.EGRESS, "4.5.0 " + FAILED + "it does not speak SOCKS5"),
        (["05 00", "05 04 00"], Phase.CONNECT, "4.4.1 " + HOST + "host unreachable, through {}"),
        (["05 00", None], Phase.CONNECT, "4.4.1 " + HOST + "timed out, through {}"),
        (["05 00", ""], Phase.CONNECT, "4.4.1 " + HOST + "connection closed, through {}"),
    ],
)
def test_who_is_to_blame(run, script, phase, text):
    async def scenario():
        async with Socks(script=script) as socks:
            way = Proxy("socks5", "127.0.0.1", socks.port, "joe", "secret")
            host = Host("mx", ("192.0.2.25",))
            outcome = await attempt(host, proxy=way, connect_timeout_s=0.1)
            return way, outcome

    way, outcome = run(scenario())
    assert (outcome.kind, outcome.phase) == (Kind.DEFERRED, phase)
    assert str(outcome.reply) == "451 " + text.format(way)
    assert not answered(outcome)


# either


def test_commands_are_not_held_back_for_more(run):
    """Nagle's algorithm is off, as it is without a proxy."""

    async def scenario():
        async with Socks(script=["05 00", "05 00 00 01 00 00 00 00 00 00"]) as socks:
            options = ConnectOptions("me", proxy=Proxy("socks5", "127.0.0.1", socks.port))
            transport = await WayOut().connect(asyncio.Protocol(), "192.0.2.25", 25, options)
            connected = transport.get_extra_info("socket")
            assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            transport.abort()

    run(scenario())


@pytest.mark.parametrize("kind", ["haproxy", "socks5"])
def test_a_proxy_that_is_down(run, kind):
    async def scenario(way):
        host = Host("mx", ("192.0.2.25", "192.0.2.26"))
        return await attempt(host, proxy=way, source_ipv4="192.0.2.1")

    with _closed_port() as port:
        way = Proxy(kind, "127.0.0.1", port)
        outcome = run(scenario(way))
    assert outcome.phase is Phase.EGRESS
    assert str(outcome.reply) == f"451 4.4.1 The source's {way} failed: Connection refused"


@pytest.mark.parametrize("kind", ["haproxy", "socks5"])
def test_a_proxy_that_does_not_even_accept(run, kind):
    """Its backlog is full: packets to it go unanswered."""

    async def scenario(full):
        way = Proxy(kind, *full.getsockname())
        host = Host("mx", ("192.0.2.25",))
        return await attempt(host, proxy=way, source_ipv4="192.0.2.1", connect_timeout_s=0.05)

    with socket.socket() as full, contextlib.ExitStack() as fillers:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        outcome = run(scenario(full))
    assert outcome.phase is Phase.EGRESS
    assert outcome.reply.text.endswith("failed: timed out")


def test_cancelled_while_the_proxy_keeps_us_waiting_closes_the_socket(run, fake):
    async def scenario():
        async with Socks(script=[None]) as socks:
            way = Proxy("socks5", "127.0.0.1", socks.port)
            task = asyncio.create_task(attempt(Host("mx", ("192.0.2.25",)), proxy=way))
            await fake.until(lambda: socks.clients)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await fake.until(lambda: not socks.tasks)  # it has seen the end

    run(scenario())


@pytest.mark.parametrize("kind", ["haproxy", "socks5"])
def test_the_sandbox_uses_no_proxy(run, fake, server_tls, kind):
    """What is to stay on this machine is not given to one that may be on another."""

    async def scenario(port):
        async with Sink(fake, server_tls, QUIET) as sink:
            way = Proxy(kind, "127.0.0.1", port)
            opened = await attempt(sink.host, via="sandbox", proxy=way, source_ipv4="192.0.2.1")
            await sink.server.finished()
            return opened

    with _closed_port() as port:
        assert isinstance(run(scenario(port)), Connection)


def test_a_proxy_by_name(run, fake, server_tls):
    async def scenario():
        async with Sink(fake, server_tls, QUIET) as sink, Socks() as socks:
            way = Proxy("socks5", "localhost", socks.port)  # the other family's may be refused
            opened = await attempt(sink.host, proxy=way)
            await sink.server.finished()
            return opened

    assert isinstance(run(scenario()), Connection)


def test_a_proxy_whose_name_is_unknown(run):
    async def scenario():
        way = Proxy("socks5", "proxy.invalid", 1080)
        return await attempt(Host("mx", ("192.0.2.25",)), proxy=way, way_out=WayOut(names))

    class Nobody(ProxyNames):
        async def addresses(self, host):
            return ()

    names = Nobody(lambda: 0.0)
    outcome = run(scenario())
    assert outcome.phase is Phase.EGRESS
    text = "451 4.4.1 The source's socks5 proxy proxy.invalid:1080 failed: its name has no address"
    assert str(outcome.reply) == text


async def test_names_are_kept_for_a_minute_and_failures_for_seconds(monkeypatch):
    asked = []
    found = {"proxy.example": ["192.0.2.7", "192.0.2.7", "2001:db8::7"]}

    async def getaddrinfo(host, port, **more):
        asked.append(host)
        if host not in found:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(0, 0, 0, "", (address, 0)) for address in found[host]]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    now = 100.0
    names = ProxyNames(lambda: now)
    for now in (100.0, 159.0):  # noqa: B007
        assert await names.addresses("proxy.example") == ("192.0.2.7", "2001:db8::7")
        assert await names.addresses("192.0.2.1") == ("192.0.2.1",)
    assert asked == ["proxy.example"]
    now = 160.0
    await names.addresses("proxy.example")
    assert asked == ["proxy.example"] * 2
    for now in (200.0, 204.0, 205.0):  # noqa: B007
        assert await names.addresses("other.example") == ()
    assert asked[2:] == ["other.example"] * 2
    await names.close()


async def test_a_resolver_that_hangs_is_given_up(monkeypatch):
    async def getaddrinfo(host, port, **more):
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    names = ProxyNames(lambda: 0.0, timeout_s=0.01)
    assert await names.addresses("proxy.example") == ()

    way = Proxy("haproxy", "proxy.example", 1)
    slow = WayOut(ProxyNames(lambda: 0.0))
    host = Host("mx", ("192.0.2.25",))
    outcome = await attempt(
        host, proxy=way, source_ipv4="192.0.2.1", connect_timeout_s=0.01, way_out=slow
    )
    assert isinstance(outcome, Outcome)
    assert outcome.phase is Phase.EGRESS
    await slow.close()


def test_the_password_shows_nowhere():
    way = Proxy("socks5", "2001:db8::1", 1080, "joe", "secret")
    assert "secret" not in f"{way} {way!r} {ConnectOptions('me', proxy=way)!r}"
    assert str(way) == "socks5 proxy [2001:db8::1]:1080"


@pytest.mark.parametrize("login", [{"user": "j" * 256}, {"user": "j", "password": "ä" * 128}])
def test_logins_that_cannot_be_said(login):
    with pytest.raises(ValueError, match="at most 255 bytes"):
        Proxy("socks5", "127.0.0.1", 1080, **login)


@contextlib.contextmanager
def _closed_port():
    """Where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
