"""One endpoint as the consumer of the log sees it: what it wants, and whether there is room.

A line is *in step* while every event goes straight into its queue. When one does not fit, or while
the endpoint is disabled, it is *behind*: events are left in the log, and the places are noted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from penstock.events.reading import Position
from penstock.webhooks.backlog import Backlog
from penstock.webhooks.config import Endpoint
from penstock.webhooks.store import Chunk

Told = tuple[str, bytes]  # when it happened, as the event says it; the event's line


class Line:
    """All of it is used under the store's lock. ``waiting``: events in the queue, or about to be;
    ``dead`` and ``missed``: events given up after the last try, and gone from the log unfetched."""

    def __init__(self, endpoint: Endpoint, since: str) -> None:
        self.endpoint = endpoint
        self._since_first = since
        self.load(None, 0, 0)

    def load(self, kept: Mapping[str, Any] | None, events: int, size: int) -> None:
        """Be as it was kept, ``None``: new, with so many events and bytes in the queue."""
        kept = kept or {}
        self.since: str = kept.get("since", self._since_first)
        self.disabled_s: float = kept.get("disabled_s", 0.0)
        self.disabled_why: str = kept.get("disabled_why", "")
        self.dead: int = kept.get("dead", 0)
        self.missed: int = kept.get("missed", 0)
        backlog = kept.get("backlog")
        self.backlog = Backlog.from_json(backlog) if backlog else None
        self.waiting, self.waiting_bytes = events, size
        self.changed = not kept

    def state(self) -> dict[str, Any]:
        return {
            "since": self.since,
            "disabled_s": self.disabled_s,
            "disabled_why": self.disabled_why,
            "dead": self.dead,
            "missed": self.missed,
            "backlog": self.backlog.as_json() if self.backlog else None,
        }

    @property
    def room_bytes(self) -> int:
        return max(0, self.endpoint.queue_bytes_max - self.waiting_bytes)

    @property
    def refillable(self) -> bool:
        """Whether it is worth while to read the log for it: half of the queue is free."""
        return (
            self.backlog is not None
            and not self.disabled_s
            and 2 * self.waiting_bytes <= self.endpoint.queue_bytes_max
        )

    def disable(self, now: float, why: str, positions: Mapping[str, Position]) -> None:
        self.disabled_s, self.disabled_why = now, why
        self.fall_behind(positions)

    def enable(self) -> None:
        self.disabled_s, self.disabled_why = 0.0, ""
        self.changed = True

    def fall_behind(self, positions: Mapping[str, Position]) -> None:
        """From ``positions`` on events stay in the log."""
        if self.backlog is None:
            self.backlog = Backlog(dict(positions))
        self.changed = True

    def offer(
        self,
        log: str,
        start: Position,
        upto: Position,
        told: Sequence[Told],
        now: float,
        positions: Mapping[str, Position],
    ) -> list[Chunk]:
        """What goes into the queue of the events that stand in ``log`` from ``start`` to ``upto``,
        and were read when all logs had been read up to ``positions``."""
        told = [one for one in told if one[0] >= self.since]
        if self.backlog is None:
            size = sum(len(line) + 1 for _, line in told)
            if size <= self.room_bytes:
                return self.take(told, now)
            self.fall_behind({**positions, log: start})
        assert self.backlog is not None
        if start >= self.backlog.positions.get(log, start):
            self.backlog.pass_over(log, start, upto, len(told))
            self.changed = True
        return []

    def take(self, told: Sequence[Told], now: float) -> list[Chunk]:
        """``told`` as chunks, none larger than a batch; they count as waiting from now on."""
        chunks = list(self._chunks(told, now))
        self.waiting += sum(chunk.events for chunk in chunks)
        self.waiting_bytes += sum(chunk.size for chunk in chunks)
        return chunks

    def gone(self, events: int, size: int) -> None:
        """So much has left the queue."""
        self.waiting = max(0, self.waiting - events)
        self.waiting_bytes = max(0, self.waiting_bytes - size)

    def _chunks(self, told: Sequence[Told], now: float) -> Iterator[Chunk]:
        most, size_max = self.endpoint.batch_events_max, self.endpoint.batch_bytes_max
        start = size = 0
        for number, (_, line) in enumerate(told):
            length = len(line) + 1
            if number > start and (number - start >= most or size + length > size_max):
                yield self._chunk(told[start:number], now)
                start, size = number, 0
            size += length
        if start < len(told):
            yield self._chunk(told[start:], now)

    def _chunk(self, told: Sequence[Told], now: float) -> Chunk:
        lines = b",".join(line for _, line in told)
        return Chunk(self.endpoint.name, len(told), seconds_of(told[0][0], now), now, lines)


def seconds_of(at: str, now: float) -> float:
    """The time that an event gives, in seconds; ``now`` for one that cannot be read."""
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return now
