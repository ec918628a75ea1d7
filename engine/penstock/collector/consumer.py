"""What is fed with events: one small port, behind which statistics, suppression and webhooks are.

A consumer keeps its own place in each log. That place and whatever it made of the events before it
become durable together at ``flush``; after a failure or a crash the runner asks ``checkpoint`` and
feeds it from there again. So each consumer chooses by itself between exactly once (place and
result in one transaction) and at least once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from penstock.events.reading import Position
from penstock.events.records import AnyEvent

Events = Sequence[tuple[bytes, AnyEvent]]


class Consumer(Protocol):
    """All methods are called in one thread, the consumer's own, and may block; any exception has
    it tried again later, from its checkpoint on."""

    @property
    def name(self) -> str: ...

    def checkpoint(self) -> dict[str, Position]:
        """Where to go on in each log: asked at the start, and again after each failure; whatever
        was taken and not flushed is to be forgotten then, since it comes again. A log that is not
        named is read from its beginning."""
        ...

    def take(self, log: str, events: Events, upto: Position) -> None:
        """The lines of ``log`` with what they say, in order; ``upto`` is where the next begin."""
        ...

    def flush(self) -> dict[str, Position]:
        """Make durable what was taken; the place in each log that holds now. Called every second,
        also when there was nothing to take."""
        ...
