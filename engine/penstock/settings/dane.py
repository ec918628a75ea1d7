"""Settings of DANE: TLSA records that say which certificates mail hosts have (RFC 7672)."""

from __future__ import annotations

from pydantic import Field

from penstock.policy.fields import Table
from penstock.settings.outbound import NameServer


class DaneSettings(Table):
    """Limits of look-ups are those of ``[dns]``."""

    enabled: bool = Field(
        default=False,
        description="Whether signed TLSA records are obeyed; needs a resolver that validates.",
    )
    nameservers: tuple[NameServer, ...] = Field(
        default=(),
        max_length=8,
        description="Resolvers that validate and are believed; none given means the system's, "
        "which are believed on loopback only.",
    )
