"""A worker's life: greeting, recovery, serving, the orderly end.

It knows its supervisor through one channel and nothing else of the world. When that channel closes
the supervisor is gone, and the worker ends as it would when told to, but soon: the next daemon
waits for its shards and its ports.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from typing import Any

import structlog
import uvloop

from penstock.control import Channel, ControlError
from penstock.events.log import configure
from penstock.settings.loader import load_settings
from penstock.settings.models import Settings
from penstock.supervised import beat, leave_signals_to_supervisor, report
from penstock.worker.engine import Engine
from penstock.worker.greeting import Greeting

log = structlog.get_logger("penstock.worker")
_GC_THRESHOLD = 50_000
_ORPHAN_DEADLINE_S = 5.0
# The committing thread needs the interpreter for microseconds after each sync, and a busy loop lets
# go of it only so often: with the default of 5 ms every acknowledgement would be late by that.
_SWITCH_S = 0.0002


def main(fd: int) -> int:
    """Serve behind the channel ``fd`` until told to stop; returns the exit code."""
    leave_signals_to_supervisor()
    # what is made per message has no cycles: collections are for what goes wrong, and rare
    sys.setswitchinterval(_SWITCH_S)
    gc.set_threshold(_GC_THRESHOLD, 20, 100)
    return uvloop.run(Worker(fd).run())


class Worker:
    """The process around one :class:`Engine`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._engine: Engine | None = None
        self._stop = asyncio.Event()
        self._deadline_s = 10.0

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(report)
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

    async def _serve(self, channel: Channel) -> int:
        greeting = Greeting(**await channel.call("hello"))
        settings = load_settings(greeting.config)
        if isinstance(settings, list):
            return 2  # the supervisor has checked it: someone edits the file at this moment
        configure(settings.log.format, settings.log.level, sys.stdout)
        structlog.contextvars.bind_contextvars(worker=greeting.number)
        engine = await self._open(settings, greeting, channel)
        if engine is None:
            return 0
        self._engine = engine
        gc.collect()
        gc.freeze()
        # before the first delivery, or one that dies at once would take the names along
        await channel.call("recovered", engine.recovered())
        await engine.start()
        beating: asyncio.Task[None] | None = None
        try:
            await channel.call("ready")
            beating = asyncio.create_task(beat(channel))
            await self._stop.wait()
        finally:
            if beating is not None:
                beating.cancel()
            await engine.stop(self._deadline_s)
        return 0

    async def _open(
        self, settings: Settings, greeting: Greeting, channel: Channel
    ) -> Engine | None:
        """The engine, or ``None`` where we are told to stop before it has its shards."""

        def waiting() -> None:
            channel.call("waiting").add_done_callback(_heard)

        opening = asyncio.ensure_future(Engine.open(settings, greeting, channel, waiting))
        told = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({opening, told}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if opening.done():
            return opening.result()
        opening.cancel()
        return None

    def _orphaned(self, channel: Channel) -> None:
        self._deadline_s = min(self._deadline_s, _ORPHAN_DEADLINE_S)
        self._stop.set()

    def _handle(self, method: str, params: Any) -> Any:
        if method == "stop":
            self._deadline_s = float(params["deadline_s"])
            self._stop.set()
            return None
        if self._engine is None:
            raise ControlError("starting", "the worker is still starting")
        return self._engine.answer(method, params)


def _heard(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()  # a supervisor that is gone is noticed elsewhere
