"""The shape of ``default.toml`` and ``providers/NAME.toml`` under ``policies/``.

``default.toml`` holds ``[limits]`` for everybody and, by name, ``[site.NAME]`` and
``[domain.NAME]``; ``[[narrow]]`` is for a part of the mail. ``providers/NAME.toml`` says how to
tell a provider and holds its ``[limits]``; its file name is its name. A key that is not written
leaves the value of the layer below.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from penstock.policy.fields import (
    UNLIMITED,
    UNLIMITED_FORM,
    ByteRateOrUnlimited,
    Duration,
    PlainRate,
    RateOrUnlimited,
    Shown,
    Table,
)
from penstock.policy.limits import AdaptiveMode, TlsMode, TlsVersion
from penstock.policy.names import parse_name, parse_suffix
from penstock.policy.rate import Rate
from penstock.policy.sites import SITE_LENGTH_MAX
from penstock.policy.tenants import MailClassName

CONNECTIONS_MAX = 10_000
NARROWS_MAX = 1000
_WEEK_S = 7 * 86400.0
_MONTH_S = 31 * 86400.0


def _connections_or_unlimited(value: object) -> int | None:
    if value == UNLIMITED or value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError('expected an integer or "unlimited"')
    if not 1 <= value <= CONNECTIONS_MAX:
        raise ValueError(f"must be 1 to {CONNECTIONS_MAX}")
    return value


def site_name(text: str) -> str:
    """A site's name as it is compared; ``ValueError`` if it is none."""
    name = text.strip().lower()
    if not name or len(name) > SITE_LENGTH_MAX:
        raise ValueError(f"a site's name has 1 to {SITE_LENGTH_MAX} characters")
    return name


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


Domain = Annotated[str, AfterValidator(parse_name), Shown("domain name")]
Suffix = Annotated[str, AfterValidator(parse_suffix), Shown('MX suffix, like ".example.com"')]
SiteName = Annotated[str, AfterValidator(site_name), Shown("site name")]
ConnectionsOrUnlimited = Annotated[
    int | None,
    PlainValidator(_connections_or_unlimited),
    Shown(
        f'integer 1 to {CONNECTIONS_MAX}, or "unlimited"',
        lambda value: UNLIMITED if value is None else str(value),
        ({"type": "integer", "minimum": 1, "maximum": CONNECTIONS_MAX}, UNLIMITED_FORM),
    ),
]
Fraction = Annotated[float, BeforeValidator(_number), Shown("number", lambda value: f"{value:g}")]
Timeout = Annotated[Duration, Field(ge=1, le=3600)]


class LimitsTable(Table):
    """``[limits]``, ``[site.NAME]`` or ``[domain.NAME]``; only the keys that are written count."""

    connections: int = Field(
        default=10,
        ge=1,
        le=CONNECTIONS_MAX,
        description="Connections open at once, per source and site.",
    )
    connection_rate: RateOrUnlimited = Field(
        default=None, description="New connections in a period, per source and site."
    )
    message_rate: RateOrUnlimited = Field(
        default=None,
        description="Messages in a period, per source and site; a recipient counts as one.",
    )
    byte_rate: ByteRateOrUnlimited = Field(
        default=None, description="Bytes in a period, per source and site."
    )
    messages_per_connection: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="Transactions on a connection before it is closed.",
    )
    recipients_per_transaction: int = Field(
        default=100, ge=1, le=1000, description="Recipients that share one transmission of a body."
    )
    idle_timeout_s: Timeout = Field(
        default=60.0, description="How long an open connection waits for another message."
    )
    connect_timeout_s: Timeout = Field(
        default=60.0, description="How long to wait for a TCP connection and for the greeting."
    )
    command_timeout_s: Timeout = Field(
        default=300.0, description="How long to wait for the reply to a command (RFC 5321 4.5.3.2)."
    )
    data_timeout_s: Timeout = Field(
        default=300.0,
        description="How long to wait for a block to be taken and for the last reply.",
    )
    tls: TlsMode = Field(
        default="opportunistic",
        description="TLS: never, where it is offered, always, or always with a valid certificate.",
    )
    tls_min_version: TlsVersion = Field(
        default="1.2", description="The oldest version of TLS that `required` and `verified` take."
    )
    retry_initial_s: Annotated[Duration, Field(ge=1, le=_WEEK_S)] = Field(
        default=1200.0, description="The delay before the second attempt."
    )
    retry_max_s: Annotated[Duration, Field(ge=1, le=_WEEK_S)] = Field(
        default=14400.0, description="The longest delay between two attempts."
    )
    retry_factor: Fraction = Field(
        default=2.0, ge=1, le=10, description="Each delay is this many times the one before."
    )
    retry_jitter: Fraction = Field(
        default=0.2, ge=0, le=0.9, description="Each delay is moved by up to this share of itself."
    )
    greylist_retry_s: Annotated[Duration, Field(ge=1, le=_WEEK_S)] = Field(
        default=300.0,
        description="The delay before the second attempt of what was greylisted, where the reply "
        "names none.",
    )
    max_age_s: Annotated[Duration, Field(ge=1, le=_MONTH_S)] = Field(
        default=432000.0, description="A message older than this is returned to its sender."
    )


