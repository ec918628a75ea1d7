"""Tasks of one owner: none is lost, none fails unheard, and all can be ended together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """A failure of one reaches the loop's exception handler."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.result()

    def cancel(self) -> None:
        for task in self._running:
            task.cancel()

    async def end(self, deadline_s: float) -> None:
        """Wait so long for those that run, then cancel what is left."""
        if not self._running:
            return
        _, late = await asyncio.wait(list(self._running), timeout=deadline_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
