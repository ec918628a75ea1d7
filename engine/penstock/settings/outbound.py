"""Settings of what goes out: fixed routes, signatures, the relay, DNS."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from penstock.policy.fields import Duration, RateOrUnlimited, Shown, Size, StandIn, Table
from penstock.policy.models import CONNECTIONS_MAX
from penstock.settings.fields import DomainName, DomainPattern, NextHop, RequiredPath, Selector

_MIB = 1 << 20
_DAY_S = 86400.0


def _nameserver(text: str) -> str:
    host, colon, port = text.rpartition(":")
    with_port = bool(colon) and port.isdecimal() and (host.endswith("]") or ":" not in host)
    address = (host if with_port else text).removeprefix("[").removesuffix("]")
    try:
        ip_address(address)
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address, or address:port") from None
    if with_port and not 1 <= int(port) <= 65535:
        raise ValueError(f"port {port} is not 1 to 65535")
    return text


NameServer = Annotated[str, AfterValidator(_nameserver), Shown("IP address, or address:port")]


class RouteSettings(Table):
    """Mail for some domains goes to a fixed next hop; the first route that matches wins."""

    domains: Annotated[tuple[DomainPattern, ...], StandIn(("invalid",))] = Field(
        min_length=1,
        description='Recipient domains: "example.com", "*.example.com" (below it only), "*" (all).',
    )
    next_hop: Annotated[NextHop, StandIn("invalid:25")] = Field(
        description="Where it goes, a name or an address; port 25 where none is given."
    )
    connections: int = Field(
        default=50, ge=1, le=CONNECTIONS_MAX, description="Connections open at once."
    )
    message_rate: RateOrUnlimited = Field(default=None, description="Messages in a period.")
    messages_per_connection: int = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        description="Transactions on a connection before it is closed.",
    )
    recipients_per_transaction: int = Field(
        default=100, ge=1, le=1000, description="Recipients that share one transmission of a body."
    )


class DkimSettings(Table):
    """One DKIM signature; several entries for a domain mean several signatures."""

    domain: Annotated[DomainName, StandIn("invalid")] = Field(
        description="Mail with this domain in its From is signed in its name."
    )
    selector: Annotated[Selector, StandIn("invalid")] = Field(
        description="The selector under which DNS holds the public key."
    )
    key: Annotated[RequiredPath, StandIn("invalid")] = Field(
        description="PEM file of the private key, RSA or Ed25519."
    )


class RelaySettings(Table):
    """Delivery, in each worker."""

    connections_max: int = Field(
        default=500, ge=1, le=50_000, description="Connections to other hosts at once."
    )
    stage_messages: int = Field(
        default=64, ge=1, le=10_000, description="Messages of a site read from disk ahead of time."
    )
    stage_bytes_max: Size = Field(
        default=64 * _MIB,
        ge=_MIB,
        le=1 << 36,
        description="Memory for messages read ahead, over all sites.",
    )
    unmatched_replies_max: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Texts kept of replies for which there is no rule.",
    )
    pairs_max: int = Field(
        default=5000,
        ge=100,
        le=100_000,
        description="Pairs of a source and a provider that have a pace or a warm-up of their own.",
    )
    tls_sessions_max: int = Field(
        default=2000,
        ge=0,
        le=1_000_000,
        description="TLS sessions kept to be resumed, the last of each host; 0: none.",
    )
    dsn: Literal["send", "none"] = Field(
        default="send", description="Whether senders get a report on mail that failed (RFC 3464)."
    )
    delay_warning_s: Duration = Field(
        default=14_400.0,
        ge=60,
        le=7 * _DAY_S,
        description="When senders who asked for it hear that their mail is delayed.",
    )


class DnsSettings(Table):
    """Name look-ups, in each worker."""

    nameservers: tuple[NameServer, ...] = Field(
        default=(), max_length=8, description="Servers to ask; none given means the system's."
    )
    timeout_s: Duration = Field(
        default=5.0, ge=0.1, le=60, description="The longest that one look-up may take, all told."
    )
    queries_max: int = Field(default=256, ge=1, le=10_000, description="Look-ups at once.")
    entries_max: int = Field(
        default=50_000, ge=100, le=10_000_000, description="Answers kept in the cache."
    )
    destinations_max: int = Field(
        default=100_000, ge=100, le=10_000_000, description="Domains whose hosts are kept in mind."
    )
    ttl_min_s: Duration = Field(
        default=30.0, ge=0, le=_DAY_S, description="An answer is kept at least this long."
    )
    ttl_max_s: Duration = Field(
        default=_DAY_S, ge=1, le=7 * _DAY_S, description="An answer is kept at most this long."
    )
    ttl_negative_s: Duration = Field(
        default=300.0, ge=1, le=_DAY_S, description="That a name does not exist is kept this long."
    )
    ipv6: bool = Field(default=True, description="Whether mail is delivered over IPv6 too.")
