"""``tenants.toml`` as classes, tenants and campaigns, with what contradicts in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from penstock.policy.feedback import FEEDBACK_FIELDS, Feedback
from penstock.policy.load_sources import Egress
from penstock.policy.merge import place_of, places_of
from penstock.policy.problem import Path, quoted, suggestion
from penstock.policy.tenant_models import (
    CampaignTable,
    ClassTable,
    TenantsFile,
    TenantTable,
)
from penstock.policy.tenants import BUILT_IN_CLASSES, Campaign, MailClass, Tenant
from penstock.policy.validation import Checked

_OWN = ("weight", "message_rate", "byte_rate", "connections", "window")


@dataclass(frozen=True, slots=True)
class Senders:
    """What ``tenants.toml`` says."""

    tenants: Mapping[str, Tenant] = field(default_factory=lambda: MappingProxyType({}))
    classes: Mapping[str, MailClass] = field(default_factory=lambda: BUILT_IN_CLASSES)


def load_senders(checked: Checked[TenantsFile], egress: Egress) -> Senders:
    """``egress`` knows the pools that a tenant or class may name."""
    if checked.value is None:
        return Senders()
    classes = {
        name: _class(built_in, checked.value.class_.get(name), checked)
        for name, built_in in BUILT_IN_CLASSES.items()
    }
    tenants = {name: _tenant(name, t, checked) for name, t in checked.value.tenant.items()}
    _check_floors(classes, checked)
    for name, of_class in classes.items():
        _check_pool(("class", name, "pool"), of_class.pool, egress, checked)
    for name, tenant in tenants.items():
        _check_pool(("tenant", name, "pool"), tenant.pool, egress, checked)
    return Senders(MappingProxyType(tenants), MappingProxyType(classes))


def _class(
    built_in: MailClass, table: ClassTable | None, checked: Checked[TenantsFile]
) -> MailClass:
    if table is None:
        return built_in
    path: Path = ("class", built_in.name)
    return MailClass(
        built_in.name,
        built_in.floor if table.floor is None else table.floor,
        table.pool or "",
        at=place_of(checked, path),
        places=places_of(table, checked, path),
    )


def _tenant(name: str, table: TenantTable, checked: Checked[TenantsFile]) -> Tenant:
    path: Path = ("tenant", name)
    campaigns = {
        campaign: Campaign(campaign, **_own(inner, checked, (*path, "campaign", campaign)))
        for campaign, inner in table.campaign.items()
    }
    return Tenant(
        name,
        **_own(table, checked, path),
        class_=table.class_ or "",
        pool=table.pool or "",
        feedback=_feedback(table, checked, (*path, "feedback")),
        campaigns=MappingProxyType(campaigns),
    )


def _feedback(table: TenantTable, checked: Checked[TenantsFile], path: Path) -> Feedback | None:
    if "feedback" not in table.model_fields_set:
        return None
    return Feedback(
        **{name: getattr(table.feedback, name) for name in FEEDBACK_FIELDS},
        at=place_of(checked, path),
        places=places_of(table.feedback, checked, path),
    )


def _own(table: CampaignTable, checked: Checked[TenantsFile], path: Path) -> dict[str, Any]:
    values = {name: getattr(table, name) for name in _OWN}
    return values | {
        "at": place_of(checked, path),
        "places": places_of(table, checked, path),
    }


def _check_floors(classes: Mapping[str, MailClass], checked: Checked[TenantsFile]) -> None:
    total = sum(one.floor for one in classes.values())
    set_here = [name for name, one in classes.items() if "floor" in one.places]
    if total >= 1 and set_here:
        paths: list[Path] = [("class", name, "floor") for name in set_here]
        last = max(paths, key=checked.line)
        shown = ", ".join(f"{name} {one.floor:g}" for name, one in classes.items())
        message = f"the floors leave nothing to share: {total:g} together ({shown})"
        checked.contradict(last, message, "keep their sum below 1", about=paths)


def _check_pool(path: Path, pool: str, egress: Egress, checked: Checked[TenantsFile]) -> None:
    if pool and pool not in egress.pool_names and egress.whole:
        message = f"there is no pool {quoted(pool)}"
        checked.contradict(path, message, suggestion(pool, egress.pool_names, "pools"))
