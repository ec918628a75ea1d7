"""The HTTP API on the supervisor's Unix socket: all that sees and steers, and no key for it.

Whoever may open the socket may do everything: its mode is the lock. ``penstock`` itself asks here,
so that it works while no worker does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from penstock.api.server import ApiServer
    from penstock.daemon.supervisor import Supervisor

log = structlog.get_logger("penstock.api")

STOP_S = 5.0
REQUEST_BYTES_MAX = 256 << 20  # lists of addresses come in here
_REQUEST_BYTES = 1 << 16
_BROKEN = (
    b'{"type":"/docs/problems#unavailable","title":"Not now","status":503,'
    b'"detail":"The HTTP API could not be loaded; see the log"}'
)
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
    b"Retry-After: 5\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
) % (len(_BROKEN), _BROKEN)


class Management:
    """``bound``: the socket at ``api_socket`` of the settings, ``None``: there is none."""

    def __init__(self, supervisor: Supervisor, bound: socket.socket | None) -> None:
        self._supervisor, self.bound = supervisor, bound
        self._server: ApiServer | None = None
        self._opening: asyncio.Task[None] | None = None

    @property
    def sockets(self) -> list[socket.socket]:
        return [self.bound] if self.bound is not None else []

    def start(self) -> None:
        """The application comes with the first who asks: it is a third of the process's memory."""
        if self.bound is not None:
            asyncio.get_running_loop().add_reader(self.bound, self._asked)

    async def stop(self, *, handed_over: bool) -> None:
        """``handed_over``: the next daemon has the socket, and its file stays."""
        if self.bound is None:
            return
        asyncio.get_running_loop().remove_reader(self.bound)
        if self._opening is not None:
            await self._opening
            asyncio.get_running_loop().remove_reader(self.bound)  # it may have failed
        if self._server is not None:
            from penstock.api.events_stream import streams

            streams().closing.set()
            await self._server.stop()
        if not handed_over:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._supervisor.settings.api_socket)

    def _asked(self) -> None:
        assert self.bound is not None
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.bound)
        self._opening = loop.create_task(self._open())

    async def _open(self) -> None:
        """Much is imported for it, and workers are to be answered meanwhile."""
        assert self.bound is not None
        try:
            app = await asyncio.to_thread(self._make)
            from penstock.api.server import ApiServer, ServerConfig
            from penstock.api.steering_measures import measure

            measure(self._supervisor.registry)
            self._server = ApiServer(app, self.bound, ServerConfig(stop_timeout_s=STOP_S))
            await self._server.start()
        except Exception as error:
            log.exception("the HTTP API could not be started", reason=str(error))
            self._refuse()
            self._opening = None
            self.start()  # whoever asks next may fare better

    def _refuse(self) -> None:
        """Tell all who wait. What they ask is read, since closing a socket on it is an error to
        them, which they may see before the answer."""
        assert self.bound is not None
        self.bound.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                one, _ = self.bound.accept()
                with one, contextlib.suppress(OSError):
                    one.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        one.recv(_REQUEST_BYTES)
                    one.sendall(_REFUSAL)

    def _make(self) -> ASGIApp:
        from penstock.api.access import OpenAccess
        from penstock.api.app import make_app
        from penstock.api.charges import Charges
        from penstock.api.gate import GateConfig
        from penstock.api.ports import Ports
        from penstock.api.routers import STEERING

        supervisor = self._supervisor
        ports = Ports(
            call=self._call,
            now=time.time,
            settings=lambda: supervisor.settings,
            policies=lambda: supervisor.policies,
            registry=supervisor.registry,
            charges=Charges(None, time.monotonic),
        )
        return make_app(STEERING, OpenAccess(), ports, GateConfig(REQUEST_BYTES_MAX))

    async def _call(self, method: str, params: dict[str, Any]) -> Any:
        return await self._supervisor.admin.handle(method, params)
