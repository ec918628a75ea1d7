"""Settings of the page where recipients unsubscribe."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from penstock.policy.fields import Duration, PlainRate, Shown, Size, Table
from penstock.policy.rate import Rate
from penstock.settings.fields import NO_ADDRESS, Cidr, Listen, PathText

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")


def _prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text) or len(text) > 100:
        raise ValueError(f'expected a path without a slash at its end, like "/u", not {text!r}')
    return text


def _header_name(text: str) -> str:
    if not _HEADER_NAME.fullmatch(text):
        raise ValueError(f"not a header's name: {text!r}")
    return text


class UnsubscribeSettings(Table):
    """The one-click endpoint of RFC 8058 and its page."""

    listen: Annotated[Listen, NO_ADDRESS] = Field(description="Address and port to listen on.")
    certificate: PathText = Field(
        default="", description="PEM file of the certificate; none: a proxy before us does TLS."
    )
    key: PathText = Field(default="", description="PEM file of the certificate's private key.")
    path: Annotated[str, AfterValidator(_prefix), Shown("path")] = Field(
        default="/u", description="What stands before the token in the URL's path."
    )
    proxies: tuple[Cidr, ...] = Field(
        default=(), max_length=100, description="Networks of proxies that are believed."
    )
    client_header: Annotated[str, AfterValidator(_header_name), Shown("name of a header")] = Field(
        default="X-Forwarded-For", description="The header in which they name the client."
    )
    rate: PlainRate = Field(
        default=Rate(300, 1.0, 600), description="Requests in all; more get 429."
    )
    client_rate: PlainRate = Field(
        default=Rate(1200, 60.0, 300), description="Requests of one client; more get 429."
    )
    forged_rate: PlainRate = Field(
        default=Rate(30, 60.0, 10),
        description="Requests with a bad token of one client; with more it gets 429.",
    )
    clients_max: int = Field(
        default=10_000, ge=100, le=1_000_000, description="Clients that are remembered."
    )
    recent_max: int = Field(
        default=10_000,
        ge=100,
        le=1_000_000,
        description="Tokens remembered, so that one who clicks twice is told of once.",
    )
    body_bytes_max: Size = Field(
        default=16 << 10, ge=1024, le=1 << 20, description="Size of a request's content."
    )
    body_timeout_s: Duration = Field(
        default=10.0, ge=0.1, le=60, description="How long a request may take to come in."
    )
    connections_max: int = Field(
        default=500, ge=1, le=100_000, description="Connections and requests at once; more get 503."
    )
