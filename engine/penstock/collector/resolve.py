"""Reports become events in the collector's own log, each exactly once.

The id of an event that a report tells is made of the report's id. With the places up to which
reports were read, the place where our own log ended at that moment is kept; whoever goes on from
there looks first which ids stand behind it, and writes those not again. So it does not matter
between which two steps a process dies.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import structlog

from penstock.collector.consumer import Events
from penstock.collector.providers import Providers
from penstock.collector.reports import Reports
from penstock.events import records
from penstock.events.metrics import Registry
from penstock.events.reading import LogReader, Position
from penstock.events.records import Event, Reported
from penstock.whole_file import read_whole, write_whole

log = structlog.get_logger("penstock.reports")
_READ_BYTES = 1 << 20
_KEEP_S = 10.0
_RESULT: dict[type[Event], str] = {
    records.Bounced: "bounced",
    records.Complained: "complained",
    records.Unsubscribed: "unsubscribed",
    records.AutoReplied: "auto-replied",
}


class Writing(Protocol):
    """Our own log; see :class:`penstock.collector.written.OwnLog`."""

    def write(self, make: type[Event], **fields: Any) -> str: ...
    def flush(self) -> None: ...
    def sync(self) -> None: ...


class _Id(msgspec.Struct):
    id: str


class Resolver:
    """The consumer ``reports``. ``path``: where the places are kept; ``own``: a reader of the log
    that ``journal`` writes."""

    name = "reports"

    def __init__(
        self,
        path: str,
        reports: Reports,
        journal: Writing,
        own: LogReader,
        providers: Providers,
        registry: Registry,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._reports, self._journal, self._own = path, reports, journal, own
        self._providers, self._monotonic = providers, monotonic
        self._positions: dict[str, Position] = {}
        self._kept: dict[str, Position] = {}
        self._kept_at = float("-inf")
        self._told: set[str] = set()  # behind the place of our own log that is kept
        self._reported = False
        self._resolved = registry.counter("penstock_reports_resolved_total")
        self._unmatched = registry.counter("penstock_reports_unmatched_total")

    def checkpoint(self) -> dict[str, Position]:
        self._journal.flush()
        found = read_whole(self._path) or {"places": {}, "own": None}
        self._kept = {name: Position(*place) for name, place in found["places"].items()}
        self._positions = dict(self._kept)
        self._told = self._ids(Position(*found["own"]) if found["own"] else self._own.start())
        self._reported = False
        return dict(self._positions)

    def take(self, log: str, events: Events, upto: Position) -> None:
        for _, event in events:
            if isinstance(event, Reported):
                self._reported = True
                self._resolve(event)
            else:
                self._providers.learn(event)
        self._positions[log] = upto

    def flush(self) -> dict[str, Position]:
        now = self._monotonic()
        moved = self._positions != self._kept
        if self._reported or (moved and now - self._kept_at >= _KEEP_S):
            if self._reported:
                self._journal.sync()
            places = {name: list(place) for name, place in self._positions.items()}
            write_whole(self._path, {"places": places, "own": list(self._own.end())})
            self._kept, self._kept_at = dict(self._positions), now
            self._told.clear()
            self._reported = False
        return dict(self._kept)

    # inside

    def _resolve(self, event: Reported) -> None:
        found = self._reports.resolve(event)
        for number, told in enumerate(found.told):
            id_ = f"{event.id}-{number}"
            if id_ in self._told:
                continue
            self._journal.write(told.make, id=id_, **told.fields)
            self._told.add(id_)
            self._resolved.inc((_RESULT[told.make],))
        if found.ignored:
            self._resolved.inc(("ignored",), found.ignored)
        if found.unmatched:
            self._unmatched.inc((found.unmatched,))
            log.info("report not matched", report=event.id, role=event.role, reason=found.unmatched)

    def _ids(self, position: Position) -> set[str]:
        """Those of the events in our own log from ``position`` on."""
        decode = msgspec.json.Decoder(_Id).decode
        found: set[str] = set()
        while True:
            lines, position = self._own.read(position, _READ_BYTES)
            if not lines:
                return found
            for line in lines:
                try:
                    found.add(decode(line).id)
                except msgspec.MsgspecError:
                    continue
