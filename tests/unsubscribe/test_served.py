"""The page over real TLS, and connections that never ask for anything."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import httpx

from penstock.intake.http import HttpConfig, HttpServer
from penstock.sim.certificate import certificate_pem


async def test_over_tls(page: Any, tmp_path: Path) -> None:
    file = tmp_path / "web.pem"
    file.write_bytes(certificate_pem(("localhost",)))
    bound = socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    server = HttpServer(page.app, bound, HttpConfig(certificate=str(file), key=str(file)))
    await server.start()
    trusted = ssl.create_default_context(cafile=str(file))
    async with httpx.AsyncClient(verify=trusted, trust_env=False) as client:
        answer = await client.post(
            f"https://localhost:{port}/u/x", data={"List-Unsubscribe": "One-Click"}
        )
    await server.stop()
    assert answer.status_code == 200
    assert [told.client for told in page.told] == ["127.0.0.1"]


async def test_a_connection_without_a_request_is_closed(page: Any) -> None:
    bound = socket.create_server(("127.0.0.1", 0))
    server = HttpServer(page.app, bound, HttpConfig(request_timeout_s=0.05))
    await server.start()
    reader, writer = await asyncio.open_connection(*bound.getsockname())
    writer.write(b"GET /u/x HTTP/1.1\r\nHost:")
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    await server.stop()
