"""Answers that are worth keeping for a while: TTL, a bound, and one look-up at a time.

Shared by the resolver and by ``Destinations``. Least recently used answers go first when the cache
is full. Whoever asks for a key that is being looked up waits for the same look-up; one of them
giving up does not cancel it for the others.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class AnswerCache(Generic[K, V]):
    """``fetch(key)`` gives a value and the seconds it may be kept (0: not at all)."""

    def __init__(
        self,
        fetch: Callable[[K], Awaitable[tuple[V, float]]],
        clock: Callable[[], float],
        entries_max: int,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._entries_max = entries_max
        self._kept: OrderedDict[K, tuple[V, float]] = OrderedDict()
        self._pending: dict[K, asyncio.Task[V]] = {}
        self._hits = 0
        self._misses = 0

    def cached(self, key: K) -> V | None:
        """The value, where it is known and fresh."""
        entry = self._kept.get(key)
        if entry is None:
            return None
        if entry[1] <= self._clock():
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        self._hits += 1
        return entry[0]

    async def get(self, key: K) -> V:
        value = self.cached(key)
        if value is not None:
            return value
        task = self._pending.get(key)
        if task is None:
            self._misses += 1
            task = asyncio.create_task(self._look_up(key))
            self._pending[key] = task
            task.add_done_callback(lambda done: self._looked_up(key, done))
        return await asyncio.shield(task)

    async def _look_up(self, key: K) -> V:
        value, ttl_s = await self._fetch(key)
        if ttl_s > 0:
            self._kept[key] = (value, self._clock() + ttl_s)
            self._kept.move_to_end(key)
            if len(self._kept) > self._entries_max:
                self._kept.popitem(last=False)
        return value

    def _looked_up(self, key: K, task: asyncio.Task[V]) -> None:
        del self._pending[key]
        if not task.cancelled():
            task.exception()  # retrieved, also where everybody has stopped waiting

    def forget(self) -> None:
        """Drop every kept answer (the policies or routes they were made with changed)."""
        self._kept.clear()

    async def close(self) -> None:
        pending = list(self._pending.values())
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    def stats(self) -> dict[str, float]:
        return {
            "entries": len(self._kept),
            "entries_max": self._entries_max,
            "pending": len(self._pending),
            "hits": self._hits,
            "misses": self._misses,
        }
