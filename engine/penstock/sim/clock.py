"""Virtual time: a clock that is moved by hand, and an event loop whose clock jumps.

The loop is the stock asyncio loop over a selector that never sleeps: when nothing is ready it adds
the timeout that it was asked to wait to its own ``now``, and returns. ``asyncio.timeout``,
TaskGroup and sleeps then run in virtual time: days pass in milliseconds, and every run of one seed
is the same. When nothing is ready and nothing will ever be due, all tasks wait for each other, and
the loop says so instead of hanging.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class VirtualClock:
    """Callable like ``time.time``: seconds, moved by hand and forwards only."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> float:
        """Move on by ``seconds`` and return the time then."""
        if seconds < 0:
            raise ValueError("time does not run backwards")
        self.now += seconds
        return self.now


class Deadlock(RuntimeError):
    """Every task waits, and no timer is left that could wake one."""


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise Deadlock("all tasks wait and no timer is left")
        self._clock.advance(max(timeout, 0.0))
        return []


class JumpingLoop(asyncio.SelectorEventLoop):
    """``clock`` is the time of this loop; hand it to what asks for a clock. No threads: what they
    do is not seen by the selector, so their time does not pass."""

    def __init__(self, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock()
        super().__init__(_JumpingSelector(self.clock))

    def time(self) -> float:
        return self.clock()


def run_virtual(main: Coroutine[Any, Any, _T], clock: VirtualClock | None = None) -> _T:
    """Run ``main`` to its end in virtual time; raises :class:`Deadlock` where it cannot end."""
    with asyncio.Runner(loop_factory=lambda: JumpingLoop(clock)) as runner:
        return runner.run(main)
