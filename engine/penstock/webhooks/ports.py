"""What the room needs of others: the event log, to read again what a queue had no room for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from penstock.events.reading import Position


class Reader(Protocol):
    """One log. All of it blocks, and is called in a thread."""

    def read(self, position: Position, bytes_max: int) -> tuple[list[bytes], Position]:
        """Whole lines from ``position``, without newlines, and where to go on; none at the end."""
        ...

    def start(self) -> Position:
        """The first that is still kept."""
        ...

    def at(self, time_s: float) -> Position:
        """Where the events of that time begin."""
        ...


Readers = Callable[[], Mapping[str, Reader]]  # the logs there are now, by name
Resolve = Callable[[str], Awaitable[Sequence[str]]]  # the addresses of a host; OSError: none
