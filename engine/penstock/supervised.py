"""What every child of the supervisor is: known to it through one channel, and gone when that is.

It leaves signals to the supervisor, answers questions, beats while its loop turns, and ends when
told to. When the channel closes the supervisor is gone, and the child ends as it would when told,
but soon: the next daemon waits for what it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from abc import ABC, abstractmethod
from typing import Any, Protocol

import structlog

from penstock.control import Channel, ControlError

log = structlog.get_logger("penstock.process")
BEAT_S = 1.0
_DEADLINE_S = 10.0  # where nobody has said another
_ORPHAN_DEADLINE_S = 5.0


class Engine(Protocol):
    """What a child runs."""

    def answer(self, method: str, params: Any) -> Any: ...
    async def stop(self, deadline_s: float) -> None: ...


class Supervised(ABC):
    """One child behind the channel ``fd``; ``name`` is what it calls itself."""

    name: str

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._engine: Engine | None = None
        self._stop = asyncio.Event()
        self._deadline_s = _DEADLINE_S

    async def run(self) -> int:
        """The exit code."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_report)
        end = socket.socket(fileno=self._fd)
        end.setblocking(False)
        _, channel = await loop.create_connection(
            lambda: Channel(self._handle, self._orphaned), sock=end
        )
        try:
            return await self._serve(channel)
        except ConnectionError:
            return 0  # the supervisor is gone while we started: nothing was begun
        finally:
            channel.close()

    @abstractmethod
    async def _serve(self, channel: Channel) -> int:
        """Say hello, begin, then :meth:`_until_told`."""

    async def _until_told(self, channel: Channel) -> None:
        """Serve with the engine, which has started, until told to stop; then stop that."""
        engine = self._engine
        assert engine is not None
        beating: asyncio.Task[None] | None = None
        try:
            await channel.call("ready")
            beating = asyncio.create_task(_beat(channel))
            await self._stop.wait()
        finally:
            if beating is not None:
                beating.cancel()
            await engine.stop(self._deadline_s)

    def _orphaned(self, channel: Channel) -> None:
        self._deadline_s = min(self._deadline_s, _ORPHAN_DEADLINE_S)
        self._stop.set()

    def _handle(self, method: str, params: Any) -> Any:
        if method == "stop":
            self._deadline_s = float(params["deadline_s"])
            self._stop.set()
            return None
        if self._engine is None:
            raise ControlError("starting", f"the {self.name} is still starting")
        return self._engine.answer(method, params)


def leave_signals_to_supervisor() -> None:
    """The supervisor decides when we end, not the terminal."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


async def _beat(channel: Channel) -> None:
    """Tell the supervisor every second that this loop still turns."""
    with contextlib.suppress(ConnectionError):
        while True:
            await channel.call("beat")
            await asyncio.sleep(BEAT_S)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What went wrong in the event loop, as a line in the log."""
    error = context.get("exception")
    log.error(str(context.get("message", "error in the event loop")), exc_info=error)
