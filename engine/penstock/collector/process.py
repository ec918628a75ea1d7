"""The collector's life: greeting, the lock, reading, the orderly end.

A child of the supervisor as the workers are, and known to it through one channel. It stands back
for them (nice), its memory is bounded, and nothing waits for it: while it is away, events pile up
in the log on disk, and it goes on where it was. One at a time has ``events/collector.lock``, so
that after an upgrade in place the next one begins where the last one ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import resource
import sys

import structlog
import uvloop

from penstock.collector.engine import Engine
from penstock.control import Channel
from penstock.events.log import configure
from penstock.settings.collector import CollectorSettings
from penstock.settings.loader import load_policy_directory, load_settings
from penstock.settings.models import Settings
from penstock.supervised import Supervised, leave_signals_to_supervisor

log = structlog.get_logger("penstock.collector")
_LOCK_POLL_S = 0.1
_LOCK_FILE = "collector.lock"


def main(fd: int) -> int:
    """Collect behind the channel ``fd`` until told to stop; returns the exit code."""
    leave_signals_to_supervisor()
    return uvloop.run(Collector(fd).run())


class Collector(Supervised):
    """The process around one :class:`~penstock.collector.engine.Engine`."""

    name = "collector"

    async def _serve(self, channel: Channel) -> int:
        greeting = await channel.call("hello")
        settings = load_settings(greeting["config"])
        if isinstance(settings, list):
            return 2  # the supervisor has checked it: someone edits the file at this moment
        policies = load_policy_directory(settings.policies)
        if isinstance(policies, list):
            return 2
        configure(settings.log.format, settings.log.level, sys.stdout)
        _stand_back(settings.collector)
        lock = await self._lock(settings)
        if lock is None:
            return 0
        try:
            engine = Engine(greeting["config"], settings, policies, greeting["sockets"], channel)
            self._engine = engine
            engine.start()
            await self._until_told(channel)
        finally:
            os.close(lock)
        return 0

    async def _lock(self, settings: Settings) -> int | None:
        """The descriptor that holds the lock, once the collector before has ended; ``None`` where
        we are told to stop meanwhile."""
        directory = os.path.join(settings.spool, "events")
        os.makedirs(directory, mode=0o700, exist_ok=True)
        path = os.path.join(directory, _LOCK_FILE)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while not self._stop.is_set():
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), _LOCK_POLL_S)
        os.close(descriptor)
        return None


def _stand_back(settings: CollectorSettings) -> None:
    os.nice(settings.nice)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = settings.memory_bytes_max
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
