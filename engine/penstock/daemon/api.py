"""The HTTP API on the supervisor's Unix socket: all that sees and steers, and no key for it.

Whoever may open the socket may do everything: its mode is the lock. ``penstock`` itself asks here,
so that it works while no worker does.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.api.server import ApiServer
    from penstock.daemon.supervisor import Supervisor

STOP_S = 5.0
REQUEST_BYTES_MAX = 256 << 20  # lists of addresses come in here


class Management:
    """``bound``: the socket at ``api_socket`` of the settings, ``None``: there is none."""

    def __init__(self, supervisor: Supervisor, bound: socket.socket | None) -> None:
        self._supervisor, self.bound = supervisor, bound
        self._server: ApiServer | None = None

    @property
    def sockets(self) -> list[socket.socket]:
        return [self.bound] if self.bound is not None else []

    def load(self) -> None:
        """Much is imported for it: while workers start, and not while they are to be answered."""
        from penstock.api.access import OpenAccess
        from penstock.api.app import make_app
        from penstock.api.charges import Charges
        from penstock.api.gate import GateConfig
        from penstock.api.ports import Ports
        from penstock.api.routers import STEERING
        from penstock.api.server import ApiServer, ServerConfig
        from penstock.api.steering_measures import measure

        if self.bound is None:
            return
        supervisor = self._supervisor
        ports = Ports(
            call=self._call,
            now=time.time,
            settings=lambda: supervisor.settings,
            policies=lambda: supervisor.policies,
            registry=supervisor.registry,
            charges=Charges(None, time.monotonic),
        )
        measure(supervisor.registry)
        app = make_app(STEERING, OpenAccess(), ports, GateConfig(REQUEST_BYTES_MAX))
        self._server = ApiServer(app, self.bound, ServerConfig(stop_timeout_s=STOP_S))

    async def start(self) -> None:
        if self._server is not None:
            await self._server.start()

    async def stop(self, *, handed_over: bool) -> None:
        """``handed_over``: the next daemon has the socket, and its file stays."""
        if self._server is None:
            return
        from penstock.api.events_stream import streams

        streams().closing.set()
        await self._server.stop()
        if not handed_over:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._supervisor.settings.api_socket)

    async def _call(self, method: str, params: dict[str, Any]) -> Any:
        return await self._supervisor.admin.handle(method, params)
