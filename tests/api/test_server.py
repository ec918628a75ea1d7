"""The server in this process: clients that do not read, and a Unix socket."""

from __future__ import annotations

import asyncio
import pathlib
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from penstock.api.server import ApiServer, ServerConfig

LARGE = 64 << 20


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """``/large`` is more than any buffer holds."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    content = bytes(LARGE) if scope["path"] == "/large" else b"ok"
    await send({"type": "http.response.body", "body": content})


@pytest.fixture
async def served(tmp_path: pathlib.Path) -> AsyncIterator[tuple[ApiServer, str]]:
    path = str(tmp_path / "api.sock")
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(path)
    bound.listen()
    bound.setblocking(False)
    server = ApiServer(app, bound, ServerConfig(request_timeout_s=0.2, stop_timeout_s=0.2))
    await server.start()
    yield server, path
    await server.stop()


async def counts(server: ApiServer, connections: int) -> None:
    """Returns when it has so many."""
    async with asyncio.timeout(10):
        while server.connections() != connections:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_unix_socket_is_served(served: tuple[ApiServer, str]) -> None:
    transport = httpx.AsyncHTTPTransport(uds=served[1])
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        assert (await client.get("/")).text == "ok"


async def test_an_answer_that_nobody_reads_is_cut_off(served: tuple[ApiServer, str]) -> None:
    server, path = served
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 10)
    writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
    await counts(server, 1)
    await counts(server, 0)
    writer.close()
    assert len(await reader.read(1 << 10)) > 0
