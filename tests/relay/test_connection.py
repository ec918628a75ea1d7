"""Real connections to a scripted server on loopback, peers of all characters among them."""

from __future__ import annotations

import asyncio
import random

import pytest

from penstock.mail.outcome import Outcome
from penstock.relay.connection import Connection
from penstock.relay.opening import open_connection
from penstock.relay.options import ConnectOptions
from penstock.relay.ports import Destination, Host
from penstock.relay.tls import TlsMemory

HELLO = """
    S: 220 mx.example ESMTP
    C: EHLO me.example
    S: 250-mx.example
    S: 250-SIZE 50000000
    S: 250 PIPELINING
"""
MAIL = """
    C: MAIL FROM:<a@example.com> SIZE=*
    C: RCPT TO:<a1@example.net>
    C: DATA
"""
GO = """
    S: 250 ok
    S: 250 ok
    S: 354 go
"""
BYE = """
    C: QUIT
    S: 221 bye
    X: gone
"""
NEXT = MAIL.replace("<a", "<b")


def destination(port: int, *addresses: str) -> Destination:
    host = Host("mx.example", addresses or ("127.0.0.1",), 10, port)
    return Destination("example.net", (host,), "site", "", "mx", None, 0.0)


async def connect(server, **options) -> Connection:
    opened = await open_connection(
        destination(server.port),
        ConnectOptions("me.example", **options),
        TlsMemory(),
        random.Random(1),
    )
    assert isinstance(opened, Connection), opened
    return opened


async def deliver(server, feed, **options) -> Connection:
    connection = await connect(server, **options)
    async with asyncio.timeout(5):
        await connection.run(feed)
    feed.check()
    return connection


async def test_two_messages_and_goodbye(serve, fake):
    server = await serve(HELLO + MAIL + GO + "X: content" + NEXT + "S: 250 one" + GO
                         + "X: content\nS: 250 two" + BYE)  # fmt: skip
    feed = fake.Feed(fake.tx("a"), fake.tx("b", body=(b".\r\n", b".x")))
    connection = await deliver(server, feed)
    await server.finished()
    assert feed.told == ["delivered final 250"] * 2
    assert [outcome.reply.text for outcome in feed.outcomes] == ["one", "two"]
    assert feed.outcomes[0].host == "mx.example"
    assert feed.outcomes[0].address == "127.0.0.1"
    assert server.content == [b"Subject: x\r\n\r\nhello\r\n.\r\n", b"..\r\n..x\r\n.\r\n"]
    assert (connection.used, connection.tls, connection.passes_dsn) == (2, "", False)
    assert (connection.host, connection.address) == ("mx.example", "127.0.0.1")


async def test_helo_fallback_is_stepwise(serve, fake):
    server = await serve(
        """
        S: 220 old
        C: EHLO me.example
        S: 502 what
        C: HELO me.example
        S: 250 hi
        C: MAIL FROM:<a@example.com>
        S: 250 ok
        C: RCPT *
        S: 250 ok
        C: DATA
        S: 354 go
        X: content
        S: 250 ok
    """
        + BYE
    )
    feed = fake.Feed(fake.tx("a"))
    await deliver(server, feed)
    await server.finished()
    assert feed.told == ["delivered final 250"]


async def test_work_that_comes_while_idle(serve, fake):
    server = await serve(HELLO + MAIL + GO + "X: content\nS: 250 ok" + NEXT + GO
                         + "X: content\nS: 250 ok" + BYE)  # fmt: skip
    feed = fake.Feed(fake.tx("a"), stay=True)
    connection = await connect(server)
    running = asyncio.create_task(connection.run(feed))
    async with asyncio.timeout(5):
        await fake.until(lambda: feed.waits)
        feed.add(fake.tx("b"))
        await fake.until(lambda: feed.waits == 2)
        feed.stop()
        await running
    await server.finished()
    assert feed.told == ["delivered final 250"] * 2


async def test_messages_per_connection(serve, fake):
    server = await serve(HELLO + MAIL + GO + "X: content\nS: 250 ok" + BYE)
    feed = fake.Feed(fake.tx("a"), fake.tx("b"), stay=True)
    await deliver(server, feed, messages_per_connection=1)
    await server.finished()
    assert len(feed.waiting) == 1
    assert feed.waits == 0


