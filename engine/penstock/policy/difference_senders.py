"""What changes between two policies in where mail leaves from and in whose mail it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from penstock.policy.change import Change, value_text
from penstock.policy.egress import Pool, Source
from penstock.policy.feedback import FEEDBACK_FIELDS, Feedback
from penstock.policy.limits import Placed
from penstock.policy.policies import Policies
from penstock.policy.tenants import Campaign, MailClass, Tenant
from penstock.policy.warmup import Plan

_LIMITS = ("connections", "connection_rate", "message_rate", "byte_rate")
_OF_SOURCES = (
    "ipv4",
    "ipv6",
    "ehlo",
    "proxy",
    "proxy_user",
    "proxy_password_file",
    "warmup",
    *_LIMITS,
)
_OF_CAMPAIGNS = ("weight", "message_rate", "byte_rate", "connections", "window")
_OF_PLANS = (
    *("messages", "by_provider", "hours", "hour_max", "transactional", "idle_days", "step_back"),
    "gates",
)
_OF_TENANTS = ("class", "pool", *_OF_CAMPAIGNS)


def senders(old: Policies, new: Policies) -> Iterator[Change]:
    """Sources, pools, classes, tenants and their campaigns, in this order."""
    yield from _placed("source", Source, old.sources, new.sources, _OF_SOURCES)
    yield from _placed("pool", _empty_pool, old.pools, new.pools, ("overflow",))
    yield from _weights(old, new)
    yield from _placed("warm-up plan", _empty_plan, old.warmups, new.warmups, _OF_PLANS)
    yield from _placed("class", MailClass, old.classes, new.classes, ("floor", "pool"))
    yield from _placed("tenant", Tenant, old.tenants, new.tenants, _OF_TENANTS)
    yield from _placed(
        "feedback of", _no_feedback, _feedbacks(old), _feedbacks(new), FEEDBACK_FIELDS
    )
    yield from _placed("campaign", Campaign, _campaigns(old), _campaigns(new), _OF_CAMPAIGNS)


def _placed(
    kind: str,
    blank: Callable[[str], Placed],
    old: Mapping[str, Placed],
    new: Mapping[str, Placed],
    fields: Sequence[str],
) -> Iterator[Change]:
    """``blank`` is a value in which nothing is set, for what is new."""
    for name in [*new, *(name for name in old if name not in new)]:
        scope, before, after = f"{kind} {name}", old.get(name), new.get(name)
        if after is None:
            yield Change(scope, "", kind, "")
            continue
        if before is None:
            yield Change(scope, "", "", kind, after.at)
        for field in fields:
            was, now = _text(before or blank(name), field), _text(after, field)
            if was != now:
                yield Change(scope, field, was, now, after.where(field))


def _weights(old: Policies, new: Policies) -> Iterator[Change]:
    for name, pool in new.pools.items():
        before = old.pools[name].sources if name in old.pools else {}
        for source in [*pool.sources, *(s for s in before if s not in pool.sources)]:
            was, now = before.get(source, ""), pool.sources.get(source, "")
            if was != now:
                where = pool.where("sources")
                yield Change(f"pool {name}", f"weight of {source}", str(was), str(now), where)


def _empty_pool(name: str) -> Pool:
    return Pool(name, MappingProxyType({}))


def _empty_plan(name: str) -> Plan:
    return Plan(name, ())


def _campaigns(policies: Policies) -> dict[str, Campaign]:
    return {
        f"{tenant.name}/{name}": campaign
        for tenant in policies.tenants.values()
        for name, campaign in tenant.campaigns.items()
    }


def _no_feedback(_: str) -> Feedback:
    return Feedback()


def _feedbacks(policies: Policies) -> dict[str, Feedback]:
    return {t.name: t.feedback for t in policies.tenants.values() if t.feedback is not None}


def _text(value: Placed, field: str) -> str:
    found: Any = getattr(value, "class_" if field == "class" else field)
    if found is None and field not in _LIMITS:
        return ""
    return value_text(found)
