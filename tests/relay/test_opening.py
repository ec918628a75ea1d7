"""Choosing a host: order, next host on failure, TLS fall-back, what all failures together mean."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest

from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.relay.connection import Connection
from penstock.relay.opening import open_connection, targets
from penstock.relay.options import ConnectOptions
from penstock.relay.ports import Destination, Host
from penstock.relay.securing import Wanted
from penstock.relay.tls import TlsMemory
from penstock.relay.tls_demand import TlsDemand

HELLO = """
    S: 220 hi
    C: EHLO me.example
    S: 250 mx
"""
STARTTLS = """
    S: 220 hi
    C: EHLO me.example
    S: 250-mx
    S: 250 STARTTLS
"""
OFFER = STARTTLS + "C: STARTTLS\n"
QUIET = "X: gone"


def to(*hosts: Host) -> Destination:
    return Destination("example.net", hosts, "site", "", "mx", None, 0.0)


def at(server, name="mx.example", preference=10) -> Host:
    return Host(name, ("127.0.0.1",), preference, server.port)


async def attempt(*hosts, memory=None, clock=None, tls="opportunistic", **options):
    async with asyncio.timeout(5):
        opened = await open_connection(
            to(*hosts),
            ConnectOptions("me.example", **options),
            memory or TlsMemory(),
            random.Random(7),
            clock,
            wanted=Wanted(TlsDemand(tls)),
        )
    if isinstance(opened, Connection):
        opened.close()
    return opened


@pytest.fixture
def closed_port():
    """A host where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield Host("dead.example", ("127.0.0.1",), 0, held.getsockname()[1])


async def test_the_next_host_when_one_is_down(serve, closed_port):
    server = await serve(HELLO + QUIET)
    opened = await attempt(at(server), closed_port)
    assert isinstance(opened, Connection)
    assert opened.host == "mx.example"


@pytest.mark.parametrize(
    "script",
    [
        "S: 554 5.7.1 no\nX: gone",
        "S: 421 busy\nX: close",
        "S: 200 strange\nX: gone",
        "X: close",
        "X: raw nonsense\\r\\n\nX: gone",
        "S: 220 hi\nC: EHLO *\nS: 550 no\nC: HELO *\nS: 550 no\nX: gone",
        "S: 220 hi\nC: EHLO *\nS: 421 no\nX: gone",
        "S: 220 hi\nC: EHLO *\nX: close",
        "X: flood 6000\nX: gone",
    ],
)
async def test_the_next_host_when_one_does_not_greet(serve, script):
    first, second = await serve(script), await serve(HELLO + QUIET)
    opened = await attempt(at(first, "first"), at(second, "second", 20))
    assert isinstance(opened, Connection), opened
    assert opened.host == "second"


@pytest.mark.parametrize(
    ("script", "kind", "phase", "code"),
    [
        ("S: 554-5.7.1 no\nS: 554 5.7.1 never\nX: gone", Kind.BOUNCED, Phase.BANNER, 554),
        ("S: 421 busy\nX: gone", Kind.DEFERRED, Phase.BANNER, 421),
        ("S: 200 strange\nX: gone", Kind.DEFERRED, Phase.BANNER, 451),
        ("X: close", Kind.DEFERRED, Phase.BANNER, 451),
        ("X: raw 25x\\r\\n\nX: gone", Kind.DEFERRED, Phase.BANNER, 451),
        ("S: 220 hi\nC: *\nS: 550 a\nC: *\nS: 550 5.7.1 b\nX: gone", Kind.BOUNCED, Phase.EHLO, 550),
        ("S: 220 hi\nC: *\nX: close", Kind.DEFERRED, Phase.EHLO, 451),
    ],
)
async def test_what_one_refusal_means(serve, script, kind, phase, code):
    server = await serve(script)
    outcome = await attempt(at(server))
    assert isinstance(outcome, Outcome)
    assert (outcome.kind, outcome.phase, outcome.reply.code) == (kind, phase, code)
    assert (outcome.host, outcome.address) == ("mx.example", "127.0.0.1")


