"""What limits hold for a site or a lane: policy for what goes by MX, its own line for a route."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from penstock.limits.ports import Claim, Seat
from penstock.policy.caps import Cap
from penstock.policy.limits import Limits, Provenance
from penstock.policy.policies import Policies
from penstock.policy.rate import Rate
from penstock.relay.lane import Extra, Lane
from penstock.relay.ports import Destination
from penstock.relay.site import Site

_SETTINGS = Provenance("the settings")


@dataclass(frozen=True, slots=True)
class RouteLimits:
    """The limits that a ``[[route]]`` sets itself; ``None`` leaves the policy's default. ``where``
    is its place in the settings.

    A rate that a route does not name is unlimited: a next hop of one's own is no mailbox provider.
    """

    connections: int | None = None
    message_rate: Rate | None = None
    messages_per_connection: int | None = None
    recipients_per_transaction: int | None = None
    where: Provenance = _SETTINGS


def site_limits(
    destination: Destination,
    policies: Policies,
    routes: Sequence[RouteLimits],
    domain: str = "",
    source: str = "",
) -> Limits:
    """The limits of the whole site, or of one of its domains where ``domain`` is given."""
    limits = policies.limits(destination.provider, destination.site, domain, source)
    if destination.route is None:
        return limits
    route = routes[destination.route]
    given = {
        name: value
        for name in ("connections", "messages_per_connection", "recipients_per_transaction")
        if (value := getattr(route, name)) is not None
    }
    return replace(
        limits,
        **given,
        message_rate=route.message_rate,
        connection_rate=None,
        byte_rate=None,
        provider_connections=None,
        provider_message_rate=None,
        provider_connection_rate=None,
        provider_byte_rate=None,
    )


def site_name(destination: Destination, domain: str, policies: Policies) -> str:
    """The key of the site that carries ``domain``: that of its hosts, shared with other domains,
    unless policy gives the domain connections or rates of its own."""
    if destination.route is not None:
        return destination.site
    own = policies.has_own_site(destination.provider, destination.site, domain)
    return f"{destination.site}#{domain}" if own else destination.site


def apply_limits(site: Site, policies: Policies, routes: Sequence[RouteLimits]) -> None:
    """Give the site the limits in force; connections open already are left to end by themselves."""
    destination, source = site.destination, site.source
    domain = site.name.partition("#")[2]
    site.limits = site_limits(destination, policies, routes, domain, source)
    site.policies = policies
    caps = policies.site_caps(destination.provider, destination.site, domain, source)
    if destination.route is not None:
        own = _route_caps(site, routes[destination.route])
        caps = (*own, *(cap for cap in caps if cap.level == "source"))
    site.caps = caps
    site.seats = tuple(Seat(cap.key, cap.value) for cap in caps if isinstance(cap.value, int))
    site.connection_claims = _claims(caps, "connection_rate")
    site.byte_claims = _claims(caps, "byte_rate")
    site.claims = _claims(caps, "message_rate") + site.byte_claims


def apply_extra(site: Site, lane: Lane) -> None:
    """Give the lane at this site what its tenant, campaign and class are limited to besides."""
    destination, key = site.destination, lane.key
    caps = (
        site.policies.lane_caps(
            destination.provider,
            destination.site,
            key.domain,
            site.source,
            key.tenant,
            key.campaign,
            lane.class_,
        )
        if site.policies is not None
        else ()
    )
    if not caps and lane.window is None:
        site.extra.pop(lane.number, None)
        return
    own_bytes = _claims(caps, "byte_rate")
    site.extra[lane.number] = Extra(
        site.claims + _claims(caps, "message_rate") + own_bytes,
        site.byte_claims + own_bytes,
        tuple(Seat(cap.key, cap.value) for cap in caps if isinstance(cap.value, int)),
        {cap.key: cap.level for cap in caps},
        lane.window,
    )


def _claims(caps: Sequence[Cap], field: str) -> tuple[Claim, ...]:
    return tuple(
        Claim(cap.key, cap.value)
        for cap in caps
        if cap.field == field and isinstance(cap.value, Rate)
    )


def _route_caps(site: Site, route: RouteLimits) -> list[Cap]:
    scope, where = f"route to {site.name}", route.where
    key = f"site:{site.name}" if site.source == "default" else f"site:{site.source}|{site.name}"
    if route.connections is None:
        where = site.limits.where("connections")
    caps = [Cap("connections", scope, key, site.limits.connections, where, "site")]
    if route.message_rate is not None:
        caps.append(Cap("message_rate", scope, key, route.message_rate, route.where, "site"))
    return caps
