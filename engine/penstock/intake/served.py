"""uvicorn on a socket that is bound already, inside a loop that belongs to somebody else.

It installs no signal handlers and stops when it is told to.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator

import uvicorn


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the daemon has its own. ``serving``: startup is over."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.serving.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class Served:
    """Serves what ``config`` says on one bound socket from ``start`` to ``stop``."""

    def __init__(self, config: uvicorn.Config, bound: socket.socket, stop_timeout_s: float) -> None:
        self._bound = bound
        self._stop_timeout_s = stop_timeout_s
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns once requests are taken; raises what kept the server from it."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._bound]))
        serving = asyncio.create_task(self._server.serving.wait())
        await asyncio.wait({self._task, serving}, return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """No new requests; those under way are given ``stop_timeout_s``."""
        self._server.should_exit = True
        if self._task is None:
            return
        try:
            async with asyncio.timeout(self._stop_timeout_s + 2):
                await self._task
        except TimeoutError:
            self._server.force_exit = True

    def connections(self) -> int:
        return len(self._server.server_state.connections)

    def stats(self) -> dict[str, float]:
        state = self._server.server_state
        return {"connections": len(state.connections), "requests": state.total_requests}
