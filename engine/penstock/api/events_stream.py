"""Server-sent events (the HTML standard, 9.2): one client's stream, and how many there are.

A stream reads the logs as fast as its client does and keeps nothing but one batch, so a slow client
costs no memory: it is behind, as its cursor says. Streams end when the process stops; clients come
again with the last id they saw.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from penstock.api.problem import Problem
from penstock.api.threads import threads
from penstock.events.tail import Found, Tail
from penstock.events.telling import read

POLL_S, HEARTBEAT_S = 0.5, 15.0
BATCH_EVENTS, BATCH_BYTES, READ_BYTES = 1000, 256 << 10, 8 << 20
_LOOK_FOR_LOGS = 20  # polls
_RETRY = b"retry: 2000\n\n"
_HEARTBEAT = b": still here\n\n"


class Streams:
    """Those of one process."""

    def __init__(self) -> None:
        self.seats_max = 0
        self._seats: set[Seat] = set()
        self.closing = asyncio.Event()

    @property
    def open(self) -> int:
        return len(self._seats)

    def take_seat(self) -> Seat:
        """Raises a 503 where all are taken."""
        if self.closing.is_set() or len(self._seats) >= self.seats_max:
            raise Problem(
                503,
                "unavailable",
                f"There are {len(self._seats)} streams of events here, and no more than "
                f"{self.seats_max} (events.streams_max).",
                headers={"Retry-After": "10"},
            )
        seat = Seat(self)
        self._seats.add(seat)
        return seat

    def leave(self, seat: Seat) -> None:
        self._seats.discard(seat)


class Seat:
    def __init__(self, streams: Streams) -> None:
        self.closing = streams.closing
        self._streams = streams

    def leave(self) -> None:
        self._streams.leave(self)


_SHARED = Streams()


def streams(seats_max: int = 0) -> Streams:
    """Those of this process, of which there may be ``seats_max``."""
    _SHARED.seats_max = seats_max or _SHARED.seats_max
    return _SHARED


class EventStream:
    """One client's, who has ``seat``."""

    def __init__(self, tail: Tail, wanted: Callable[[bytes], bool], seat: Seat) -> None:
        self._tail, self._wanted, self._seat = tail, wanted, seat

    async def run(self) -> AsyncIterator[bytes]:
        try:
            yield _RETRY
            async for piece in self._pieces():
                yield piece
        finally:
            self._seat.leave()
            self._tail.close()

    async def _pieces(self) -> AsyncIterator[bytes]:
        quiet, polls, closing = 0.0, 0, self._seat.closing
        while not closing.is_set():
            taken = await threads().run(
                self._tail.take, self._wanted, BATCH_EVENTS, BATCH_BYTES, READ_BYTES
            )
            if taken.found:
                quiet = 0.0
                yield b"".join(map(framed, taken.found))
            if not taken.end:
                continue
            if quiet >= HEARTBEAT_S:
                quiet = 0.0
                yield _HEARTBEAT
            polls += 1
            if polls % _LOOK_FOR_LOGS == 0:
                await threads().run(self._tail.look)
            try:
                await asyncio.wait_for(closing.wait(), POLL_S)
            except TimeoutError:
                quiet += POLL_S


def framed(found: Found) -> bytes:
    """A log's line is JSON without line ends, so it is one line of data."""
    event = read(found.line)
    kind = str(event["type"]) if event else "message"
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (
        found.cursor.encode(),
        kind.encode(),
        found.line,
    )
