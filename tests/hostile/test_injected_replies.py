"""Somebody on the way writes into the clear part of our conversation with a peer."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from penstock.relay.connection import Connection
from penstock.relay.opening import open_connection
from penstock.relay.options import ConnectOptions
from penstock.relay.ports import Destination, Host
from penstock.relay.securing import Wanted
from penstock.relay.tls import TlsMemory
from penstock.relay.tls_demand import TlsDemand

INJECTED = [
    b"250-mx.example\r\n250-SIZE 1\r\n250 AUTH LOGIN\r\n",
    b"250 ok\r\n" * 50,
    b"250-never ending\r\n" * 20,
    b"550 5.7.1 go away\r\n",
    b"not SMTP at all",
]


@asynccontextmanager
async def peer(context: ssl.SSLContext, injected: bytes) -> AsyncIterator[int]:
    """Offers STARTTLS and, in one piece with its go-ahead, what somebody put behind it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx.example ESMTP\r\n")
        await reader.readline()
        writer.write(b"250-mx.example\r\n250-STARTTLS\r\n250 SIZE 999\r\n")
        await reader.readline()
        writer.write(b"220 go ahead\r\n" + injected)
        try:
            await writer.start_tls(context)
            await reader.readline()
            writer.write(b"250-mx.example\r\n250-PIPELINING\r\n250 SIZE 123456\r\n")
            await reader.read()
        except OSError:
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("injected", INJECTED)
async def test_what_follows_the_go_ahead_in_the_clear_has_no_effect(
    certified: ssl.SSLContext, injected: bytes
) -> None:
    """Either it is dropped, or there is no connection; it is never taken for the peer's word."""
    async with peer(certified, injected) as port:
        host = Host("mx.example", ("127.0.0.1",), port=port)
        opened = await open_connection(
            Destination("mx.example", (host,), "mx.example", "", "mx", None, 0.0),
            ConnectOptions("me.example", tls_timeout_s=5.0),
            TlsMemory(),
            Random(1),
            wanted=Wanted(TlsDemand("required")),
        )
        if isinstance(opened, Connection):
            assert opened.tls
            assert opened.peer.size_max == 123456
            assert opened.peer.pipelining
            opened.close()
        else:
            assert opened.reply.transient
            assert "5.7.1" not in str(opened.reply)
