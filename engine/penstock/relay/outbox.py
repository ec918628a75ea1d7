"""What connections have to write, kept until all of them that have something to do had their turn.

Whoever is written to is woken. Written to one after the other, hosts (on one machine, or behind one
network card) are woken once for all; written to as it comes up, once a message, and each time
costs the writer some microseconds of the kernel's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Outbox:
    """Shared by the connections of one event loop. Holds one entry a connection at most."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held: list[Callable[[], None]] = []

    def put(self, release: Callable[[], None]) -> None:
        """``release()`` is called at the end of this turn of the loop; it raises nothing."""
        if not self._held:
            self._loop.call_soon(self._release)
        self._held.append(release)

    def _release(self) -> None:
        held, self._held = self._held, []
        for release in held:
            release()
