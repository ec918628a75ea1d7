"""uvicorn's fast protocol with bounds on what a client may do before a request is understood.

The head of a request is bounded in bytes and in time, connections in number, and whoever is over a
bound gets a problem document, as everybody does. A body that goes on after its request was answered
(one that was too large) is read and forgotten for a while, so that the client finds the answer, and
then cut off.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from penstock.api.problem import MEDIA_TYPE, Problem
from penstock.intake.served import Served
from penstock.policy.units import size_text

_FORGOTTEN_BYTES_MAX = 64 << 20
_LAST_REQUEST_S = 0.3
_GRACE_S = 5.0  # a slow body is for the application to answer first
BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """``connections_max``: at once, more get a 503; ``head_bytes_max``: of a request's line and
    headers; ``request_timeout_s``: for a head to come, once a connection is made or its first byte
    is there; ``keep_alive_s``: how long a connection may be idle; ``stop_timeout_s``: for requests
    under way at the end. ``tls``: the context that handshakes use, asked for at each."""

    connections_max: int = 1000
    head_bytes_max: int = 32 << 10
    request_timeout_s: float = 60.0
    keep_alive_s: float = 75.0
    stop_timeout_s: float = 5.0
    tls: Callable[[], ssl.SSLContext] | None = None


async def _too_many(_scope: Scope, _receive: Receive, send: Send) -> None:
    await _answer(
        send,
        Problem(
            503,
            "unavailable",
            "Too many connections to this server; try again later.",
            headers={"Retry-After": "5", "Connection": "close"},
        ),
    )


async def _answer(send: Send, problem: Problem) -> None:
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    content = problem.content()
    headers.append((b"content-length", b"%d" % len(content)))
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


class _Connection(HttpToolsProtocol):
    """One client; ``bounds`` is set by the server's subclass of this."""

    bounds: ServerConfig

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._in_head = self._ending = self._lost = False
        self._full_since = self._closes_since = 0.0  # what we sent is not read
        self._head_bytes = self._unread_bytes = self._forgotten_bytes = 0
        self._waits_since = self.loop.time()  # for a head or the end of a body; 0.0: for nothing
        if len(self.connections) > self.bounds.connections_max:
            self.app = _too_many
        self.loop.call_later(self.bounds.request_timeout_s, self._look)

    def _look(self) -> None:
        """Cut off where something was begun and did not go on for too long: a head or a body that
        does not come, an answer that is not read."""
        if self._lost:
            return
        pause, now = self.bounds.request_timeout_s, self.loop.time()
        since = self._full_since or self._waits_since
        if self.transport.is_closing():  # and its last bytes are not read
            since = self._closes_since = self._closes_since or now
        if since:
            pause += since - now
            if pause <= 0:
                self.transport.abort()
                return
        self.loop.call_later(pause + 0.01, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._full_since = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._full_since = 0.0

    def data_received(self, data: bytes) -> None:
        if not self._in_head:
            super().data_received(data)
            self._unread_bytes = 0
            return
        # a header that has no end yet is kept by the parser, and seen by nobody
        self._unread_bytes += len(data)
        if self._unread_bytes > self.bounds.head_bytes_max:
            self._refuse(_head_too_large(self.bounds))
            return
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        self._waits_since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._waits_since = self.loop.time() + _GRACE_S
        super().on_headers_complete()
        if self._ending:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        if self.cycle.response_complete:
            self._forgotten_bytes += len(body)
            if self._forgotten_bytes > _FORGOTTEN_BYTES_MAX:
                self.transport.close()
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._waits_since = 0.0
        super().on_message_complete()

    def shutdown(self) -> None:
        """A connection that was just made may have its one request: its client cannot know."""
        self._ending = True
        last: object = self.cycle
        if last is None:
            self.loop.call_later(_LAST_REQUEST_S, self._end_unused)
        else:
            super().shutdown()

    def _end_unused(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self.bounds.head_bytes_max:
            self._refuse(_head_too_large(self.bounds))
            raise ValueError("the head is too large")  # ends the parser's work on it

    def send_400_response(self, msg: str) -> None:
        """What uvicorn says where the parser gave up."""
        if not self.transport.is_closing():
            self._refuse(
                Problem(400, "bad-request", "What came is no HTTP/1.1 request that can be read.")
            )

    def _refuse(self, problem: Problem) -> None:
        """Answer without an application and close."""
        content = problem.content()
        head = (
            f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\n"
            f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(content)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + content)
        self.transport.close()


def _head_too_large(bounds: ServerConfig) -> Problem:
    limit = size_text(bounds.head_bytes_max)
    return Problem(431, "header-too-large", f"URL and headers have more than {limit}.")


class ApiServer(Served):
    """Serves ``app`` on one bound socket, TCP or Unix, from ``start`` to ``stop``."""

    def __init__(
        self, app: ASGIApp, bound: socket.socket, config: ServerConfig | None = None
    ) -> None:
        bounds = config or ServerConfig()
        served = _Config(
            app,
            http=type("_Bounded", (_Connection,), {"bounds": bounds}),
            log_config=None,
            access_log=False,
            lifespan="off",
            loop="none",
            ws="none",
            interface="asgi3",
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=bounds.keep_alive_s,  # type: ignore[arg-type]
            timeout_graceful_shutdown=bounds.stop_timeout_s,  # type: ignore[arg-type]
            backlog=BACKLOG,
        )
        served.tls = bounds.tls
        super().__init__(served, bound, bounds.stop_timeout_s)


class _Config(uvicorn.Config):
    """uvicorn's, with a TLS context of our own making that may be another one tomorrow."""

    tls: Callable[[], ssl.SSLContext] | None = None

    def load(self) -> None:
        super().load()
        current = self.tls
        if current is None:
            return
        door = current()

        def choose(connection: ssl.SSLObject, _name: str | None, _door: ssl.SSLContext) -> None:
            connection.context = current()

        door.sni_callback = choose
        self.ssl = door