async def test_large_content(serve, fake):
    server = await serve(HELLO + MAIL + GO + "S: 250 ok" + BYE)
    got = bytearray()

    async def content(reader):
        while not got.endswith(b"\r\n.\r\n"):
            got.extend(await reader.read(1 << 16))

    play = server._act
    server.scripts[0].insert(-4, "X: big")
    server._act = lambda what, reader, writer: (
        content(reader) if what == "big" else play(what, reader, writer)
    )
    line = b"." + b"y" * 997 + b"\r\n"
    feed = fake.Feed(fake.tx("a", body=(line * 4000, line * 10)))
    await deliver(server, feed)
    await server.finished()
    assert feed.told == ["delivered final 250"]
    assert bytes(got) == (b"." + line) * 4010 + b".\r\n"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (MAIL + "X: close", "deferred mail 451"),
        (MAIL + "X: reset", "deferred mail 451"),
        (MAIL + GO + "X: content\nX: close", "deferred final 451"),
        (MAIL + GO + "X: content\nX: raw blah\\r\\n\nX: gone", "deferred final 451"),
        (MAIL + "X: flood 300\nX: gone", "deferred mail 451"),
        (MAIL + GO + "S: 250 hasty\nX: gone", "deferred data 451"),
        (MAIL + GO + "X: content\nS: 250 ok\nX: close", "delivered final 250"),
        (MAIL + GO + "X: content\nS: 250 ok\nS: 250 ok again\nX: gone", "delivered final 250"),
        (MAIL + GO + "X: content\nS: 250 ok\nS: 421 4.7.0 enough\nX: gone", "delivered final 250"),
        (MAIL + "S: 421 4.7.0 busy\nX: gone", "deferred mail 421"),
        (MAIL + GO + "X: content\nX: raw 250 ok\nX: close", "deferred final 451"),  # no line end
    ],
)
async def test_peers_that_break_off(serve, fake, script, told):
    server = await serve(HELLO + script)
    feed = fake.Feed(fake.tx("a"), stay=True)
    await deliver(server, feed)
    await server.finished()
    assert feed.told == [told]


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (MAIL + "X: gone", "deferred mail 451"),
        (MAIL + "S: 250 ok\nX: gone", "deferred rcpt 451"),
        (MAIL + "S: 250 ok\nS: 250 ok\nX: gone", "deferred data 451"),
        (MAIL + GO + "X: content\nX: gone", "deferred final 451"),
        (MAIL + GO + "X: content\nX: raw 250 o\nX: gone", "deferred final 451"),
    ],
)
async def test_peers_that_hang(serve, fake, script, told):
    server = await serve(HELLO + script)
    feed = fake.Feed(fake.tx("a"), stay=True)
    await deliver(server, feed, command_timeout_s=0.08, final_timeout_s=0.08)
    await server.finished()
    assert feed.told == [told]
    assert feed.outcomes[0].reply.enhanced == "4.4.2"


async def test_a_dripping_reply_meets_the_deadline(serve, fake):
    server = await serve(HELLO + MAIL + "X: drip")
    play = server._act

    async def drip(reader, writer):
        while not reader.at_eof():
            writer.write(b"2")
            await asyncio.sleep(0.005)

    server._act = lambda what, reader, writer: (
        drip(reader, writer) if what == "drip" else play(what, reader, writer)
    )
    feed = fake.Feed(fake.tx("a"))
    running = deliver(server, feed, command_timeout_s=0.1)
    await running
    assert feed.told == ["deferred mail 451"]
    assert "Timed out" in feed.outcomes[0].reply.text


async def test_a_peer_that_does_not_read(serve, fake):
    server = await serve(HELLO + MAIL + GO + "X: stuck")
    release = asyncio.Event()
    server._act = lambda what, reader, writer: release.wait()
    feed = fake.Feed(fake.tx("a", body=(b"x" * 998 + b"\r\n",) * 20_000), fake.tx("b"))
    await deliver(server, feed, data_timeout_s=0.1)
    release.set()
    assert feed.told == ["deferred data 451"]
    assert "writing" in feed.outcomes[0].reply.text


