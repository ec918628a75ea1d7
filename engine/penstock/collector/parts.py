"""What the collector is made of: the one place where its consumers and services are put together.

Each part is added by a function of its own, here or in :mod:`penstock.collector.outward`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from penstock.collector import outward
from penstock.collector.guarding import Guarding
from penstock.collector.part import Parts, Surroundings, own_reader
from penstock.collector.providers import Providers
from penstock.collector.reports import Reports
from penstock.collector.resolve import Resolver
from penstock.collector.shown import ShownTenants
from penstock.collector.statistics import FILE, Statistics, StatisticsConfig
from penstock.collector.tls_part import add_tls_reports
from penstock.collector.told import Told
from penstock.collector.written import OwnLog
from penstock.events import records
from penstock.feedback.guards import Trip


def parts_of(around: Surroundings) -> Parts:
    """Everything that the settings ask for. Further consumers, services and methods are added
    here, each by a function of its own."""
    parts = Parts()
    _add_reports(parts, around)
    _add_statistics(parts, around)
    outward.add_suppression(parts, around)
    outward.add_webhooks(parts, around)
    outward.add_sinks(parts, around)
    outward.add_unsubscribe(parts, around)
    add_tls_reports(parts, around)
    return parts


def _add_reports(parts: Parts, around: Surroundings) -> None:
    """Reports of feedback listeners, matched to the mail that they are about."""
    spool = around.settings.spool
    providers = Providers(_listed(around))
    reports = Reports(
        around.keys,
        around.token_days(),
        around.accepted,
        providers.of,
        time.time,
    )
    own = own_reader(around.settings)
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
