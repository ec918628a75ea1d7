"""Reads the event logs and keeps the list by them: one of the collector's consumers.

The entries that follow from a batch of events and the place in the log up to which it reaches are
one transaction, so that every event counts exactly once whatever dies when; that matters for full
mailboxes, which are counted. A batch that changes something is written before :meth:`take` returns,
and from then on every process sees it. A batch that changes nothing only moves the place, which
:meth:`flush` writes down: to read such events again does no harm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from penstock.events.reading import Position
from penstock.events.records import Admin, AnyEvent, Bounced, Delivered, Expired
from penstock.suppression.decide import (
    SuppressionRules,
    entries_of,
    full_entry,
    is_full,
    is_room,
    seconds,
)
from penstock.suppression.entry import Entry
from penstock.suppression.writer import Change, SuppressionWriter

log = structlog.get_logger("penstock.suppression")
Write = Callable[..., str]  # Journal.write: the type of event, then its fields
PURGE_S = 60.0
PURGE_KEYS = 2000  # in ten million that is a round in three and a half days
NOTES_AT_ONCE = 100


class SuppressionConsumer:
    """``write``: makes events of what operators noted, in the collector's own log. ``now``: seconds
    since the epoch. Not for several threads at once."""

    name = "suppression"

    def __init__(
        self,
        writer: SuppressionWriter,
        rules: SuppressionRules,
        write: Write | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._writer, self.rules, self._write, self._now = writer, rules, write, now
        self._at = {log: Position(*at) for log, at in writer.checkpoints().items()}
        self._written = dict(self._at)
        self._purged = now()
        self.added = self.unreadable = 0  # entries; events whose recipient is no address

    def take(
        self, log: str, events: Sequence[tuple[bytes, AnyEvent]], upto: tuple[int, int]
    ) -> None:
        """Raises ``SuppressionFull`` where there is no room: nothing of the batch counted then, and
        it has to come again."""
        position = Position(*upto)
        told = [event for _, event in events]
        relevant = [event for event in told if self._counts(event) or entries_of(event, self.rules)]
        roomy = self._roomy(told)
        if relevant or roomy:
            with self._writer.change() as change:
                for event in told if roomy else relevant:
                    self._apply(change, event, roomy)
                change.checkpoint(log, position)
            self._written[log] = position
        self._at[log] = position

    def flush(self) -> dict[str, Position]:
        """Also makes events of notes, and from time to time takes out what has expired."""
        moved = {log: at for log, at in self._at.items() if self._written.get(log) != at}
        notes = self._writer.notes(NOTES_AT_ONCE) if self._write is not None else []
        now = self._now()
        purge = now - self._purged >= PURGE_S
        for _, note in notes:
            self._tell(note)
        if moved or notes or purge:
            with self._writer.change() as change:
                for name, at in moved.items():
                    change.checkpoint(name, at)
                change.told(number for number, _ in notes)
                if purge:
                    change.purge(now, PURGE_KEYS, self.rules.full_mailbox_days)
            self._written.update(moved)
            if purge:
                self._purged = now
                self._writer.store.environment.reader_check()
        return dict(self._written)

    def checkpoint(self) -> dict[str, Position]:
        """Up to where each log has been read. Asked at the start and after each trouble: what comes
        then comes from there."""
        self._at = dict(self._written)
        return dict(self._written)

    def _counts(self, event: AnyEvent) -> bool:
        return self.rules.full_mailbox_times > 0 and is_full(event)

    def _roomy(self, events: Sequence[AnyEvent]) -> set[tuple[str, str]]:
        """Of the addresses that took mail those for which full mailboxes are being counted, or will
        be by this batch."""
        delivered = {
            (event.recipient, event.tenant) for event in events if isinstance(event, Delivered)
        }
        if not delivered:
            return set()
        full = {
            (event.recipient, event.tenant)
            for event in events
            if isinstance(event, Bounced | Expired) and self._counts(event)
        }
        return (delivered & full) | self._writer.counted_among(delivered)

    def _apply(self, change: Change, event: AnyEvent, roomy: set[tuple[str, str]]) -> None:
        try:
            for entry in entries_of(event, self.rules):
                self._put(change, entry)
            if is_room(event):
                assert isinstance(event, Delivered)
                if (event.recipient, event.tenant) in roomy:
                    change.not_full(event.recipient, event.tenant)
            elif self._counts(event):
                self._count_full(change, event)
        except ValueError as error:  # of a redacted report, or of a log that nobody should edit
            self.unreadable += 1
            log.warning("nothing can be suppressed by this event", id=event.id, error=str(error))

    def _count_full(self, change: Change, event: Any) -> None:
        rules = self.rules
        if change.bounced_full(
            event.recipient,
            event.tenant,
            seconds(event.at),
            rules.full_mailbox_times,
            rules.full_mailbox_days,
        ):
            self._put(change, full_entry(event, rules))

    def _put(self, change: Change, entry: Entry) -> None:
        self.added += change.put(entry)

    def _tell(self, note: dict[str, Any]) -> None:
        assert self._write is not None
        self._write(
            Admin,
            id=note["id"],
            action=note.get("action", ""),
            who=note.get("who", ""),
            reason=note.get("reason", ""),
            tenant=note.get("tenant", ""),
            selector={name: str(value) for name, value in note.get("selector", {}).items()},
        )
