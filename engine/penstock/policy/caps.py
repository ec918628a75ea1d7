"""Every countable limit on a delivery's way, with the key that it is counted by.

A message or a connection goes out when every cap on its way has room. ``site_caps`` are those that
all mail of one source to one site meets; ``lane_caps`` are those that mail of a tenant, a campaign
or a class meets besides. Both are decided here and nowhere else, so that what is explained is what
is counted.

Keys: ``site:NAME`` and ``provider:NAME`` for the source ``default``, ``site:SOURCE|NAME`` for
another; ``source:NAME``, ``tenant:NAME``, ``campaign:TENANT/NAME``; before them ``connect:`` for a
rate of connections and ``bytes:`` for one of bytes. A domain with limits of its own is the site
``NAME#DOMAIN``. A tenant's or class's share of a site is ``tenant:NAME|site:…``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from penstock.policy.egress import DEFAULT, Source
from penstock.policy.limits import Limits, Provenance
from penstock.policy.narrowing import COUNTED, Narrow
from penstock.policy.rate import Rate
from penstock.policy.tenants import Campaign, Tenant

Level = Literal["source", "provider", "site", "class", "tenant", "campaign", "lane"]
CAP_FIELDS = ("connections", "connection_rate", "message_rate", "byte_rate")
_PREFIX = {
    "connections": "",
    "connection_rate": "connect:",
    "message_rate": "",
    "byte_rate": "bytes:",
}
_ESCAPES = str.maketrans({"%": "%25", "/": "%2F", "|": "%7C"})


class Cap(NamedTuple):
    """``field``: one of ``CAP_FIELDS``; ``scope``: what is limited, for people; ``key``: equal keys
    share one bucket or seat count over all workers; ``value``: a ``Rate``, for ``byte_rate`` a
    ``ByteRate``, for ``connections`` an integer; ``where``: who set it; ``level``: who has to wait
    when it is exhausted."""

    field: str
    scope: str
    key: str
    value: Rate | int | str
    where: Provenance
    level: Level


def of_site(site: str, source: str, limits: Limits, domain: str = "") -> Iterator[Cap]:
    """What counts for the whole site, or for one domain that has limits of its own there."""
    name = f"{site}#{domain}" if domain else site
    scope = f"domain {domain} at {site}" if domain else f"site {site}"
    yield from _caps(limits, "", f"{scope}{_by(source)}", f"site:{placed(source, name)}", "site")


def of_provider(provider: str, source: str, limits: Limits) -> Iterator[Cap]:
    """What counts for one source over all sites of the provider."""
    scope, key = f"provider {provider}{_by(source)}", f"provider:{placed(source, provider)}"
    yield from _caps(limits, "provider_", scope, key, "provider")


def of_source(source: Source) -> Iterator[Cap]:
    """What counts for everything that leaves by ``source``."""
    yield from _caps(source, "", f"source {source.name}", f"source:{source.name}", "source")


def of_tenant(tenant: Tenant, name: str) -> Iterator[Cap]:
    """What counts for all mail of the tenant ``name``, which ``tenant`` may give values for as
    one of many."""
    yield from _caps(tenant, "", f"tenant {name}", f"tenant:{_plain(name)}", "tenant")


def of_campaign(campaign: Campaign, tenant: str, name: str) -> Iterator[Cap]:
    """The same for one campaign of a tenant."""
    key = f"campaign:{_plain(tenant)}/{_plain(name)}"
    yield from _caps(campaign, "", f"campaign {tenant}/{name}", key, "campaign")


def of_mail(narrows: Iterator[Narrow], provider: str, site: str, source: str) -> Iterator[Cap]:
    """What tenants' and classes' mail counts against at one site and provider. ``narrows`` are
    those that match, the one that wins last."""
    merged: dict[tuple[str, str, str, str], Cap] = {}
    for one in narrows:
        for field, value in one.layer.values.items():
            of_provider = field.startswith("provider_")
            if field not in COUNTED or (of_provider and not provider):
                continue
            name = field.removeprefix("provider_")
            place = f"{site}#{one.domain}" if one.domain else site
            at = (
                f"provider:{placed(source, provider)}"
                if of_provider
                else f"site:{placed(source, place)}"
            )
            identity = (one.tenant, one.class_, at, name)
            if value is None:
                merged.pop(identity, None)
                continue
            shown = provider if of_provider else one.domain or site
            merged[identity] = Cap(
                name,
                f"{_whose(one)} at {shown}{_by(source)}",
                f"{_PREFIX[name]}{_whose_key(one)}|{at}",
                value,
                one.layer.places[field],
                _level(one),
            )
    yield from merged.values()


def placed(source: str, name: str) -> str:
    """The part of a key that says which source and which site or provider."""
    return name if source in ("", DEFAULT) else f"{source}|{name}"


def _caps(limits: Any, prefix: str, scope: str, key: str, level: Level) -> Iterator[Cap]:
    for field in CAP_FIELDS:
        value = getattr(limits, f"{prefix}{field}", None)
        if value is not None:
            where = limits.where(f"{prefix}{field}")
            yield Cap(field, scope, f"{_PREFIX[field]}{key}", value, where, level)


def _whose(one: Narrow) -> str:
    parts = (
        f"tenant {one.tenant}" if one.tenant else "",
        f"class {one.class_}" if one.class_ else "",
    )
    return ", ".join(part for part in parts if part)


def _whose_key(one: Narrow) -> str:
    parts = (
        f"tenant:{_plain(one.tenant)}" if one.tenant else "",
        f"class:{one.class_}" if one.class_ else "",
    )
    return "|".join(part for part in parts if part)


def _level(one: Narrow) -> Level:
    if one.domain or (one.tenant and one.class_):
        return "lane"
    return "tenant" if one.tenant else "class"


def _by(source: str) -> str:
    return "" if source in ("", DEFAULT) else f" from {source}"


def _plain(name: str) -> str:
    """``name`` without what keeps the parts of a key apart."""
    return name.translate(_ESCAPES)
