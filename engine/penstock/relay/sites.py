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
from penstock.relay.tls_demand import NO_TERMS, NOTHING_PUBLISHED, Terms

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


def site_name(
    destination: Destination, domain: str, policies: Policies, terms: Terms = NO_TERMS
) -> str:
    """The key of the site that carries ``domain``: that of its hosts, shared with other domains,
    unless policy gives the domain connections or rates of its own. Mail on terms of its own has
    connections of its own, and the same limits as without."""
    name = destination.site
    if destination.route is None and policies.has_own_site(destination.provider, name, domain):
        name = f"{name}#{domain}"
    return name if terms is NO_TERMS else f"{name}{terms.suffix}"


def terms_of(lane: Lane, destination: Destination, policies: Policies) -> Terms:
    """What TLS the lane's mail has to have at ``destination`` besides the limits of the site."""
    key = lane.key
    published = destination.tls if key.tls != "relax" else NOTHING_PUBLISHED
    narrowed = policies.narrowed_tls(
        destination.provider, destination.site, key.domain, key.tenant, lane.class_
    )
    if published == NOTHING_PUBLISHED and narrowed is None and not key.tls:
        return NO_TERMS
    return Terms(published, narrowed, key.tls == "require")


def apply_limits(site: Site, policies: Policies, routes: Sequence[RouteLimits]) -> None:
    """Give the site the limits in force; connections open already are left to end by themselves."""
    destination, source = site.destination, site.source
    domain = site.name.partition("#")[2].partition("+")[0]
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


def settle_in(lane: Lane, site: Site) -> None:
    """Give the site what it must know of a lane whose mail stands there."""
    if lane.place is not None:
        site.ready.place(lane.number, lane.place)
    apply_extra(site, lane)
    if lane.alone:
        site.alone.add(lane.number)
    elif site.alone:
        site.alone.discard(lane.number)


def _claims(caps: Sequence[Cap], field: str) -> tuple[Claim, ...]:
    return tuple(
        Claim(cap.key, cap.value)
        for cap in caps
        if cap.field == field and isinstance(cap.value, Rate)
    )


def _route_caps(site: Site, route: RouteLimits) -> list[Cap]:
    name = site.destination.site
    scope, where = f"route to {name}", route.where
    key = f"site:{name}" if site.source == "default" else f"site:{site.source}|{name}"
    if route.connections is None:
        where = site.limits.where("connections")
    caps = [Cap("connections", scope, key, site.limits.connections, where, "site")]
    if route.message_rate is not None:
        caps.append(Cap("message_rate", scope, key, route.message_rate, route.where, "site"))
    return caps
