"""Reading again for an endpoint that is behind, from the event log into its queue.

Blocks; runs in a thread, a bounded piece at a time, so that one endpoint far behind does not keep
the others waiting. It never reads further than the consumer of the log has come, and where that
cannot be helped (a piece ends where it ends) an event may be told twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from penstock.events.reading import Position
from penstock.webhooks.backlog import BEGIN
from penstock.webhooks.consumer import Queues, moment
from penstock.webhooks.line import Line, Told
from penstock.webhooks.ports import Reader, Readers
from penstock.webhooks.wanted import read_head, wants

PIECE_BYTES = 256 << 10
_log = structlog.get_logger("penstock.webhooks")


class Refill:
    """``on_missed`` is told of events that an endpoint missed, since the log keeps them no more."""

    def __init__(
        self, queues: Queues, readers: Readers, on_missed: Callable[[str, int], None]
    ) -> None:
        self._queues = queues
        self._readers = readers
        self._on_missed = on_missed

    def piece(self, line: Line) -> bool:
        """Read one piece of one log for ``line``; whether that changed anything."""
        with self._queues.lock:
            if not line.refillable:
                return False
            assert line.backlog is not None
            if line.backlog.reached(self._queues.positions):
                self._caught_up(line)
                return True
            log, position, goal = self._next(line)
        reader = self._readers().get(log)
        if reader is None:
            return self._without_log(line, log, goal)
        start = reader.start()
        if position < start:
            self._lost(line, log, position, start)
            return True
        room = goal.offset - position.offset if goal.segment == position.segment else PIECE_BYTES
        lines, after = reader.read(position, max(1, min(PIECE_BYTES, room)))
        return self._add(line, log, position, lines, after)

    def _next(self, line: Line) -> tuple[str, Position, Position]:
        assert line.backlog is not None
        for log, position in line.backlog.positions.items():
            goal = self._queues.positions.get(log, BEGIN)
            if position < goal:
                return log, position, goal
        raise AssertionError("nothing is left to read")

    def _add(
        self, line: Line, log: str, before: Position, lines: list[bytes], after: Position
    ) -> bool:
        told: list[Told] = []
        for text in lines:
            head = read_head(text)
            if head is not None and wants(line.endpoint, head, line.since):
                told.append((head.at, text))
        with self._queues.lock:
            backlog = line.backlog
            if backlog is None or backlog.positions.get(log) != before or line.disabled_s:
                return True  # a replay was ordered meanwhile, or the endpoint went away
            if after <= before:
                return False  # nothing to be had at the moment
            backlog.advance(log, after, len(told))
            self._queues.add(line, told)
            if backlog.reached(self._queues.positions):
                self._caught_up(line)
        return True

    def _caught_up(self, line: Line) -> None:
        line.backlog = None
        self._queues.keep(line)
        _log.info("webhook has caught up with the log", webhook=line.endpoint.name)

    def _lost(self, line: Line, log: str, before: Position, start: Position) -> None:
        with self._queues.lock:
            if line.backlog is None or line.backlog.positions.get(log) != before:
                return
            missed = line.backlog.lose(log, start)
            line.missed += missed
            self._queues.keep(line)
        if missed:
            self._on_missed(line.endpoint.name, missed)
            _log.error(
                "webhook missed events that the log keeps no more",
                webhook=line.endpoint.name,
                log=log,
                events=missed,
            )

    def _without_log(self, line: Line, log: str, goal: Position) -> bool:
        """The whole log was removed."""
        with self._queues.lock:
            before = line.backlog.positions[log] if line.backlog else goal
        self._lost(line, log, before, Position(goal.segment + 1, 0))
        return True


def rewind(queues: Queues, line: Line, readers: Mapping[str, Reader], since_s: float) -> None:
    """Have ``line`` told everything again from ``since_s`` on."""
    places = {log: reader.at(since_s) for log, reader in readers.items()}
    with queues.lock:
        line.fall_behind(queues.positions)
        assert line.backlog is not None
        for log, place in places.items():
            line.backlog.rewind(log, place)
        line.since = min(line.since, moment(since_s))
        queues.keep(line)
