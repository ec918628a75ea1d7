"""The HTTP endpoint: what a monitor and a load balancer ask of a mail engine.

``/metrics`` for Prometheus, ``/healthz`` (this process answers), ``/readyz`` (all workers serve and
intake is open). The app knows nothing of workers: it is given two callables. Errors are problem
documents (RFC 9457).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from penstock.events.exposition import Merger, page
from penstock.intake.certificates import server_context
from penstock.intake.served import Served

Collect = Callable[[], Awaitable[Mapping[str, Mapping[str, Any]]]]
Ready = Callable[[], Awaitable[tuple[bool, list[str]]]]


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """``concurrency_max``: requests and connections at once, more get 503; ``collect_timeout_s``:
    for the snapshots of all workers; ``stop_timeout_s``: for requests under way at the end;
    ``request_timeout_s``: for the head of a connection's first request; ``certificate`` and
    ``key``: PEM files, for TLS."""

    concurrency_max: int = 100
    request_timeout_s: float = 30.0
    certificate: str = ""
    key: str = ""
    keep_alive_s: int = 15
    header_bytes_max: int = 16 << 10
    collect_timeout_s: float = 5.0
    stop_timeout_s: int = 5


def make_app(collect: Collect, ready: Ready, config: HttpConfig | None = None) -> Starlette:
    """``collect`` gathers :meth:`Registry.snapshot` of all processes by name; ``ready`` says if
    mail is taken now, with the reasons where it is not."""
    timeout_s = (config or HttpConfig()).collect_timeout_s
    merger = Merger()

    async def metrics(request: Request) -> Response:
        try:
            async with asyncio.timeout(timeout_s):
                snapshots = await collect()
        except TimeoutError:
            return problem(503, "The workers did not answer in time.")
        body, media_type = page(merger.merge(snapshots), request.headers.get("accept", ""))
        return Response(body, headers={"content-type": media_type})

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        try:
            async with asyncio.timeout(timeout_s):
                is_ready, reasons = await ready()
        except TimeoutError:
            is_ready, reasons = False, ["the workers did not answer in time"]
        if is_ready:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "reasons": reasons}, 503)

    return Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
        ],
        exception_handlers={HTTPException: _refused, Exception: _broken},
    )


def problem(status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """A problem document: RFC 9457 section 3, of the type ``about:blank`` (section 4.2.1)."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    if detail:
        content["detail"] = detail
    return JSONResponse(content, status, headers, media_type="application/problem+json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem(404, f"There is nothing at {request.url.path}.")
    if error.status_code == 405:
        return problem(405, f"{request.method} is not allowed here.", error.headers)
    return problem(error.status_code, error.detail, error.headers)


async def _broken(_request: Request, _error: Exception) -> Response:
    return problem(500, "The request failed here; the log says why.")


class _Connection(H11Protocol):
    """Closed where the head of a request does not come; uvicorn would wait for it for ever."""

    request_timeout_s = 30.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(self.request_timeout_s, self._look, None)

    def _look(self, before: object) -> None:
        """``before``: the request that was the last one when this was looked at before."""
        if self.transport.is_closing():
            return
        last: object = self.cycle
        if last is before and self.conn.their_state is h11.IDLE:
            self.transport.close()
        else:
            self.loop.call_later(self.request_timeout_s, self._look, last)


def _context(config: uvicorn.Config, _: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    return server_context(str(config.ssl_certfile), str(config.ssl_keyfile or config.ssl_certfile))


class HttpServer(Served):
    """Serves one app on one bound socket from ``start`` to ``stop``."""

    def __init__(
        self, app: Starlette, bound: socket.socket, config: HttpConfig | None = None
    ) -> None:
        settings = config or HttpConfig()
        timeout = {"request_timeout_s": settings.request_timeout_s}
        server = uvicorn.Config(
            app,
            http=type("_Connection", (_Connection,), timeout),
            ssl_certfile=settings.certificate or None,
            ssl_keyfile=settings.key or None,
            ssl_context_factory=_context if settings.certificate else None,
            log_config=None,
            access_log=False,
            lifespan="off",
            loop="none",
            ws="none",
            interface="asgi3",
            proxy_headers=False,
            server_header=False,
            limit_concurrency=settings.concurrency_max + 1,  # its own is exclusive
            timeout_keep_alive=settings.keep_alive_s,
            timeout_graceful_shutdown=settings.stop_timeout_s,
            h11_max_incomplete_event_size=settings.header_bytes_max,
        )
        super().__init__(server, bound, settings.stop_timeout_s)
