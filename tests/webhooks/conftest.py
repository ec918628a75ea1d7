"""A log in memory, a receiver behind a real socket, and webhooks between the two."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.events.metrics import Registry
from penstock.events.reading import Position
from penstock.events.records import AnyEvent, Delivered
from penstock.intake.http import HttpServer
from penstock.sim.clock import VirtualClock
from penstock.webhooks.config import Endpoint, WebhooksConfig
from penstock.webhooks.consumer import moment
from penstock.webhooks.service import Webhooks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwZ4Kx"
START_S = 1_800_000_000.0


class FakeLog:
    """Segments of lines; ``keep_from`` forgets the segments before."""

    def __init__(self, segment_bytes: int = 4000) -> None:
        self._segment_bytes = segment_bytes
        self.segments: dict[int, bytes] = {1: b""}
        self._times: list[tuple[str, Position]] = []

    def write(self, line: bytes, at: str) -> None:
        last = max(self.segments)
        if len(self.segments[last]) >= self._segment_bytes:
            last += 1
            self.segments[last] = b""
        self._times.append((at, Position(last, len(self.segments[last]))))
        self.segments[last] += line + b"\n"

    def read(self, position: Position, bytes_max: int) -> tuple[list[bytes], Position]:
        segment, offset = max(position, self.start())
        data = self.segments[segment][offset:]
        if not data and segment + 1 in self.segments:
            segment, offset, data = segment + 1, 0, self.segments[segment + 1]
        cut = data[:bytes_max]
        end = cut.rfind(b"\n") + 1 or data.find(b"\n") + 1
        return data[:end].splitlines(), Position(segment, offset + end)

    def start(self) -> Position:
        return Position(min(self.segments), 0)

    def end(self) -> Position:
        last = max(self.segments)
        return Position(last, len(self.segments[last]))

    def at(self, time_s: float) -> Position:
        text = moment(time_s)
        return next((place for at, place in self._times if at >= text), self.end())

    def keep_from(self, segment: int) -> None:
        self.segments = {n: data for n, data in self.segments.items() if n >= segment}


class Receiver:
    """An application behind a real HTTP server. ``answer``: what it does next; ``events``: ids of
    what it took, each once; ``got``: every delivery with its headers."""

    def __init__(self) -> None:
        self.answer: Callable[[], Awaitable[Response]] = self.fine
        self.secrets = [SECRET]
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.events: dict[str, dict[str, Any]] = {}
        self.port = 0
        self._news = asyncio.Event()
        self._server: HttpServer | None = None
        self._app = Starlette(routes=[Route("/hook", self._take, methods=["POST"])])

    async def start(self) -> None:
        bound = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = bound.getsockname()[1]
        self._server = HttpServer(self._app, bound)
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop()
            self._server = None

    async def fine(self) -> Response:
        return Response(status_code=204)

    def answering(self, status: int, **headers: str) -> None:
        async def answer() -> Response:
            return Response(
                "no\n", status, headers={k.replace("_", "-"): v for k, v in headers.items()}
            )

        self.answer = answer

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        self.got.append((dict(request.headers), body))
        self._news.set()
        response = await self.answer()
        if response.status_code < 300:
            for event in self.verified(body, dict(request.headers)):
                self.events.setdefault(event["id"], event)
            self._news.set()
        return response

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for deliveries and answers until it holds."""
        async with asyncio.timeout(10):
            while not holds():
                self._news.clear()
                await self._news.wait()

    def verified(self, body: bytes, headers: dict[str, str]) -> list[dict[str, Any]]:
        """What the public library makes of it, for each secret that must have signed."""
        for secret in self.secrets:
            events = Webhook(secret).verify(body, headers)
            assert isinstance(events, list)
        return events


class Stage:
    """Webhooks, their clock and log. :meth:`happen` writes events to the log and feeds them."""

    def __init__(self, path: Path, receiver: Receiver) -> None:
        self.path = path
        self.receiver = receiver
        self.clock = VirtualClock(START_S)
        self.logs: Any = {"00": FakeLog()}
        self.registry = Registry()
        self.secret_file = path / "secret"
        self.secret_file.write_text(SECRET + "\n")
        self.hooks: Webhooks | None = None
        self._number = 0

    def endpoint(self, **more: Any) -> Endpoint:
        values = {
            "name": "shop",
            "url": f"http://127.0.0.1:{self.receiver.port}/hook",
            "tenant": "shop",
            "secret_file": str(self.secret_file),
            "allow_private": True,
            "batch_wait_s": 0.0,
            "timeout_s": 5.0,
        }
        return Endpoint(**{**values, **more})

    def open(self, *endpoints: Endpoint, resolve: Any = None, **more: Any) -> Webhooks:
        """The webhooks of a process that has just started."""
        config = WebhooksConfig(
            str(self.path / "webhooks"), endpoints or (self.endpoint(),), **more
        )
        self.registry = Registry()
        self.hooks = Webhooks(
            config,
            self.registry,
            lambda: self.logs if isinstance(self.logs, dict) else self.logs(),
            resolve=resolve,
            now=self.clock,
            chance=lambda: 0.5,
        )
        return self.hooks

    async def close(self) -> None:
        if self.hooks is not None:
            await self.hooks.close_connections()
            self.hooks.close()
            self.hooks = None

    def event(self, tenant: str = "shop", **more: Any) -> AnyEvent:
        self._number += 1
        return Delivered(
            id=f"e{self._number:06d}",
            at=moment(self.clock()),
            tenant=tenant,
            message="m1",
            recipient=f"to{self._number}@example.com",
            **more,
        )

    def write(self, *events: AnyEvent, log: str = "00") -> None:
        for event in events:
            self.logs[log].write(msgspec.json.encode(event), event.at)

    def happen(self, *events: AnyEvent, log: str = "00") -> list[str]:
        """The ids of what is in the log and was fed then."""
        self.write(*events, log=log)
        self.feed(log)
        return [event.id for event in events]

    def feed(self, log: str = "00") -> None:
        assert self.hooks is not None
        decode = msgspec.json.Decoder(AnyEvent).decode
        while True:
            at = self.hooks.queues.positions.get(log, Position(0, 0))
            lines, upto = self.logs[log].read(at, 64 << 10)
            if not lines:
                break
            self.hooks.take(log, [(line, decode(line)) for line in lines], upto)
        self.hooks.flush()

    async def deliver(self) -> float | None:
        """Everything that is due now; when something will be."""
        assert self.hooks is not None
        while True:
            times = [await courier.round() for courier in self.hooks.couriers.values()]
            if not await self.hooks.fill():
                break
        return min((time for time in times if time is not None), default=None)

    async def pass_time(self, seconds: float) -> None:
        """Go on from one due time to the next until so much time is over."""
        until = self.clock() + seconds
        while True:
            due = await self.deliver()
            if due is None or due > until:
                break
            self.clock.advance(max(0.0, due - self.clock()))
        self.clock.advance(until - self.clock())

    def metric(self, name: str, *labels: str) -> float:
        rows = self.registry.snapshot()["series"].get(name, [])
        return next((value for found, value in rows if tuple(found) == labels), 0)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    one = Receiver()
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def stage(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    one = Stage(tmp_path, receiver)

    class Virtual(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls.fromtimestamp(one.clock(), tz)

    # the verifying library knows only the real time
    monkeypatch.setattr("standardwebhooks.webhooks.datetime", Virtual)
    yield one
    await one.close()
