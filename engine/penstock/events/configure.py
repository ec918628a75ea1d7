"""The event log of a process, as the settings want it."""

from __future__ import annotations

from collections.abc import Callable

from penstock.events.journal import Journal, JournalConfig
from penstock.events.no_journal import NoJournal
from penstock.events.reading import log_directory
from penstock.events.store import StoreConfig
from penstock.settings.models import Settings
from penstock_queue.committer import Jobs, QueueThread
from penstock_queue.disk import Disk

Keeper = Journal | NoJournal


def open_journal(
    settings: Settings,
    name: str,
    now: Callable[[], float],
    disk: Disk | None = None,
    jobs: Callable[[str], Jobs] = QueueThread,
) -> Keeper:
    """The log ``name``: the two digits of a worker's first shard, ``supervisor``, ``collector``."""
    events = settings.events
    if not events.enabled:
        return NoJournal()
    store = StoreConfig(
        segment_bytes=events.segment_bytes,
        segment_age_s=events.segment_age_s,
        retention_s=events.retention_s,
        retention_bytes=events.retention_bytes,
        sync_s=events.sync_s,
    )
    config = JournalConfig(events.buffer_bytes_max, store)
    return Journal(log_directory(settings.spool, name), config, now, disk, jobs)
