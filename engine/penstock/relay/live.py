"""What goes on right now, by provider and source: one worker's rows of the live view."""

from __future__ import annotations

from typing import Any

from penstock.events.pulse import Pulse
from penstock.policy.caps import Cap
from penstock.policy.rate import Rate
from penstock.relay.census import Census
from penstock.relay.dispatch import Dispatcher
from penstock.relay.site import Site

ROWS_MAX = 500
_IDLE: dict[str, Any] = {
    "queued": 0,
    "ready": 0,
    "in_flight": 0,
    "delivered_60": 0,
    "deferred_60": 0,
    "bounced_60": 0,
    "rate_per_s": 0.0,
    "limit_per_s": None,
    "limit_where": "",
    "replies": [],
}


def live_rows(
    dispatcher: Dispatcher, census: Census, pulse: Pulse, now: float
) -> list[dict[str, Any]]:
    """One row for each provider and source that has mail, or had some in the last minute; the
    fullest first, a bounded number. ``limit_per_s`` is the message rate that binds all of it,
    0.0 while its pace lets nothing go."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}

    def row(provider: str, source: str) -> dict[str, Any]:
        key = provider, source
        return rows.setdefault(key, {"provider": provider, "source": source, **_IDLE})

    for (provider, source), queued in census.queued.items():
        row(provider, source)["queued"] += queued
    for site in dispatcher.placing.sites.values():
        one = row(site.provider, site.source)
        one["ready"] += len(site.ready)
        one["in_flight"] += sum(feed.busy_since > 0 for feed in site.feeds)
        _limit(one, site)
    for told in pulse.snapshot(now):
        row(told["provider"], told["source"]).update(told)
    for (provider, source), one in rows.items():
        paced = dispatcher.paces.rate_per_s(source, provider)
        if paced is not None and (one["limit_per_s"] is None or paced[0] < one["limit_per_s"]):
            one["limit_per_s"], one["limit_where"] = paced[0], f"pace: {paced[1]}"
    ordered = sorted(rows.values(), key=lambda one: (-one["queued"], -one["ready"]))
    return ordered[:ROWS_MAX]


def _limit(row: dict[str, Any], site: Site) -> None:
    """The lowest of the rates that hold for the provider or the source as a whole; of a site's own
    where there is nothing above it."""
    for cap in site.caps:
        if cap.field == "message_rate" and isinstance(cap.value, Rate) and _counts(cap, row):
            per_s = cap.value.per_s
            if row["limit_per_s"] is None or per_s < row["limit_per_s"]:
                row["limit_per_s"], row["limit_where"] = per_s, str(cap.where)


def _counts(cap: Cap, row: dict[str, Any]) -> bool:
    return cap.level in ("provider", "source") or bool(row["provider"])
