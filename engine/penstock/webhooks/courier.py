"""The deliveries to one endpoint: what is sent now, what follows from the answer, when to go on.

While an endpoint fails, one delivery at a time is made and it is left alone between them, for
longer and longer up to some minutes: that is how it is noticed that it is back. Each batch has its
own times to be tried again beside that; once the endpoint is back, none waits for them any longer.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import structlog

from penstock.webhooks.config import WebhooksConfig
from penstock.webhooks.consumer import Queues
from penstock.webhooks.line import Line
from penstock.webhooks.post import Answer, Poster
from penstock.webhooks.retry import probe_wait_s, wait_s
from penstock.webhooks.store import Batch, Store

OUTAGE_FAILURES = 3  # so many in a row are an outage, not a batch that the endpoint cannot take
_T = TypeVar("_T")
_log = structlog.get_logger("penstock.webhooks")


class Jobs(Protocol):
    """Has the disk's work done in a thread."""

    def __call__(self, job: Callable[..., _T], *arguments: Any) -> Awaitable[_T]: ...


class Lanes:
    """Deliveries at once, over all endpoints: a part of them is for those that are slow."""

    def __init__(self, config: WebhooksConfig) -> None:
        self.quick = asyncio.Semaphore(config.connections_max - config.slow_connections_max)
        self.slow = asyncio.Semaphore(config.slow_connections_max)
        self.busy = 0


class Courier:
    """``chance`` gives numbers from 0 to 1; ``observe`` is told of each attempt and ``on_dead`` of
    the events given up."""

    def __init__(
        self,
        line: Line,
        *,
        queues: Queues,
        store: Store,
        poster: Poster,
        lanes: Lanes,
        jobs: Jobs,
        config: WebhooksConfig,
        now: Callable[[], float],
        chance: Callable[[], float],
        observe: Callable[[str, Answer, int], None],
        on_dead: Callable[[str, int], None],
    ) -> None:
        self.line = line
        self.wake = asyncio.Event()
        self.failures = 0
        self.last: Answer | None = None
        self.last_s = 0.0
        self.pause_until_s = 0.0
        self._name = line.endpoint.name
        self._queues, self._store, self._poster = queues, store, poster
        self._lanes, self._jobs, self._config = lanes, jobs, config
        self._now, self._chance = now, chance
        self._observe, self._on_dead = observe, on_dead
        self._slow = False
        self._under_way: set[str] = set()
        self._choosing = asyncio.Lock()

    async def round(self) -> float | None:
        """Deliver until nothing is due; when something will be, ``None``: when :attr:`wake` is set.

        Raises ``sqlite3.Error`` and ``OSError`` of the queue; nothing is lost by that.
        """
        tasks: set[asyncio.Task[bool]] = set()
        woken = asyncio.create_task(self.wake.wait())
        more = True
        try:
            while True:
                while more and self._open() and len(tasks) < self._at_once():
                    tasks.add(asyncio.create_task(self._one()))
                if not tasks:
                    break
                await asyncio.wait({*tasks, woken}, return_when=asyncio.FIRST_COMPLETED)
                ended = {task for task in tasks if task.done()}
                tasks -= ended
                for task in ended:
                    more = task.result() and more
                if woken.done():  # another batch need not wait for the end of a slow one
                    self.wake.clear()
                    woken, more = asyncio.create_task(self.wake.wait()), True
        finally:
            for one in (*tasks, woken):
                one.cancel()
            await asyncio.gather(*tasks, woken, return_exceptions=True)
        return await self._next_s()

    async def _next_s(self) -> float | None:
        if self.line.disabled_s:
            return None
        wait = self.line.endpoint.batch_wait_s
        due_s = await self._jobs(self._store.next_s, self._name, wait, self._under_way)
        return None if due_s is None else max(due_s, self.pause_until_s)

    def _open(self) -> bool:
        return not self.line.disabled_s and self._now() >= self.pause_until_s

    def _at_once(self) -> int:
        return 1 if self.failures else self.line.endpoint.connections_max

    async def _one(self) -> bool:
        """Deliver one batch; ``False``: there is none, or this is not the time for it."""
        due_s = await self._next_s()
        if due_s is None or due_s > self._now():
            return False
        lane = self._lanes.slow if self._slow or self.failures else self._lanes.quick
        async with lane:
            batch = await self._choose() if self._open() else None
            if batch is None:
                return False
            self._lanes.busy += 1
            try:
                answer = await self._poster.post(batch.id, batch.body)
                self._slow = answer.duration_s > self._config.slow_s
                await self._settle(batch, answer)
            finally:
                self._lanes.busy -= 1
                self._under_way.discard(batch.id)
        return True

    async def _choose(self) -> Batch | None:
        endpoint = self.line.endpoint
        async with self._choosing:
            again = (self._store.due, self._name, self._now(), self._under_way)
            fresh = (
                self._store.form,
                self._name,
                f"msg_{secrets.token_hex(16)}",
                self._now(),
                endpoint.batch_events_max,
                endpoint.batch_bytes_max,
                endpoint.batch_wait_s,
            )
            # What failed may be the batch and not the endpoint: then another one finds out.
            first, second = (fresh, again) if self.failures else (again, fresh)
            batch: Batch | None = await self._jobs(*first) or await self._jobs(*second)
            if batch is not None:
                self._under_way.add(batch.id)
            return batch

    async def _settle(self, batch: Batch, answer: Answer) -> None:
        self.last, self.last_s = answer, self._now()
        if answer.kind == "delivered":
            outage, self.failures = self.failures >= OUTAGE_FAILURES, 0
            self.pause_until_s = 0.0
            await self._jobs(self._remove, batch)
            if outage:
                _log.info("webhook answers again", webhook=self._name)
                await self._jobs(self._store.hasten, self._name, self._now())
        elif answer.kind == "gone":
            await self._jobs(self._disable, batch)
            _log.error("webhook disabled: its receiver says it is gone", webhook=self._name)
        else:
            await self._failed(batch, answer)
        self._observe(self._name, answer, batch.events)

    async def _failed(self, batch: Batch, answer: Answer) -> None:
        now = self._now()
        self.failures += 1
        wait = wait_s(batch.attempts + 1, self._chance(), answer.asked_s)
        if answer.asked_s is None:
            self.pause_until_s = now + probe_wait_s(self.failures, self._chance())
        else:
            self.pause_until_s = now + answer.asked_s
        if wait is None:
            await self._jobs(self._give_up, batch)
            self._on_dead(self._name, batch.events)
            _log.error(
                "webhook events given up after the last try",
                webhook=self._name,
                batch=batch.id,
                events=batch.events,
                status=answer.status,
                reply=answer.text,
            )
            return
        await self._jobs(self._store.put_off, batch, now + wait)
        if self.failures == OUTAGE_FAILURES:
            _log.warning(
                "webhook fails",
                webhook=self._name,
                result=answer.kind,
                status=answer.status,
                reply=answer.text,
            )

    def _remove(self, batch: Batch) -> None:
        with self._queues.lock:
            self._store.remove(batch)
            self.line.gone(batch.events, batch.size)

    def _give_up(self, batch: Batch) -> None:
        with self._queues.lock:
            self._remove(batch)
            self.line.dead += batch.events
            self._queues.keep(self.line)

    def _disable(self, batch: Batch) -> None:
        with self._queues.lock:
            self._store.put_off(batch, self._now())
            self.line.disable(self._now(), "410 Gone", self._queues.positions)
            self._queues.keep(self.line)