class ProviderLimitsTable(LimitsTable):
    """``[limits]``, where a provider as a whole can be capped too."""

    provider_connections: ConnectionsOrUnlimited = Field(
        default=None,
        description="Connections open at once, per source over all sites of the provider.",
    )
    provider_connection_rate: RateOrUnlimited = Field(
        default=None,
        description="New connections in a period, per source over all sites of the provider.",
    )
    provider_message_rate: RateOrUnlimited = Field(
        default=None, description="Messages in a period, per source over all sites of the provider."
    )
    provider_byte_rate: ByteRateOrUnlimited = Field(
        default=None, description="Bytes in a period, per source over all sites of the provider."
    )
    adaptive: AdaptiveMode = Field(
        default="off",
        description="Whether the pace that replies ask for is ignored, only shown, or kept to.",
    )
    adaptive_start: PlainRate = Field(
        default=Rate(1, 1.0, 1),
        description="The pace at first, where nothing is known; it doubles while all goes well.",
    )
    adaptive_floor: PlainRate = Field(
        default=Rate(4, 3600.0, 1), description="The pace that is found is never below this."
    )
    adaptive_ceiling: RateOrUnlimited = Field(
        default=None, description="The pace that is found is never above this."
    )
    adaptive_retry_s: Annotated[Duration, Field(ge=1, le=_WEEK_S)] = Field(
        default=60.0,
        description="The delay before the second attempt of what came too fast, where `on`.",
    )


class NarrowTable(ProviderLimitsTable):
    """Limits for mail of one source, tenant or class only; one of them at least is named."""

    source: str | None = Field(default=None, description="For what leaves by this source.")
    tenant: str | None = Field(default=None, description="For mail of this tenant.")
    class_: MailClassName | None = Field(
        default=None, alias="class", description="For mail of this class."
    )
    site: SiteName | None = Field(default=None, description="At this site only.")
    domain: Domain | None = Field(default=None, description="For this recipient domain only.")


class DefaultFile(Table):
    """``policies/default.toml``."""

    limits: ProviderLimitsTable = Field(
        default=ProviderLimitsTable(), description="Limits for every destination."
    )
    site: dict[SiteName, LimitsTable] = Field(
        default={}, description="Limits for one site, by the name that logs and metrics show."
    )
    domain: dict[Domain, LimitsTable] = Field(
        default={}, description="Limits for one recipient domain."
    )
    narrow: tuple[NarrowTable, ...] = Field(
        default=(), max_length=NARROWS_MAX, description="Limits for a part of the mail."
    )


class ProviderFile(DefaultFile):
    """``policies/providers/NAME.toml``."""

    mx: tuple[Suffix, ...] = Field(
        default=(),
        description="The provider's MX hosts end with one of these; all hosts of a domain must.",
    )
    domains: tuple[Domain, ...] = Field(
        default=(), description="Domains that are the provider's whatever their MX hosts."
    )
    limits: ProviderLimitsTable = Field(
        default=ProviderLimitsTable(), description="Limits for the provider's destinations."
    )
