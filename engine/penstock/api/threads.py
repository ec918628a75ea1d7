"""Blocking work of routes: files that are read, policies that are checked. Never in the event loop.

A few threads for the whole process, and a bound on what waits for them: what comes on top is told
to come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from penstock.api.problem import Problem

_P = ParamSpec("_P")
_R = TypeVar("_R")
THREADS, WAITING_MAX = 4, 64


class Threads:
    """Made at first use, so that a process that is never asked has none."""

    def __init__(self, threads: int = THREADS, waiting_max: int = WAITING_MAX) -> None:
        self._threads, self._waiting_max = threads, waiting_max
        self._pool: ThreadPoolExecutor | None = None
        self.waiting = 0

    async def run(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Raises a 503 where too much waits."""
        if self.waiting >= self._waiting_max:
            raise Problem(
                503, "unavailable", "Too much is looked up at once.", headers={"Retry-After": "1"}
            )
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "api")
        loop = asyncio.get_running_loop()
        self.waiting += 1
        try:
            return await loop.run_in_executor(self._pool, lambda: function(*args, **kwargs))
        finally:
            self.waiting -= 1


_SHARED = Threads()


def threads() -> Threads:
    """Those of this process."""
    return _SHARED
