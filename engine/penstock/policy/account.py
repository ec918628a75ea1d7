"""What holds for one destination and one kind of mail, said in full with who set each value.

The policy as a person asks for it: a domain, a provider or a site, by which source, of whom. DNS is
not asked; where a domain's mail goes is told by whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.policy.caps import Cap
from penstock.policy.feedback import FEEDBACK_FIELDS
from penstock.policy.fields import UNLIMITED
from penstock.policy.limits import FIELDS, OF_PROVIDERS, Provenance
from penstock.policy.model_types import written
from penstock.policy.models import ProviderLimitsTable
from penstock.policy.names import parse_name, plain_name
from penstock.policy.policies import Policies


@dataclass(frozen=True, slots=True)
class Destination:
    """``kind`` is what was asked for: ``"domain"``, ``"provider"`` or ``"site"``; ``by`` is how the
    provider was told, ``""`` where there is none; names are ``""`` where they are not known."""

    asked: str
    kind: str
    provider: str
    by: str
    site: str
    domain: str


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose mail is asked for; ``""`` is not said. ``source`` ``""`` is none in particular."""

    source: str = ""
    tenant: str = ""
    campaign: str = ""
    class_: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """One value as text, and who set it."""

    name: str
    text: str
    where: Provenance


def destination(policies: Policies, name: str, mx: Sequence[str] = ()) -> Destination:
    """``name`` as a provider's, else as a site's that has a table, else as a domain with the MX
    hosts ``mx``, the preferred first. ``ValueError`` if it can be none of these."""
    if name in policies.providers and not mx:
        return Destination(name, "provider", name, "its name", "", "")
    site = name.strip().lower()
    listed = policies.provider_of(plain_name(name), ())
    if not mx and not listed and (site in policies.sites or "(" in site):
        return Destination(name, "site", "", "", site, "")
    domain = parse_name(name)
    hosts = [parse_name(host) for host in mx]
    provider = policies.provider_of(domain, hosts)
    by = ("its domain" if listed else "its MX hosts") if provider else ""
    return Destination(name, "domain", provider, by, policies.site_of([*enumerate(hosts)]), domain)


def limits(policies: Policies, to: Destination, source: str) -> Iterator[Value]:
    """The merged limits in the order of the reference."""
    merged = policies.limits(to.provider, to.site, to.domain, source)
    for name in FIELDS:
        if name not in OF_PROVIDERS or to.provider:
            yield Value(name, limit_text(name, getattr(merged, name)), merged.where(name))


def sending(policies: Policies, sender: Sender) -> Iterator[Value]:
    """What the mail is and where it leaves from."""
    class_, by = policies.resolve_class(sender.tenant, sender.class_)
    yield Value("class", class_, by)
    yield Value("floor", f"{policies.floors()[class_]:g}", policies.classes[class_].where("floor"))
    pool, by = policies.resolve_pool(sender.tenant, class_, "")
    sources = ", ".join(f"{name} {weight}" for name, weight in policies.pools[pool].sources.items())
    yield Value("pool", f"{pool} ({sources})", by)
    tenant = policies.tenant(sender.tenant)
    if tenant is not None:
        yield Value("weight", str(tenant.weight), tenant.where("weight"))
    campaign = policies.campaign(sender.tenant, sender.campaign)
    if campaign is not None:
        yield Value("campaign weight", str(campaign.weight), campaign.where("weight"))
    window, by = policies.window_and_place(sender.tenant, sender.campaign, class_)
    yield Value("window", str(window) if window else "always", by)
    feedback = policies.feedback(sender.tenant)
    for name in FEEDBACK_FIELDS:
        if text := getattr(feedback, name):
            yield Value(f"feedback.{name}", text, feedback.where(name))


def caps(policies: Policies, to: Destination, sender: Sender) -> tuple[Cap, ...]:
    """Everything that this mail is counted by."""
    place = (to.provider, to.site, to.domain, sender.source)
    of_mail = policies.lane_caps(*place, sender.tenant, sender.campaign, sender.class_)
    of_site = policies.site_caps(*place) if to.site or to.provider else ()
    return (*(cap for cap in of_site if to.site or cap.level != "site"), *of_mail)


def limit_text(name: str, value: Any) -> str:
    """A limit's value as it would be written in a file."""
    if value is None:
        return UNLIMITED
    shown = written(ProviderLimitsTable.model_fields[name]).shown
    return shown.write(value) if shown else str(value)
