"""What TLS holds for a domain and who says so, as plain values: ``penstock tls show``."""

from __future__ import annotations

from typing import Any

from penstock.mail.outcome import Outcome
from penstock.policy.policies import Policies
from penstock.relay.ports import Destination
from penstock.relay.tls_demand import Terms, TlsDemand, host_refused


def shown(domain: str, found: Destination | Outcome, policies: Policies) -> dict[str, Any]:
    """For mail of no tenant or class in particular."""
    if isinstance(found, Outcome):
        return {"domain": domain, "problem": str(found.reply)}
    limits = policies.limits(found.provider, found.site, domain)
    demand = Terms(found.tls).demand(limits)
    return {
        "domain": domain,
        "site": found.site,
        "provider": found.provider,
        "via": found.via,
        "demand": demand_row(demand),
        "policy": {
            "tls": limits.tls,
            "tls_where": str(limits.where("tls")),
            "tls_min_version": limits.tls_min_version,
            "tls_min_version_where": str(limits.where("tls_min_version")),
        },
        "mta_sts": _sts(found),
        "dane": [
            {
                "host": one.host,
                "name": one.name,
                "records": [f"{u} {s} {m} {d.hex()}" for u, s, m, d in one.records],
                "trouble": one.trouble,
            }
            for one in found.tls.tlsa
        ],
        "secure_mx": found.tls.secure,
        "hosts": [_host(demand, host.name) for host in found.hosts],
    }


def demand_row(demand: TlsDemand) -> dict[str, Any]:
    """The whole of it, as explain shows it."""
    return {
        "tls": demand.mode,
        "min_version": demand.min_version,
        "origin": demand.origin,
        "where": demand.where,
        "requiretls": demand.requiretls,
    }


def _sts(found: Destination) -> dict[str, Any] | None:
    policy, (result_type, why) = found.tls.sts, found.tls.sts_trouble
    if policy is None:
        return {"trouble": result_type, "why": why} if result_type else None
    return {
        "mode": policy.mode,
        "id": policy.id,
        "mx": list(policy.mx),
        "max_age_s": policy.max_age_s,
    }


def _host(demand: TlsDemand, name: str) -> dict[str, Any]:
    refused, tlsa = host_refused(demand, name), demand.tlsa_of(name)
    text: str = demand.mode
    if refused is not None:
        text = f"not used: {refused.text}"
    elif tlsa is not None and tlsa.records:
        text = "authenticated by DANE"
    elif tlsa is not None and demand.mode != "verified":
        text = "required"
    return {"host": name, "tls": text}
