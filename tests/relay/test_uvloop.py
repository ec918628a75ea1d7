"""The same connections on uvloop, which the daemon runs on: its transports are of another kind."""

from __future__ import annotations

import asyncio
import random

import pytest
import uvloop

from penstock.relay.connection import Connection
from penstock.relay.opening import open_connection
from penstock.relay.options import ConnectOptions
from penstock.relay.ports import Destination, Host
from penstock.relay.tls import TlsMemory

HELLO = """
    S: 220 hi
    C: EHLO me.example
    S: 250-mx
    S: 250 PIPELINING
"""
SECURE = """
    S: 220 hi
    C: EHLO *
    S: 250-mx
    S: 250 STARTTLS
    C: STARTTLS
    S: 220 go
    X: tls
    C: EHLO *
    S: 250-mx
    S: 250 PIPELINING
"""
OFFER = SECURE.partition("X: tls")[0]
MAIL = """
    C: MAIL *
    C: RCPT *
    C: DATA
"""
GO = """
    S: 250 ok
    S: 250 ok
    S: 354 go
    X: content
"""
OK = "S: 250 ok\n"
BYE = """
    C: QUIT
    S: 221 bye
    X: gone
"""


@pytest.mark.parametrize(
    ("scripts", "told"),
    [
        ([HELLO + MAIL + GO + MAIL + OK + GO + OK + BYE], ["delivered final 250"] * 2),
        ([SECURE + MAIL + GO + MAIL + OK + GO + OK + BYE], ["delivered final 250"] * 2),
        ([HELLO + MAIL + GO + MAIL + "X: close"], ["deferred final 451", "requeued mail 451"]),
        ([HELLO + MAIL + "X: gone"], ["deferred mail 451"]),
        ([HELLO + MAIL + GO + MAIL + OK + "S: 421 bye"],
         ["delivered final 250", "deferred mail 421"]),
        ([OFFER + "X: hear\nX: raw this is not TLS\nX: close",
          HELLO + MAIL + GO + MAIL + OK + GO + OK + BYE], ["delivered final 250"] * 2),
        (["S: 220 hi\nC: EHLO *\nX: close", HELLO + MAIL + GO + MAIL + OK + GO + OK + BYE],
         ["delivered final 250"] * 2),
    ],
    ids=["plain", "tls", "lost", "hang", "421", "tls-broken", "next-host"],
)  # fmt: skip
def test_dialogues(fake, server_tls, scripts, told):
    feed = fake.Feed(fake.tx("a"), fake.tx("b"))

    async def scenario():
        server = await fake.Server(scripts, server_tls).start()
        addresses = ("127.0.0.1", "127.0.0.1")
        to = Destination(
            "d", (Host("mx.example", addresses, 0, server.port),), "", "", "mx", None, 0.0
        )
        options = ConnectOptions("me.example", command_timeout_s=0.3, tls_timeout_s=0.3)
        async with asyncio.timeout(5):
            opened = await open_connection(to, options, TlsMemory(), random.Random(1))
            assert isinstance(opened, Connection), opened
            await opened.run(feed)
            await server.finished()
        await server.stop()

    uvloop.run(scenario())
    assert feed.told[: len(told)] == told
    feed.check()


def test_large_content_and_a_peer_that_stops_reading(fake, server_tls):
    feed = fake.Feed(fake.tx("a", body=(b"x" * 998 + b"\r\n",) * 20_000))

    async def scenario():
        server = await fake.Server([HELLO + MAIL + "S: 250 ok\nS: 250 ok\nS: 354 go\nX: stuck"],
                                   server_tls).start()  # fmt: skip
        release = asyncio.Event()
        server._act = lambda what, reader, writer: release.wait()
        to = Destination(
            "d", (Host("mx", ("127.0.0.1",), 0, server.port),), "", "", "mx", None, 0.0
        )
        options = ConnectOptions("me.example", data_timeout_s=0.1)
        opened = await open_connection(to, options, TlsMemory(), random.Random(1))
        async with asyncio.timeout(5):
            await opened.run(feed)
        release.set()
        await server.stop()

    uvloop.run(scenario())
    assert feed.told == ["deferred data 451"]
