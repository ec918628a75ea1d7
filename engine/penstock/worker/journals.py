"""The event log of a process, as the settings want it, and how mail is described in it."""

from __future__ import annotations

from collections.abc import Callable

from penstock.events.journal import Journal, JournalConfig, NoJournal
from penstock.events.reading import log_directory
from penstock.events.store import StoreConfig
from penstock.mail.envelope import Envelope
from penstock.policy.policies import Policies
from penstock.settings.models import Settings
from penstock_queue.committer import Jobs, QueueThread
from penstock_queue.disk import Disk

_KNOWN_MAX = 10_000
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


class Sent:
    """The class and the pool that a message goes by, as the policies of now say."""

    def __init__(self, policies: Callable[[], Policies]) -> None:
        self._policies = policies
        self._of: Policies | None = None
        self._known: dict[tuple[str, str, str], tuple[str, str]] = {}

    def __call__(self, envelope: Envelope) -> tuple[str, str]:
        policies = self._policies()
        if policies is not self._of or len(self._known) >= _KNOWN_MAX:
            self._of = policies
            self._known.clear()
        key = envelope.tenant, envelope.class_, envelope.pool
        found = self._known.get(key)
        if found is None:
            class_ = policies.resolve_class(envelope.tenant, envelope.class_)[0]
            pool = policies.resolve_pool(envelope.tenant, class_, envelope.pool)[0]
            found = self._known[key] = class_, pool
        return found