@pytest.mark.parametrize("script", ["S: 421 4.4.2 idle", "X: close", "X: raw ???\\n\nX: gone"])
async def test_the_server_leaves_an_idle_connection(serve, fake, script):
    server = await serve(HELLO + MAIL + GO + "X: content\nS: 250 ok\nX: wait\n" + script)
    play, go_on = server._act, asyncio.Event()
    server._act = lambda what, reader, writer: (
        go_on.wait() if what == "wait" else play(what, reader, writer)
    )
    feed = fake.Feed(fake.tx("a"), stay=True)
    connection = await connect(server)
    running = asyncio.create_task(connection.run(feed))
    async with asyncio.timeout(5):
        await fake.until(lambda: feed.waits)
        go_on.set()
        await running
    assert running.cancelling() == 0
    feed.check()
    assert feed.told == ["delivered final 250"]


async def test_cancelled_in_the_middle(serve, fake):
    server = await serve(HELLO + MAIL + GO + "X: content\nX: gone")
    feed = fake.Feed(fake.tx("a"), fake.tx("b"))
    connection = await connect(server)
    running = asyncio.create_task(connection.run(feed))
    async with asyncio.timeout(5):
        await fake.until(lambda: server.content)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    feed.check()
    assert feed.told == ["deferred final 451", "requeued mail 451"]


async def test_cancelled_while_idle_says_goodbye(serve, fake):
    server = await serve(HELLO + MAIL + GO + "X: content\nS: 250 ok\nC: QUIT\nX: gone")
    feed = fake.Feed(fake.tx("a"), stay=True)
    connection = await connect(server)
    running = asyncio.create_task(connection.run(feed))
    async with asyncio.timeout(5):
        await fake.until(lambda: feed.waits)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    await server.finished()
    feed.check()


async def test_close_from_outside(serve, fake):
    server = await serve(HELLO + MAIL + "X: gone")
    feed = fake.Feed(fake.tx("a"))
    connection = await connect(server)
    running = asyncio.create_task(connection.run(feed))
    await asyncio.sleep(0)
    connection.close()
    async with asyncio.timeout(5):
        await running
    feed.check()
    assert feed.told == ["requeued mail 451"]
    with pytest.raises(RuntimeError):
        await connection.run(feed)


async def test_the_server_left_before_the_first_message(serve, fake):
    server = await serve(HELLO + "S: 421 no time\nX: close")
    connection = await connect(server)
    await server.finished()
    async with asyncio.timeout(5):
        await fake.until(lambda: not connection._protocol.is_connected)
    feed = fake.Feed(fake.tx("a"))
    await connection.run(feed)
    assert feed.taken == []
    assert connection.used == 0


async def test_no_answer_to_quit(serve, fake):
    server = await serve(HELLO + "C: QUIT\nX: gone")
    connection = await deliver(server, fake.Feed(), quit_timeout_s=0.05)
    await server.finished()
    assert not connection._protocol.is_connected


async def test_a_feed_that_raises_ends_the_run_with_it(serve, fake):
    server = await serve(HELLO + MAIL + GO + "X: content\nS: 250 ok\nX: gone")
    feed = fake.Feed(fake.tx("a"), fake.tx("b"))
    connection = await connect(server, prefetch=False)
    feed.done = lambda tx, outcomes: 1 / 0
    async with asyncio.timeout(5):
        with pytest.raises(ZeroDivisionError):
            await connection.run(feed)
    await server.finished()


async def test_tls(serve, fake):
    server = await serve(
        """
        S: 220 hi
        C: EHLO *
        S: 250-mx
        S: 250-PIPELINING
        S: 250 STARTTLS
        C: STARTTLS
        S: 220 go
        X: tls
        C: EHLO *
        S: 250-mx
        S: 250-DSN
        S: 250 PIPELINING
    """
        + MAIL.replace(" SIZE=*", "")
        + GO
        + "X: content\nS: 250 ok"
        + BYE
    )
    feed = fake.Feed(fake.tx("a"))
    connection = await deliver(server, feed)
    await server.finished()
    assert feed.outcomes[0].tls.startswith("TLSv1.3 TLS_")
    assert connection.tls == feed.outcomes[0].tls
    assert connection.passes_dsn


async def test_refused_everywhere_is_an_outcome(serve, fake):
    server = await serve("S: 554 5.7.1 not you\nX: gone")
    opened = await open_connection(
        destination(server.port), ConnectOptions("me.example"), TlsMemory(), random.Random(1)
    )
    assert isinstance(opened, Outcome)
    await server.finished()
