"""What limits hold for a site or a lane: policy for what goes by MX, its own line for a route."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from penstock.limits.ports import Claim, Seat
from penstock.policy.limits import Limits
from penstock.policy.policies import Policies
from penstock.policy.rate import Rate
from penstock.relay.lane import Site
from penstock.relay.ports import Destination


@dataclass(frozen=True, slots=True)
class RouteLimits:
    """The limits that a ``[[route]]`` sets itself; ``None`` leaves the policy's default.

    A rate that a route does not name is unlimited: a next hop of one's own is no mailbox provider.
    """

    connections: int | None = None
    message_rate: Rate | None = None
    messages_per_connection: int | None = None
    recipients_per_transaction: int | None = None


def site_limits(
    destination: Destination, policies: Policies, routes: Sequence[RouteLimits], domain: str = ""
) -> Limits:
    """The limits of the whole site, or of one of its domains where ``domain`` is given."""
    limits = policies.limits(destination.provider, destination.site, domain)
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
        provider_connections=None,
        provider_message_rate=None,
    )


_OF_SITES = (
    "connections",
    "connection_rate",
    "message_rate",
    "messages_per_connection",
    "recipients_per_transaction",
    "tls",
)


def site_name(destination: Destination, domain: str, policies: Policies) -> str:
    """The key of the site that carries ``domain``: that of its hosts, shared with other domains,
    unless policy gives the domain connections or rates of its own."""
    if destination.route is not None:
        return destination.site
    shared = policies.limits(destination.provider, destination.site, "")
    own = policies.limits(destination.provider, destination.site, domain)
    if all(getattr(own, name) == getattr(shared, name) for name in _OF_SITES):
        return destination.site
    return f"{destination.site}#{domain}"


def build_site(
    name: str, destination: Destination, policies: Policies, routes: Sequence[RouteLimits]
) -> Site:
    """``name`` is that of :func:`site_name`."""
    site = Site(name, destination, Limits(), (), (), ())
    apply_limits(site, policies, routes)
    return site


def apply_limits(site: Site, policies: Policies, routes: Sequence[RouteLimits]) -> None:
    """Give the site the limits in force; connections open already are left to end by themselves."""
    hosts, _, domain = site.name.partition("#")
    limits = site_limits(site.destination, policies, routes, domain)
    name, provider = f"site:{site.name}", f"provider:{site.provider}"
    seats = [Seat(name, limits.connections)]
    claims = []
    if limits.message_rate is not None:
        claims.append(Claim(name, limits.message_rate))
    if domain:  # narrower, not beside: it counts for the hosts that it shares with others too
        shared = site_limits(site.destination, policies, routes)
        seats.append(Seat(f"site:{hosts}", shared.connections))
        if shared.message_rate is not None:
            claims.append(Claim(f"site:{hosts}", shared.message_rate))
    if limits.provider_connections is not None and site.provider:
        seats.append(Seat(provider, limits.provider_connections))
    if limits.provider_message_rate is not None and site.provider:
        claims.append(Claim(provider, limits.provider_message_rate))
    site.limits = limits
    site.seats, site.claims = tuple(seats), tuple(claims)
    rate = limits.connection_rate
    site.connection_claims = () if rate is None else (Claim(f"connect:{name}", rate),)
    if not claims:
        site.tokens = 0
