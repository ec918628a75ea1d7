"""All logs of a spool, as batches of events.

Every consumer reads at its own pace, so that none waits for another and there is no queue between
them that could grow. Those that keep up read the same lines within moments: the last batches are
kept, so that most lines are read and decoded once for all.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from penstock.collector.consumer import Events
from penstock.events.reading import LogReader, Position, log_directories
from penstock.events.records import AnyEvent

_SEGMENT_BYTES = 64 << 20  # as the journal begins a new one, if it has no other reason


class Batch(NamedTuple):
    """``unreadable``: lines that are none of our events, and were left out; ``full``: there was as
    much as is read at a time, and there is likely more."""

    events: Events
    upto: Position
    unreadable: int
    full: bool = False


class Logs:
    """Shared by the threads of all consumers."""

    def __init__(self, spool: str, batch_bytes: int, batches_kept: int) -> None:
        self._spool = spool
        self._batch_bytes, self._batches_kept = batch_bytes, batches_kept
        self._decode = msgspec.json.Decoder(AnyEvent).decode
        self._batches: OrderedDict[tuple[str, Position], Batch] = OrderedDict()
        self._lock = threading.Lock()
        self.unreadable = 0

    @property
    def kept(self) -> int:
        return len(self._batches)

    def directories(self) -> dict[str, str]:
        """The directory of each log that there is now."""
        return log_directories(self._spool)

    def batch(self, log: str, position: Position, reader: LogReader) -> Batch | None:
        """What follows in ``log``, read by ``reader`` if nobody did yet; ``None`` at its end."""
        key = (log, position)
        with self._lock:  # who comes at the same moment waits, rather than decode it all again
            found = self._batches.get(key)
            if found is not None:
                return found
            lines, upto = reader.read(position, self._batch_bytes)
            if not lines:
                return None
            batch = self._batches[key] = self._decoded(lines, upto)
            self.unreadable += batch.unreadable
            while len(self._batches) > self._batches_kept:
                self._batches.popitem(last=False)
        return batch

    def _decoded(self, lines: list[bytes], upto: Position) -> Batch:
        events: list[tuple[bytes, AnyEvent]] = []
        decode = self._decode
        for line in lines:
            try:
                events.append((line, decode(line)))
            except msgspec.MsgspecError:  # of a later release, or damaged: others are not held up
                continue
        full = sum(map(len, lines)) >= self._batch_bytes // 2
        return Batch(events, upto, len(lines) - len(events), full)


class Place:
    """One consumer's way through all logs; of one thread."""

    def __init__(self, logs: Logs, open_reader: Callable[[str], LogReader] = LogReader) -> None:
        self._logs, self._open = logs, open_reader
        self._readers: dict[str, LogReader] = {}
        self.positions: dict[str, Position] = {}

    def begin(self, positions: dict[str, Position]) -> None:
        self.positions = dict(positions)

    def look(self) -> None:
        """Find logs that are new."""
        for log, directory in self._logs.directories().items():
            if log not in self._readers:
                self._readers[log] = self._open(directory)
            if log not in self.positions:
                self.positions[log] = self._readers[log].start()

    @property
    def names(self) -> list[str]:
        return list(self._readers)

    def next(self, log: str) -> Batch | None:
        return self._logs.batch(log, self.positions[log], self._readers[log])

    def bytes_behind(self) -> int:
        """How much there is that was not read, of all logs; roughly where whole segments lie
        between."""
        return sum(self._behind(log) for log in self._readers)

    def _behind(self, log: str) -> int:
        position, end = self.positions[log], self._readers[log].end()
        between = (end.segment - position.segment) * _SEGMENT_BYTES
        return max(0, between + end.offset - position.offset)
