"""A report by HTTPS, to a server on loopback: what is sent, and what is refused before it is."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from tests.tls.dane_world import PEM, Certificate

from penstock.collector.tls_post import TlsReportPost
from penstock.mail.tls_report import CONTENT_TYPE


@pytest.fixture
async def receiver():
    """``await receiver(status)`` -> (port, requests, context that trusts it)."""
    servers = []

    async def start(status="200 OK"):
        import datetime

        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        own = Certificate(
            "reports.example", names=("reports.example",), begins=now - day, ends=now + day
        )
        requests = []

        async def serve(reader, writer):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            )
            requests.append((head.decode(), await reader.readexactly(length)))
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=own.server())
        servers.append(server)
        trusting = ssl.create_default_context(cadata=own.x509.public_bytes(PEM).decode())
        return server.sockets[0].getsockname()[1], requests, trusting

    yield start
    for server in servers:
        server.close()


async def loopback(host):
    return ["127.0.0.1"]


async def test_it_is_posted_as_it_is(receiver):
    port, requests, trusting = await receiver("201 Created")
    post = TlsReportPost(loopback, 5.0, lambda address: True, trusting)
    assert await post.post(f"https://reports.example:{port}/v1/x?y=z", b"\x1f\x8bpacked") == ""
    ((head, body),) = requests
    assert head.startswith("POST /v1/x?y=z HTTP/1.1\r\n")
    assert f"Content-Type: {CONTENT_TYPE}\r\n" in head
    assert f"Host: reports.example:{port}\r\n" in head
    assert body == b"\x1f\x8bpacked"


@pytest.mark.parametrize("status", ["500 Oops", "404 Not Found", "302 Found"])
async def test_any_other_answer_is_no_delivery(receiver, status):
    port, _, trusting = await receiver(status)
    post = TlsReportPost(loopback, 5.0, lambda address: True, trusting)
    url = f"https://reports.example:{port}/"
    assert await post.post(url, b"x") == f"{url}: HTTP status {status[:3]}"


async def test_a_certificate_for_another_name_gets_nothing(receiver):
    port, requests, trusting = await receiver()
    post = TlsReportPost(loopback, 5.0, lambda address: True, trusting)
    assert "certificate" in (await post.post(f"https://other.example:{port}/", b"x")).lower()
    assert requests == []


@pytest.mark.parametrize("url", ["https://reports.example/", "https://10.0.0.1/", "https://[::1]/"])
async def test_no_address_that_is_not_public(url):
    post = TlsReportPost(loopback, 5.0)
    assert "which is not public" in await post.post(url, b"x")


async def test_nothing_listens_and_nothing_answers():
    post = TlsReportPost(loopback, 5.0, lambda address: True)
    assert await post.post("https://reports.example:1/", b"x") != ""

    async def never(host):
        await asyncio.Event().wait()

    post = TlsReportPost(never, 0.05)
    assert "no answer within 0.05 s" in await post.post("https://reports.example/", b"x")
