"""Sessions on real sockets, with as many clients as a test wants."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from penstock.intake.listener import Listener, ListenerConfig, serve
from penstock.mail.envelope import Envelope
from penstock.sim.certificate import server_context
from penstock.smtp.reply import Reply


class Sink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[tuple[Envelope, bytes]] = []

    def refusal(self) -> Reply | None:
        return None

    def reserve(self, recipients: int) -> int:
        return len(self.messages) + 1

    def submit(self, envelope: Envelope, body: list[bytes]) -> asyncio.Future[None]:
        self.messages.append((envelope, b"".join(body)))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


@pytest.fixture
def sink() -> Sink:
    return Sink()


Start = Callable[..., Awaitable[tuple[Listener, int]]]


@pytest.fixture
async def start(sink: Sink) -> AsyncIterator[Start]:
    """``listener, port = await start(**config)``; its own sweeps are put off, tests sweep."""
    listeners: list[Listener] = []

    async def make(**config: Any) -> tuple[Listener, int]:
        sock = socket.create_server(("127.0.0.1", 0), backlog=4096)
        settings = {"sweep_s": 3600.0, "hostname": "mx.example", "backlog": 4096} | config
        listeners.append(await serve(sock, ListenerConfig(**settings), sink))
        return listeners[-1], sock.getsockname()[1]

    yield make
    for listener in listeners:
        await listener.close(0)


@pytest.fixture
def descriptors() -> Callable[[int], None]:
    """``descriptors(n)``: so many must be permitted, or the test is skipped."""

    def want(number: int) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < number:
            pytest.skip(f"needs {number} file descriptors, {hard} are permitted")
        if soft < number:
            resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))

    return want


@pytest.fixture(scope="session")
def certified() -> ssl.SSLContext:
    """A server's side of TLS."""
    return server_context(("mx.example",))
