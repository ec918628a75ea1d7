"""The shape of ``policies/sources.toml``: where mail leaves from.

``[source.NAME]`` is one sending identity, ``[pool.NAME]`` weighs several. Addresses are checked for
their form only; whether this machine has them is asked where they are bound.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from penstock.policy.egress import PROXY_PATTERN, parse_proxy
from penstock.policy.fields import (
    ByteRateOrUnlimited,
    RateOrUnlimited,
    Shown,
    StandIn,
    Table,
    text_form,
)
from penstock.policy.models import ConnectionsOrUnlimited
from penstock.policy.names import parse_name

WEIGHT_MAX = 1000
SOURCES_MAX = 10_000
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_NAME = re.compile(NAME_PATTERN)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("letters, digits and . _ - make a name, 64 at most")
    return text


def _ipv4(text: str) -> str:
    return str(_address(text, IPv4Address, "an IPv4 address", "192.0.2.1"))


def _ipv6(text: str) -> str:
    return str(_address(text, IPv6Address, "an IPv6 address", "2001:db8::1"))


def _address(
    text: str, kind: type[IPv4Address] | type[IPv6Address], called: str, example: str
) -> IPv4Address | IPv6Address:
    try:
        address = kind(text.strip())
    except ValueError:
        raise ValueError(f'not {called}: {text!r}; write one like "{example}"') from None
    if address.is_unspecified or address.is_multicast:
        raise ValueError(f"no mail leaves from {text!r}")
    return address


def _proxy(text: str) -> str:
    return str(parse_proxy(text))


def _weights(value: object) -> object:
    """``["s1", "s2"]`` as ``{ s1 = 1, s2 = 1 }``."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, tuple | list):
        raise ValueError('expected { s1 = 3, s2 = 1 }, or ["s1", "s2"] for equal weights')
    if not all(isinstance(item, str) for item in value):
        raise ValueError('expected names of sources in quotes, like ["s1", "s2"]')
    if len(set(value)) < len(value):
        raise ValueError("a source is named twice; write { NAME = WEIGHT } to weigh them")
    return dict.fromkeys(value, 1)


Name = Annotated[str, AfterValidator(_name), Shown("name", forms=(text_form(NAME_PATTERN, "s1"),))]
IPv4 = Annotated[str, AfterValidator(_ipv4), Shown('IPv4 address, like "192.0.2.1"')]
IPv6 = Annotated[str, AfterValidator(_ipv6), Shown('IPv6 address, like "2001:db8::1"')]
HostName = Annotated[str, AfterValidator(parse_name), Shown("host name")]
ProxyText = Annotated[
    str,
    AfterValidator(_proxy),
    Shown(
        '"haproxy://HOST:PORT" or "socks5://HOST:PORT"',
        forms=(text_form(PROXY_PATTERN, "haproxy://192.0.2.9:2525", "socks5://192.0.2.9:1080"),),
    ),
]
Weight = Annotated[int, Field(ge=1, le=WEIGHT_MAX)]
Weights = Annotated[
    dict[str, Weight],
    BeforeValidator(_weights),
    Shown(
        "table of weights, like `{ s1 = 3, s2 = 1 }`, or list of names",
        forms=(
            {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"type": "integer", "minimum": 1, "maximum": WEIGHT_MAX},
            },
            {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"type": "string"}},
        ),
    ),
    StandIn({}),
]


class SourceTable(Table):
    """One sending identity: an address of each kind at most, a name, limits over all it sends."""

    ipv4: IPv4 | None = Field(
        default=None, description="The address to send from; with a proxy, the one it is to use."
    )
    ipv6: IPv6 | None = Field(default=None, description="The same for destinations with IPv6.")
    ehlo: HostName | None = Field(
        default=None, description="The name in EHLO; without it the `hostname` of the settings."
    )
    proxy: ProxyText | None = Field(
        default=None, description="Connect by way of a HAProxy-like peer (PROXY v2) or SOCKS5."
    )
    proxy_user: str | None = Field(
        default=None, min_length=1, max_length=255, description="User name for a SOCKS5 proxy."
    )
    proxy_password_file: str | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        description="File with that user's password; a relative path counts from the policies.",
    )
    warmup: Name | None = Field(
        default=None, description="Warm it by this plan, the name of a file under `warmup/`."
    )
    connections: ConnectionsOrUnlimited = Field(
        default=None, description="Connections open at once from this source."
    )
    connection_rate: RateOrUnlimited = Field(
        default=None, description="New connections in a period from this source."
    )
    message_rate: RateOrUnlimited = Field(
        default=None, description="Messages in a period from this source; a recipient counts one."
    )
    byte_rate: ByteRateOrUnlimited = Field(
        default=None, description="Bytes in a period from this source."
    )


class PoolTable(Table):
    """Sources that share the mail that is given to the pool."""

    sources: Weights = Field(description="The sources, each with its weight, 1 to 1000.")
    overflow: Name | None = Field(
        default=None, description="The pool that takes over where no source here may send."
    )


class SourcesFile(Table):
    """``policies/sources.toml``."""

    source: dict[Name, SourceTable] = Field(
        default={}, max_length=SOURCES_MAX, description="Sources by name."
    )
    pool: dict[Name, PoolTable] = Field(
        default={}, max_length=SOURCES_MAX, description="Pools by name."
    )
