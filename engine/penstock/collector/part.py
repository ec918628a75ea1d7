"""What parts of the collector are made from, and what they are.

A *consumer* is fed with all events in a thread of its own. A *service* runs in the event loop until
it is cancelled; one that fails is started again. A *method* answers ``penstock`` through the
supervisor, every one by what stands before its first dot.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.collector.consumer import Consumer
from penstock.collector.written import OwnLog
from penstock.events import records
from penstock.events.configure import open_journal
from penstock.events.metrics import Registry
from penstock.events.reading import LogReader, log_directories, log_directory
from penstock.mail.envelope import SEQUENCE_BITS
from penstock.mail.verp import BOUNCE, COMPLAINT, UNSUBSCRIBE, TokenKeys
from penstock.policy.policies import Policies
from penstock.settings.models import Settings
from penstock.settings.token_keys import load_token_keys

OWN_LOG = "collector"
Service = Callable[[], Awaitable[None]]
Method = Callable[[str, Any], Any]


@dataclass
class Surroundings:
    """What parts are made of. ``ask`` the supervisor, from any thread but that of the loop, and
    wait for its answer."""

    settings: Settings
    policies: Policies
    registry: Registry
    own_log: OwnLog
    sockets: Mapping[str, int]
    ask: Callable[[str, Any], Any]
    token_keys: TokenKeys | None = None

    def keys(self) -> TokenKeys | None:
        """Those that sign what comes back; ``None`` where there are none."""
        return self.token_keys

    def token_days(self) -> dict[str, float]:
        """How long a token is good, by its purpose."""
        feedback = self.settings.feedback
        return {
            BOUNCE: feedback.bounce_days,
            COMPLAINT: feedback.complaint_days,
            UNSUBSCRIBE: feedback.unsubscribe_days,
        }

    def accepted(self, ref: int) -> records.Accepted | None:
        """The record of the message that ``ref`` is a recipient of; blocking."""
        return accepted(self.settings.spool, ref)


@dataclass
class Parts:
    consumers: list[Consumer] = field(default_factory=list)
    services: dict[str, Service] = field(default_factory=dict)
    methods: dict[str, Method] = field(default_factory=dict)
    on_reload: list[Callable[[Policies], None]] = field(default_factory=list)
    closing: list[Callable[[], None]] = field(default_factory=list)


def open_own_log(settings: Settings) -> OwnLog:
    return OwnLog(open_journal(settings, OWN_LOG, time.time))


def own_reader(settings: Settings) -> LogReader:
    return LogReader(log_directory(settings.spool, OWN_LOG))


def keys_of(settings: Settings) -> TokenKeys | None:
    """As the file has them now; raises ``OSError`` and ``ValueError``."""
    return load_token_keys(settings.feedback.keys) if settings.feedback.keys else None


def accepted(spool: str, ref: int) -> records.Accepted | None:
    """The record of the message that ``ref`` is a recipient of: in the log of its shard, or in that
    of a worker that had the shard besides its own."""
    directories = log_directories(spool)
    directories.pop(OWN_LOG, None)
    own = f"{ref >> SEQUENCE_BITS:02d}"
    for name in sorted(directories, key=lambda name: name != own):
        with contextlib.closing(LogReader(directories[name])) as reader:
            found = reader.accepted(ref)
        if found is not None:
            return found
    return None