async def test_permanent_only_when_all_say_so(serve):
    refusing = "S: 554 5.7.1 no\nX: gone"
    first, second = await serve(refusing, refusing), await serve(refusing, "S: 451 x\nX: gone")
    outcome = await attempt(at(first), at(second))
    assert outcome.kind is Kind.BOUNCED
    outcome = await attempt(at(first), at(second))
    assert (outcome.kind, outcome.reply.code) == (Kind.DEFERRED, 451)


async def test_nobody_listens(closed_port):
    outcome = await attempt(closed_port)
    assert (outcome.kind, outcome.phase) == (Kind.DEFERRED, Phase.CONNECT)
    assert outcome.reply.enhanced == "4.4.1"


@pytest.mark.parametrize(
    ("script", "phase"),
    [
        ("X: gone", Phase.BANNER),
        ("X: raw 22\nX: gone", Phase.BANNER),
        ("S: 220 x\nX: gone", Phase.EHLO),
    ],
)
async def test_timeouts(serve, script, phase):
    server = await serve(script.replace("X: gone", "C: *\nX: gone") if "220" in script else script)
    outcome = await attempt(at(server), command_timeout_s=0.05)
    assert (outcome.kind, outcome.phase) == (Kind.DEFERRED, phase)
    assert outcome.reply.enhanced == "4.4.2"


async def test_connect_timeout(monkeypatch):
    async def never(*args, **more):
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", never)
    outcome = await attempt(Host("mx", ("192.0.2.1",)), connect_timeout_s=0.02)
    assert str(outcome.reply) == "451 4.4.1 Connection failed: timed out"


async def test_at_most_so_many_addresses(closed_port):
    many = Host("mx", ("127.0.0.1",) * 9, 0, closed_port.port)
    tried = []
    outcome = await attempt(many, addresses_max=3, clock=lambda: tried.append(1) or 0.0)
    assert outcome.kind is Kind.DEFERRED
    assert len(tried) == 3


async def test_no_address_of_a_family_that_may_be_used():
    outcome = await attempt(Host("mx", ("192.0.2.1",)), family="ipv6")
    assert (outcome.kind, outcome.reply.enhanced) == (Kind.DEFERRED, "4.4.4")


async def test_bound_to_the_source_address(serve):
    server = await serve(HELLO + QUIET)
    peers = []
    play = server._play

    async def spy(lines, reader, writer):
        peers.append(writer.get_extra_info("peername")[0])
        await play(lines, reader, writer)

    server._play = spy
    assert isinstance(await attempt(at(server), source_ipv4="127.0.0.5"), Connection)
    assert peers == ["127.0.0.5"]


HOSTS = to(
    Host("far", ("192.0.2.9",), 20),
    Host("a", ("192.0.2.1", "2001:db8::1"), 10),
    Host("b", ("192.0.2.2", "192.0.2.3"), 10),
)


def order(**options):
    rng = random.Random(3)
    return [
        [
            (host.name, address)
            for host, address in targets(HOSTS, ConnectOptions("x", **options), rng)
        ]
        for _ in range(40)
    ]


def test_order_by_preference_equal_ones_shuffled():
    runs = order()
    assert all(run[-1] == ("far", "192.0.2.9") for run in runs)
    assert {run[0][0] for run in runs} == {"a", "b"}
    assert {run[0][1] for run in runs} == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}


@pytest.mark.parametrize(
    ("options", "addresses"),
    [
        ({}, ["192.0.2.1", "2001:db8::1"]),
        ({"family": "prefer-ipv6"}, ["2001:db8::1", "192.0.2.1"]),
        ({"family": "ipv4"}, ["192.0.2.1"]),
        ({"family": "ipv6"}, ["2001:db8::1"]),
        ({"source_ipv4": "192.0.2.200"}, ["192.0.2.1"]),
        ({"source_ipv6": "2001:db8::2"}, ["2001:db8::1"]),
        (
            {"source_ipv4": "192.0.2.200", "source_ipv6": "2001:db8::2"},
            ["192.0.2.1", "2001:db8::1"],
        ),
    ],
)
def test_families(options, addresses):
    assert [address for name, address in order(**options)[0] if name == "a"] == addresses


