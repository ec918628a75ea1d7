"""All of it together: a consumer of the event log on one side, deliveries on the other.

The consumer's three methods block and are called in its own thread; :meth:`Webhooks.run` belongs to
an event loop and never blocks it: the queue's disk work and the reading of the log are done in two
threads of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog

from penstock.events.metrics import Registry
from penstock.events.reading import Position
from penstock.events.records import AnyEvent
from penstock.webhooks.config import WebhooksConfig
from penstock.webhooks.consumer import Queues
from penstock.webhooks.courier import Courier, Lanes
from penstock.webhooks.line import Line
from penstock.webhooks.measures import Measures, Standing
from penstock.webhooks.ports import Readers, Resolve
from penstock.webhooks.post import Answer, Poster
from penstock.webhooks.refill import Refill, rewind
from penstock.webhooks.resolve import HostResolver
from penstock.webhooks.store import Store

_T = TypeVar("_T")
_MEASURE_S = 5.0
_REFILL_LOOK_S = 1.0
_TROUBLE_WAIT_S = 5.0
_log = structlog.get_logger("penstock.webhooks")


class Webhooks:
    """``readers`` gives the logs that there are, each time it is called; ``now`` is the time of
    day, ``chance`` gives numbers from 0 to 1."""

    name = "webhooks"

    def __init__(
        self,
        config: WebhooksConfig,
        registry: Registry,
        readers: Readers,
        *,
        resolve: Resolve | None = None,
        now: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._now = now
        self._readers = readers
        self._store = Store(config.directory)
        self.queues = Queues(config, self._store, now)
        self.measures = Measures(registry, self.queues.lines)
        self._resolver = HostResolver()
        self.posters = {
            one.name: Poster(one, config, resolve or self._resolver, now)
            for one in config.endpoints
        }
        self._disk = ThreadPoolExecutor(1, "webhooks-queue")
        self._log_reading = ThreadPoolExecutor(1, "webhooks-log")
        self._refill = Refill(self.queues, readers, self.measures.missed)
        self.lanes = Lanes(config)
        self._room = asyncio.Event()
        self._standings: dict[str, Standing] = {}
        self.couriers = {
            name: Courier(
                line,
                queues=self.queues,
                store=self._store,
                poster=self.posters[name],
                lanes=self.lanes,
                jobs=self._job,
                config=config,
                now=now,
                chance=chance,
                observe=self.observe,
                on_dead=self.measures.dead,
            )
            for name, line in self.queues.lines.items()
        }
        registry.on_snapshot(self._show)

    # The consumer of the event log; in its own thread.

    def take(self, log: str, events: Sequence[tuple[bytes, AnyEvent]], upto: Position) -> None:
        self.queues.take(log, events, upto)

    def flush(self) -> dict[str, Position]:
        return self.queues.flush()

    def checkpoint(self) -> dict[str, Position]:
        return self.queues.checkpoint()

    # The deliveries; in an event loop.

    async def run(self) -> None:
        """Deliver until cancelled. What is under way then is delivered again at the next start."""
        loop = asyncio.get_running_loop()

        def on_queued(names: Collection[str]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: so have the deliveries
                loop.call_soon_threadsafe(self.wake, names)

        self.queues.on_queued = on_queued
        try:
            async with asyncio.TaskGroup() as group:
                for courier in self.couriers.values():
                    group.create_task(self._attend(courier))
                group.create_task(self._keep_filling())
                group.create_task(self._keep_measuring())
        finally:
            self.queues.on_queued = lambda names: None
            await self.close_connections()

    async def close_connections(self) -> None:
        for poster in self.posters.values():
            await poster.close()
        await self._resolver.close()

    def close(self) -> None:
        """After ``run`` has ended and nothing more is taken."""
        self._disk.shutdown()
        self._log_reading.shutdown()
        self._store.close()

    def wake(self, names: Collection[str]) -> None:
        """Look at these endpoints now."""
        for name in names:
            if name in self.couriers:
                self.couriers[name].wake.set()

    async def fill(self) -> bool:
        """Read one piece of the log for each endpoint that is behind and has room; whether it is
        worth while to go on at once."""
        more = False
        for line in self.queues.lines.values():
            if line.refillable:
                loop = asyncio.get_running_loop()
                more |= await loop.run_in_executor(self._log_reading, self._refill.piece, line)
        return more

    async def replay(self, line: Line, since_s: float) -> None:
        """Have ``line`` told everything again from that time on, so far as the log has it."""

        def job() -> None:
            rewind(self.queues, line, self._readers(), since_s)

        await asyncio.get_running_loop().run_in_executor(self._log_reading, job)
        self._room.set()

    async def measure(self) -> None:
        """Have the metrics say what is now."""
        self._standings = await self._job(self._stand)

    def observe(self, name: str, answer: Answer, events: int) -> None:
        self.measures.attempt(name, answer, events)
        if self.queues.lines[name].refillable:
            self._room.set()

    def standing(self, name: str) -> Standing:
        """As of the last measuring."""
        return self._standings.get(name, Standing(name))

    async def _attend(self, courier: Courier) -> None:
        while True:
            courier.wake.clear()
            try:
                due_s = await courier.round()
            except (sqlite3.Error, OSError) as error:
                _log.error(
                    "webhook queue failed", webhook=courier.line.endpoint.name, error=str(error)
                )
                due_s = self._now() + _TROUBLE_WAIT_S
            wait = None if due_s is None else max(0.0, due_s - self._now())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await courier.wake.wait()

    async def _keep_filling(self) -> None:
        while True:
            try:
                more = await self.fill()
            except (sqlite3.Error, OSError) as error:
                _log.error("webhook cannot read the event log", error=str(error))
                more = False
            if not more:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_REFILL_LOOK_S):
                        await self._room.wait()
                self._room.clear()

    async def _keep_measuring(self) -> None:
        while True:
            with contextlib.suppress(sqlite3.Error):
                await self.measure()
            await asyncio.sleep(_MEASURE_S)

    def _stand(self) -> dict[str, Standing]:
        now = self._now()
        found = {}
        for name, line in self.queues.lines.items():
            with self.queues.lock:
                oldest = self._store.oldest_s(name)
                left = line.backlog.events if line.backlog else 0
                if oldest is None and left:
                    oldest = line.disabled_s or now
                found[name] = Standing(
                    name,
                    events=line.waiting + left,
                    queue_bytes=line.waiting_bytes,
                    lag_s=0.0 if oldest is None else max(0.0, now - oldest),
                    behind=line.backlog is not None,
                    disabled=bool(line.disabled_s),
                )
        return found

    def _show(self) -> None:
        self.measures.show(self._standings.values(), self.lanes.busy)

    def _job(self, job: Callable[..., _T], *arguments: Any) -> asyncio.Future[_T]:
        return asyncio.get_running_loop().run_in_executor(self._disk, job, *arguments)
