"""A daemon that is not one: the HTTP API on its socket, which answers what the test tells it to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from penstock import cli
from penstock.api.access import OpenAccess
from penstock.api.app import make_app
from penstock.api.charges import Charges
from penstock.api.ports import Ports
from penstock.api.routers import STEERING
from penstock.api.server import ApiServer, ServerConfig
from penstock.control import ControlError
from penstock.events.metrics import Registry
from penstock.policy.policies import Policies
from penstock.settings.models import Settings


class FakeDaemon:
    """``answers``: method -> result, or (code, message) to refuse. ``asked``: what came to the
    daemon's methods, by way of the routes. ``sockets``: what it serves."""

    def __init__(self, *sockets: socket.socket) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, Any]] = []
        self.settings = Settings()
        self._sockets = sockets
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._serving = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._serving.wait(10)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        ports = Ports(
            call=self._answer,
            now=time.time,
            settings=lambda: self.settings,
            policies=Policies,
            registry=Registry(),
            charges=Charges(None, time.monotonic),
        )
        servers = [
            ApiServer(make_app(STEERING, OpenAccess(), ports), one, ServerConfig(stop_timeout_s=1))
            for one in self._sockets
        ]
        for server in servers:
            await server.start()
        self._serving.set()
        await self._end.wait()
        for server in servers:
            await server.stop()

    async def _answer(self, method: str, params: dict[str, Any]) -> Any:
        self.asked.append((method, params))
        result = self.answers[method]
        if isinstance(result, tuple):
            raise ControlError(*result)
        return result

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
        for one in self._sockets:
            one.close()


def at_path(path: str) -> socket.socket:
    """A Unix socket that listens there."""
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(path)
    bound.listen()
    bound.setblocking(False)
    return bound


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with settings and policies that are right."""
    monkeypatch.chdir(tmp_path)
    for name in ("PENSTOCK_CONFIG", "PENSTOCK_URL", "PENSTOCK_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "default.toml").write_text("[limits]\nconnections = 3\n")
    text = 'control = "none.sock"\napi_socket = "c.sock"\nspool = "spool"\n'
    (tmp_path / "config.toml").write_text(text)
    return tmp_path


@pytest.fixture
def daemon(here: Path) -> Iterator[FakeDaemon]:
    running = FakeDaemon(at_path(os.path.join(here, "c.sock")))
    yield running
    running.close()


@pytest.fixture
def penstock(here: Path) -> Callable[..., Any]:
    """``penstock("queue", "list")`` as a shell would; the result has exit_code, stdout, stderr."""

    def call(*arguments: str, input: str | None = None) -> Any:
        wanted = next((word for word in arguments if not word.startswith("-")), "")
        cli._add_groups(wanted)
        result = CliRunner().invoke(cli.app, list(arguments), input=input)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call
