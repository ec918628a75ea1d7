"""What holds for a destination, as plain values for programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from penstock.policy import account
from penstock.policy.account import Destination, Sender, Value
from penstock.policy.policies import Policies


def as_data(policies: Policies, to: Destination, sender: Sender) -> dict[str, Any]:
    """The destination, its limits, what the mail is, and what it is counted by."""
    return {
        "destination": to.asked,
        "kind": to.kind,
        "provider": to.provider,
        "by": to.by,
        "site": to.site,
        "domain": to.domain,
        "source": sender.source,
        "tenant": sender.tenant,
        "campaign": sender.campaign,
        "limits": _data(account.limits(policies, to, sender.source)),
        "mail": _data(account.sending(policies, sender)),
        "caps": [
            {
                "field": cap.field,
                "scope": cap.scope,
                "key": cap.key,
                "value": str(cap.value),
                "where": str(cap.where),
                "level": cap.level,
            }
            for cap in account.caps(policies, to, sender)
        ],
    }


def counts_of(policies: Policies) -> dict[str, int]:
    """How much of each kind there is."""
    return {
        "providers": len(policies.providers),
        "sources": len(policies.sources),
        "pools": len(policies.pools),
        "tenants": len(policies.tenants),
        "narrowings": len(policies.narrows),
        "reply rules": len(policies.replies),
        "warm-up plans": len(policies.warmups),
    }


def _data(values: Iterable[Value]) -> list[dict[str, str]]:
    return [{"name": v.name, "value": v.text, "where": str(v.where)} for v in values]
