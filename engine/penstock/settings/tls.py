"""Settings of TLS on the way out: what domains may demand, and whom we trust."""

from __future__ import annotations

from pydantic import Field

from penstock.policy.fields import Duration, Table
from penstock.settings.fields import Cidr, PathText
from penstock.settings.outbound import NameServer

_DAY_S = 86_400.0


class TlsSettings(Table):
    """TLS on the way out. What is wanted at least stands in the policies: `tls`."""

    ca: PathText = Field(
        default="",
        description="PEM file of the authorities that `verified` trusts; the system's if empty.",
    )
    certificate: PathText = Field(
        default="", description="PEM file of a certificate that hosts who ask for one are shown."
    )
    key: PathText = Field(default="", description="PEM file of its private key.")
    broken_s: Duration = Field(
        default=3600.0,
        ge=1,
        le=7 * _DAY_S,
        description="How long a host whose TLS broke gets opportunistic mail without it.",
    )
    hosts_max: int = Field(
        default=10_000, ge=100, le=1_000_000, description="Hosts that this is remembered of."
    )
    mta_sts: bool = Field(
        default=True, description="Whether MTA-STS policies of recipient domains are kept to."
    )
    mta_sts_timeout_s: Duration = Field(
        default=10.0,
        ge=0.1,
        le=60,
        description="The longest that fetching one policy may take, all told.",
    )
    mta_sts_policies_max: int = Field(
        default=10_000, ge=100, le=1_000_000, description="Policies kept on disk."
    )
    mta_sts_fetches_max: int = Field(
        default=32, ge=1, le=1000, description="Policies fetched at once, in each worker."
    )
    mta_sts_networks: tuple[Cidr, ...] = Field(
        default=(),
        max_length=100,
        description="Networks that are not public where policies may be fetched all the same.",
    )
    mta_sts_port: int = Field(
        default=443, ge=1, le=65535, description="The port of policy hosts; another is for tests."
    )
    dane: bool = Field(
        default=False,
        description="Whether signed TLSA records are kept to (DANE); the resolver must validate.",
    )
    dane_nameservers: tuple[NameServer, ...] = Field(
        default=(),
        max_length=8,
        description="Resolvers that validate and are believed; else the system's on loopback.",
    )