TLS_EHLO = """
    S: 220 go
    X: tls
    C: EHLO *
    S: 250 mx
    X: gone
"""


async def test_a_broken_handshake_is_remembered_for_a_while(serve):
    broken = OFFER + "S: 220 go\nX: hear\nX: raw this is not TLS\nX: close"
    plain = STARTTLS + "X: gone"
    server = await serve(broken, plain, plain, OFFER + TLS_EHLO)
    memory = TlsMemory(keep_s=3600)
    now = 100.0
    opened = await attempt(at(server), memory=memory, clock=lambda: now)
    assert isinstance(opened, Connection)
    assert opened.tls == ""
    assert memory.stats()["entries"] == 1
    now += 3599
    opened = await attempt(at(server), memory=memory, clock=lambda: now)
    assert opened.tls == ""
    now += 1
    opened = await attempt(at(server), memory=memory, clock=lambda: now)
    assert opened.tls.startswith("TLSv1.")
    await server.finished()


@pytest.mark.parametrize(
    "script",
    [
        OFFER + "S: 220 go\nX: close",
        OFFER + "S: 220 go\nX: reset",
        OFFER + "X: close",
        OFFER + "S: 220 go\nX: tls\nC: EHLO *\nX: close",
        OFFER + "S: 220 go\nX: gone",  # hangs
    ],
)
async def test_broken_in_any_way_falls_back_to_plain(serve, script):
    server = await serve(script, STARTTLS + "X: gone")
    memory = TlsMemory()
    opened = await attempt(at(server), memory=memory, tls_timeout_s=0.1)
    assert isinstance(opened, Connection), opened
    assert opened.tls == ""
    assert memory.stats()["broken"] == 1
    assert server.connections == 2


async def test_tls_not_available_now_goes_on_in_plain(serve):
    server = await serve(OFFER + "S: 454 4.7.0 no TLS now\nX: gone")
    opened = await attempt(at(server))
    assert isinstance(opened, Connection)
    assert opened.tls == ""


async def test_ehlo_refused_after_tls_is_no_broken_tls(serve):
    refused = OFFER + "S: 220 go\nX: tls\nC: EHLO *\nS: 421 busy\nX: gone"
    outcome = await attempt(at(await serve(refused)))
    assert (outcome.phase, outcome.reply.code) == (Phase.EHLO, 421)


@pytest.mark.parametrize(
    ("script", "enhanced"),
    [
        (HELLO + "X: gone", "4.7.4"),
        (OFFER + "S: 454 4.7.0 no\nX: gone", "4.7.0"),
        (OFFER + "S: 220 go\nX: hear\nX: raw this is not TLS\nX: close", "4.7.5"),
    ],
)
async def test_required_tls_never_falls_back(serve, script, enhanced):
    server = await serve(script)
    outcome = await attempt(at(server), tls="required")
    assert (outcome.kind, outcome.phase) == (Kind.DEFERRED, Phase.TLS)
    assert outcome.reply.enhanced == enhanced
    assert server.connections == 1


async def test_no_tls_wanted(serve):
    server = await serve(STARTTLS + "X: gone")
    opened = await attempt(at(server), tls="none")
    assert opened.tls == ""


async def test_cancelled_while_greeting_closes_the_socket(serve, fake):
    server = await serve("S: 220 hi\nC: EHLO *\nX: gone")
    task = asyncio.create_task(attempt(at(server)))
    async with asyncio.timeout(5):
        await fake.until(lambda: server.connections)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.stop()


def test_memory_is_bounded():
    memory = TlsMemory(entries_max=2)
    for host in "abc":
        memory.broke(host, 0.0)
    assert memory.usable("a", 1.0)
    assert not memory.usable("b", 1.0)
    assert not memory.usable("c", 1.0)
    assert memory.usable("c", 3600.0)
    assert memory.stats() == {"entries": 1, "entries_max": 2, "broken": 3}
