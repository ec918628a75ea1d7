"""A worker's life: greeting, recovery, serving, the orderly end.

It knows its supervisor through one channel and nothing else of the world. When that channel closes
the supervisor is gone, and the worker ends as it would when told to, but soon: the next daemon
waits for its shards and its ports.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
from typing import Any

import structlog
import uvloop

from penstock.control import Channel
from penstock.events.log import configure
from penstock.settings.loader import load_settings
from penstock.settings.models import Settings
from penstock.supervised import Supervised, leave_signals_to_supervisor
from penstock.worker.engine import Engine
from penstock.worker.greeting import Greeting

log = structlog.get_logger("penstock.worker")
_GC_THRESHOLD = 50_000
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


class Worker(Supervised):
    """The process around one :class:`Engine`."""

    name = "worker"

    async def _serve(self, channel: Channel) -> int:
        greeting = Greeting(**await channel.call("hello"))
        settings = load_settings(greeting.config)
        if isinstance(settings, list):
            return 2  # the supervisor has checked it: someone edits the file at this moment
        configure(settings.log.format, settings.log.level, sys.stdout)
        structlog.contextvars.bind_contextvars(worker=greeting.number)
        if greeting.api:  # it takes a second to load: not while the mail stands still
            importlib.import_module("penstock.worker.api")
        engine = await self._open(settings, greeting, channel)
        if engine is None:
            return 0
        self._engine = engine
        gc.collect()
        gc.freeze()
        # before the first delivery, or one that dies at once would take the names along
        await channel.call("recovered", engine.recovered())
        await engine.start()
        await self._until_told(channel)
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


def _heard(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()  # a supervisor that is gone is noticed elsewhere
