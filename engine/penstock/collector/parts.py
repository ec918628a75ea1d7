"""What the collector is made of: the one place where its consumers and services are put together.

A *consumer* is fed with all events in a thread of its own. A *service* runs in the event loop until
it is cancelled; one that fails is started again. A *method* answers ``penstock`` through the
supervisor: ``stats`` by name, or every ``prefix.…`` by what stands before the dot. ``sockets`` are
those that the supervisor bound for us, by name, as descriptors.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from penstock.collector.consumer import Consumer
from penstock.collector.guarding import Guarding
from penstock.collector.providers import Providers
from penstock.collector.reports import Reports
from penstock.collector.resolve import Resolver
from penstock.collector.shown import ShownTenants
from penstock.collector.statistics import FILE, Statistics, StatisticsConfig
from penstock.collector.told import Told
from penstock.collector.written import OwnLog
from penstock.events import records
from penstock.events.journal import Journal, JournalConfig
from penstock.events.metrics import Registry
from penstock.events.reading import LogReader, log_directories
from penstock.feedback.guards import Trip
from penstock.mail.envelope import SEQUENCE_BITS
from penstock.mail.verp import TokenKeys
from penstock.policy.policies import Policies
from penstock.settings.models import Settings

OWN_LOG = "collector"
_TOKEN_AGES_DAYS = {"b": 30.0, "c": 180.0, "u": 400.0}
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


@dataclass
class Parts:
    consumers: list[Consumer] = field(default_factory=list)
    services: dict[str, Service] = field(default_factory=dict)
    methods: dict[str, Method] = field(default_factory=dict)
    on_reload: list[Callable[[Policies], None]] = field(default_factory=list)
    closing: list[Callable[[], None]] = field(default_factory=list)


def parts_of(around: Surroundings) -> Parts:
    """Everything that the settings ask for. Further consumers, services and methods are added
    here, each by a function of its own."""
    parts = Parts()
    _add_reports(parts, around)
    _add_statistics(parts, around)
    return parts


def open_own_log(settings: Settings) -> OwnLog:
    directory = os.path.join(settings.spool, "events", OWN_LOG)
    return OwnLog(Journal(directory, JournalConfig(), time.time))


def _add_reports(parts: Parts, around: Surroundings) -> None:
    """Reports of feedback listeners, matched to the mail that they are about."""
    spool = around.settings.spool
    providers = Providers(_listed(around))
    reports = Reports(
        lambda: _token_keys(around.settings),
        _TOKEN_AGES_DAYS,
        lambda ref: accepted(spool, ref),
        providers.of,
        time.time,
    )
    own = LogReader(os.path.join(spool, "events", OWN_LOG))
    path = os.path.join(spool, "events", "reports.json")
    parts.consumers.append(Resolver(path, reports, around.own_log, own, providers, around.registry))


def _add_statistics(parts: Parts, around: Surroundings) -> None:
    """Counters, guards, and the metrics of the largest tenants."""
    settings, registry = around.settings.statistics, around.registry
    guarding = Guarding(
        around.policies.guards,
        registry,
        lambda id_, trip: _tell(around.own_log, id_, trip),
        lambda trip: _pause(around.ask, trip),
        settings.guarded_max,
    )
    path = os.path.join(around.settings.spool, FILE)
    statistics = Statistics(
        StatisticsConfig(path, settings.keep, settings.rows_max),
        Providers(_listed(around)),
        guarding,
        ShownTenants(registry, settings.tenants_shown),
        registry,
    )
    told = Told(path)
    parts.consumers.append(statistics)
    parts.methods["stats"] = lambda method, params: told.stats(params)
    parts.methods["guards"] = lambda method, params: told.guards(params)
    parts.on_reload.append(lambda policies: guarding.change(policies.guards))
    parts.closing.append(statistics.close)


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


def _token_keys(settings: Settings) -> TokenKeys | None:
    """The keys that sign what comes back; ``None`` where there are none."""
    return None


def _listed(around: Surroundings) -> Callable[[str], str]:
    return lambda domain: around.policies.provider_of(domain, ())


def _tell(own_log: OwnLog, id_: str, trip: Trip) -> None:
    until = datetime.fromtimestamp(trip.until, UTC).isoformat(timespec="milliseconds")
    own_log.write(
        records.Policy,
        id=id_,
        rule=f"guard {trip.guard}",
        action=trip.action,
        where=trip.where,
        reason=trip.reason,
        until=until.replace("+00:00", "Z") if trip.until else "",
        tenant=trip.sender.tenant,
        campaign=trip.sender.campaign,
    )
    own_log.sync()


def _pause(ask: Callable[[str, Any], Any], trip: Trip) -> None:
    ask(
        "guard.pause",
        {
            "selector": trip.selector(),
            "until": trip.until,
            "who": f"guard {trip.guard}",
            "reason": f"{trip.reason} ({trip.where})",
        },
    )
