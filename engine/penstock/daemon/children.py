"""The processes of a daemon: started, greeted, watched, started again when they die.

A worker is a fresh interpreter that inherits the listening sockets, the spool's lock and one end of
a socket pair. It says hello on it and is told what it owns; until it says ready it counts as
starting. One that dies is started again at once, and after repeated deaths with growing pauses, so
that a worker that cannot start does not eat the machine. One that had served is missed by the mail
in its shards: its pauses stay short. The collector is kept in the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from penstock.control import Channel, Handler

log = structlog.get_logger("penstock.supervisor")
RESTART_PAUSE_MAX_S = 10.0
SERVED_PAUSE_MAX_S = 1.0
STEADY_S = 30.0
FAILED_DEATHS = 3


@dataclass(frozen=True, slots=True)
class Program:
    """What runs in a child: how it is called in logs and answers, and its module."""

    kind: str
    module: str


WORKER = Program("worker", "penstock.worker")
COLLECTOR = Program("collector", "penstock.collector")


class Child:
    """One slot: its number stays, its process changes."""

    def __init__(
        self,
        number: int,
        fds: Sequence[int],
        handler: Callable[[Child], Handler],
        gone: Callable[[Child], None],
        program: Program = WORKER,
    ) -> None:
        self.number = number
        self.name = f"worker {number}" if program is WORKER else program.kind
        self._program = program
        self._logged = {"worker": number} if program is WORKER else {}
        self.ready = False
        self.waiting = asyncio.Event()  # for a shard that another process has
        self.serving = asyncio.Event()
        self.failed = asyncio.Event()  # again and again, and never served
        self.beat = 0.0
        self.away_s = 0.0  # how long its shards were without a worker, the last time
        self._gone_at = time.monotonic()
        self.channel: Channel | None = None
        self.process: asyncio.subprocess.Process | None = None
        self._fds = tuple(fds)
        self._handler, self._gone = handler, gone
        self._deaths = 0
        self._told_to_stop = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0

    def start(self) -> None:
        """Run it until told to stop, again and again; not while another run still ends."""
        assert self._keeper is None or self._keeper.done(), "stop() has not returned"
        self._told_to_stop.clear()
        self._deaths = 0
        self._keeper = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._told_to_stop.is_set():
            started = loop.time()
            try:
                code: int | str = await self._run_once()
            except OSError as error:  # no process or socket could be had: later there may be
                code = str(error)
            pause_max = SERVED_PAUSE_MAX_S if self.ready else RESTART_PAUSE_MAX_S
            if self.ready:
                self._gone_at = time.monotonic()
            self.ready = False
            self.serving.clear()
            self._gone(self)
            if self._told_to_stop.is_set():
                break
            self._deaths = 0 if loop.time() - started > STEADY_S else self._deaths + 1
            if self._deaths >= FAILED_DEATHS and pause_max == RESTART_PAUSE_MAX_S:
                self.failed.set()
            pause = min(0.1 * 2.0 ** min(self._deaths, 10), pause_max)
            what = f"{self._program.kind} died"
            log.error(what, **self._logged, exit=code, restart_in_s=pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told_to_stop.wait(), pause)

    async def _run_once(self) -> int:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self._program.module,
                str(theirs.fileno()),
                pass_fds=(theirs.fileno(), *self._fds),
                stdin=asyncio.subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
            undo.pop_all()
        handler = self._handler(self)
        _, channel = await loop.create_connection(lambda: Channel(handler), sock=ours)
        self.channel = channel
        if self.stopped:  # told so while it was being made: it has begun nothing
            self.process.kill()
        code = await self.process.wait()
        channel.close()
        self.channel = None
        return code

    def begin_to_serve(self) -> None:
        self.ready, self.beat = True, time.monotonic()
        self.serving.set()
        self.away_s = round(self.beat - self._gone_at, 3)

    async def call(self, method: str, params: Any = None, timeout_s: float = 30.0) -> Any:
        """Ask it; ``ConnectionError`` when it is not there or does not answer in time."""
        if self.channel is None or not self.ready:
            raise ConnectionError(f"{self.name} is not running")
        try:
            return await asyncio.wait_for(self.channel.call(method, params), timeout_s)
        except TimeoutError:
            text = f"{self.name} did not answer in {timeout_s:g} s"
            raise ConnectionError(text) from None

    @property
    def stopped(self) -> bool:
        """Told to stop, and not started since."""
        return self._told_to_stop.is_set()

    async def stop(self, deadline_s: float) -> None:
        """Orderly: ask, wait, and kill what is not gone ``deadline_s`` later. May be called again,
        by another too: each returns when the worker is gone."""
        first = not self.stopped
        self._told_to_stop.set()
        keeper = self._keeper
        if keeper is None or keeper.done():
            return
        if first and self.channel is not None:
            self.channel.call("stop", {"deadline_s": deadline_s}).add_done_callback(_heard)
        _, late = await asyncio.wait({keeper}, timeout=deadline_s + 3.0)
        if late:
            log.error(f"{self._program.kind} did not stop in time", **self._logged)
            if self.process is not None and self.process.returncode is None:
                self.process.kill()
            await asyncio.wait({keeper})


def _heard(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()  # the worker may be gone before it answers: that is what we want
