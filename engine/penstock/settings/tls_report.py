"""Settings of reports on TLS that are sent to the domains mail goes to (RFC 8460)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from penstock.mail.address import normal_domain, split
from penstock.policy.fields import Duration, Shown, Size, StandIn, Table
from penstock.settings.fields import Text

_HOUR_S, _DAY_S = 3600.0, 86_400.0


def _address(text: str) -> str:
    local, domain = split(text)
    if not local or not local.isascii() or not local.isprintable() or set(local) & set(' "<>,;:'):
        raise ValueError(f'expected an address, like "tls-reports@example.com", not {text!r}')
    return f"{local}@{normal_domain(domain)}"


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a control character")
    return text


Address = Annotated[Text, AfterValidator(_address), Shown("mail address")]
Line = Annotated[Text, AfterValidator(_printable), Shown("text")]


class TlsReportSettings(Table):
    """What is seen of the TLS of other domains, and told to those that ask for it."""

    organization: Annotated[Line, StandIn("invalid")] = Field(
        description="Who we are, in the reports."
    )
    contact: Annotated[Line, StandIn("invalid")] = Field(
        description="How people reach us about a report: an address or a URL."
    )
    sender: Annotated[Address, StandIn("tls-reports@invalid.invalid")] = Field(
        description="What reports by mail come from; its domain should have a [[dkim]] key."
    )
    keep_s: Duration = Field(
        default=7 * _DAY_S,
        ge=3 * _DAY_S,
        le=400 * _DAY_S,
        description="How long what was seen in a day is kept.",
    )
    spread_s: Duration = Field(
        default=4 * _HOUR_S,
        ge=0,
        le=20 * _HOUR_S,
        description="Reports on a day leave within this time, each at a moment of its own.",
    )
    retry_max_s: Duration = Field(
        default=_DAY_S,
        ge=60,
        le=7 * _DAY_S,
        description="How long one that cannot be delivered is tried again.",
    )
    flush_s: Duration = Field(
        default=10.0,
        ge=1,
        le=600,
        description="How often a worker writes down what it has counted; a crash loses as much.",
    )
    seen_max: int = Field(
        default=5000,
        ge=100,
        le=1_000_000,
        description="Different things that a worker counts before it writes them down at once.",
    )
    domains_max: int = Field(
        default=200_000,
        ge=100,
        le=10_000_000,
        description="Domains that are counted in a day; more are left out.",
    )
    failures_max: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Different failures told of one domain and day; more are told by their kind.",
    )
    report_bytes_max: Size = Field(
        default=1 << 20, ge=16 << 10, le=25 << 20, description="Size of a report, packed."
    )
    sends_max: int = Field(default=10, ge=1, le=1000, description="Reports under way at once.")
    timeout_s: Duration = Field(
        default=30.0, ge=1, le=600, description="The longest that an HTTPS server may take."
    )
