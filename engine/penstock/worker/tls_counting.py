"""What a worker counts of TLS for the reports that the collector sends, and how full its tables
are."""

from __future__ import annotations

import asyncio

from penstock.events.journal import Recorder
from penstock.events.metrics import Registry
from penstock.relay.tls_finding import TlsFinding
from penstock.relay.tls_seen import TlsCounts
from penstock.settings.models import Settings
from penstock.worker.resolving import Resolving


class NoCounts(TlsCounts):
    """Where no reports are sent."""

    def seen(self, finding: TlsFinding) -> None:
        """Nobody wants to know."""


def tls_counts(settings: Settings, recorder: Recorder) -> TlsCounts:
    """Made inside the running loop."""
    now = asyncio.get_running_loop().time
    report = settings.tls_report
    if report is None or not settings.events.enabled:
        return NoCounts(recorder.write, now)
    return TlsCounts(recorder.write, now, report.flush_s, report.seen_max)


class TlsFigures:
    """Read when somebody asks for the metrics."""

    def __init__(self, registry: Registry, counts: TlsCounts, resolving: Resolving) -> None:
        rows = registry.gauge("penstock_tls_seen_rows")
        answers = registry.gauge("penstock_dane_answers")
        registry.on_snapshot(lambda: rows.set(len(counts)))
        registry.on_snapshot(lambda: answers.set(resolving.answers))
