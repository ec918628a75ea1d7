"""What operators did, and what the engine did by itself, as events: each is written at once."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.events.journal import Recorder
from penstock.events.records import Admin, Policy
from penstock.events.stamps import Stamps


def operator_did(
    events: Recorder,
    action: str,
    selector: Mapping[str, str] | None = None,
    *,
    who: str = "",
    reason: str = "",
    operation: str = "",
) -> None:
    """``action``: the command, such as ``queue.suspend``; ``queue.suspend.ended`` where it ended
    by itself. ``operation``: the number that the command line knows it by."""
    selector = dict(selector or {})
    events.write(
        Admin,
        action=action,
        who=who,
        reason=reason,
        selector=selector,
        operation=operation,
        tenant=selector.get("tenant", ""),
        campaign=selector.get("campaign", ""),
        class_=selector.get("class", ""),
    )
    events.flush()


def engine_did(
    events: Recorder,
    rule: str,
    action: str,
    *,
    where: str = "",
    reason: str = "",
    source: str = "",
    provider: str = "",
    about: str = "",
    until: float = 0.0,
) -> None:
    """``about``: the tenant, or tenant and campaign with a slash between."""
    tenant, _, campaign = about.partition("/")
    events.write(
        Policy,
        rule=rule,
        action=action,
        where=where,
        reason=reason,
        source=source,
        provider=provider,
        until=Stamps().text(until) if until else "",
        tenant=tenant,
        campaign=campaign,
    )
    events.flush()
