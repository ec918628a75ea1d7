"""What an endpoint has not been given yet since its queue is full: places in the event log.

Beside the place in each log from which to read on there stands how many events were passed over, by
log and segment. So it is known how many wait, and how many are gone when a segment is deleted
before they were fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.events.reading import Position

BEGIN = Position(0, 0)


@dataclass(slots=True)
class Backlog:
    """``positions``: read on from here; ``passed``: log, segment, events of it passed over."""

    positions: dict[str, Position] = field(default_factory=dict)
    passed: dict[str, dict[int, int]] = field(default_factory=dict)

    @property
    def events(self) -> int:
        return sum(sum(segments.values()) for segments in self.passed.values())

    def pass_over(self, log: str, start: Position, upto: Position, events: int) -> None:
        """``events`` events between two places of ``log`` were left there."""
        self.positions.setdefault(log, start)
        if events:
            segment = _segment(start, upto)
            segments = self.passed.setdefault(log, {})
            segments[segment] = segments.get(segment, 0) + events

    def rewind(self, log: str, position: Position) -> None:
        """Read again from ``position``, if that is before what is to be read anyway."""
        self.positions[log] = min(position, self.positions.get(log, position))

    def advance(self, log: str, position: Position, events: int) -> None:
        """``events`` events were fetched, and all before ``position`` has been read."""
        read = _segment(self.positions[log], position)
        self.positions[log] = position
        segments = self.passed.get(log, {})
        for segment in sorted(segments):
            if segment < position.segment:
                del segments[segment]
            elif segment == read:
                segments[segment] = max(0, segments[segment] - events)

    def lose(self, log: str, start: Position) -> int:
        """All of ``log`` before ``start`` is gone: how many events that were passed over."""
        self.positions[log] = start
        segments = self.passed.get(log, {})
        gone = [segment for segment in segments if segment < start.segment]
        return sum(segments.pop(segment) for segment in gone)

    def reached(self, ends: Mapping[str, Position]) -> bool:
        """Whether nothing is left to read before ``ends``."""
        return all(position >= ends.get(log, BEGIN) for log, position in self.positions.items())

    def as_json(self) -> dict[str, Any]:
        return {"positions": self.positions, "passed": self.passed}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Backlog:
        return cls(
            {log: Position(*position) for log, position in value["positions"].items()},
            {
                log: {int(segment): events for segment, events in segments.items()}
                for log, segments in value["passed"].items()
            },
        )


def _segment(start: Position, upto: Position) -> int:
    """The segment of the lines between two places: a place after the last line of one may be
    written as the end of that segment or as the begin of the next."""
    return upto.segment if upto.offset else start.segment
