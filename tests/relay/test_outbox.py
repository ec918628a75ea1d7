"""Content waits for the end of the loop's turn, and nothing overtakes it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock.relay.client import Client, ClientProtocol
from penstock.relay.connection import Connection
from penstock.relay.options import ConnectOptions
from penstock.relay.outbox import Outbox


class Transport:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closing = self.broken = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def writelines(self, chunks: Any) -> None:
        if self.broken:
            raise RuntimeError("no")
        self.written.append(b"".join(chunks))

    def get_write_buffer_size(self) -> int:
        return 5

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True


def connection(outbox: Outbox | None = None) -> tuple[Connection, Transport]:
    transport = Transport()
    loop = asyncio.get_running_loop()
    client = SimpleNamespace(
        protocol=ClientProtocol(loop=loop), transport=transport, tls="", peer=lambda: None
    )
    made = Connection(cast(Client, client), "host", "address", ConnectOptions("me"), None, outbox)
    return made, transport


async def test_connections_are_written_to_at_the_end_of_the_turn() -> None:
    outbox = Outbox(asyncio.get_running_loop())
    (first, one), (second, two) = connection(outbox), connection(outbox)
    first.writelines((b"a", b"b"))
    second.writelines((b"c",))
    assert one.written == two.written == []
    assert (first.unsent(), second.unsent()) == (7, 6)
    await asyncio.sleep(0)
    assert (one.written, two.written) == ([b"ab"], [b"c"])
    assert first.unsent() == 5
    first.writelines((b"d",))
    await asyncio.sleep(0)
    assert one.written == [b"ab", b"d"]


async def test_nothing_overtakes_what_waits() -> None:
    wire, transport = connection()
    wire.writelines((b"content", b".\r\n"))
    wire.write(b"RSET\r\n")
    wire.writelines((b"more",))
    wire.writelines((b"and more",))
    await asyncio.sleep(0)
    assert transport.written == [b"content.\r\n", b"RSET\r\n", b"more", b"and more"]


@pytest.mark.parametrize("how", ["dropped", "closing"])
async def test_a_connection_that_is_gone_is_not_written_to(how: str) -> None:
    outbox = Outbox(asyncio.get_running_loop())
    (gone, broken), (well, transport) = connection(outbox), connection(outbox)
    gone.writelines((b"content",))
    well.writelines((b"content",))
    if how == "dropped":
        gone.drop()
        assert gone.unsent() == 5
    else:
        broken.closing = True
    await asyncio.sleep(0)
    assert broken.written == []
    assert transport.written == [b"content"]


async def test_a_connection_that_fails_keeps_no_other_from_being_written_to() -> None:
    outbox = Outbox(asyncio.get_running_loop())
    (bad, broken), (well, transport) = connection(outbox), connection(outbox)
    broken.broken = True
    bad.writelines((b"content",))
    well.writelines((b"content",))
    await asyncio.sleep(0)
    assert transport.written == [b"content"]
    assert broken.closing
