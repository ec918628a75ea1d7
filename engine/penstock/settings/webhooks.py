"""Settings of what tells others: webhooks, and other sinks of events."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from penstock.policy.fields import Duration, Shown, Size, StandIn, Table
from penstock.settings.fields import GivenLabel, PathText, RequiredPath, Text

_KIB, _MIB = 1 << 10, 1 << 20
_HEADER = re.compile(
    r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}): *([\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?)"
)
_OURS = re.compile(r"webhook-.*|host|content-.*|transfer-encoding|connection|user-agent", re.I)
_URL_MAX = 2000

EventType = Literal[
    "accepted", "rejected", "delivered", "deferred", "bounced", "expired", "cancelled",
    "suppressed", "complained", "unsubscribed", "auto-replied", "admin", "policy",
]  # fmt: skip


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port_fits = parts.port != 0
    except ValueError:
        raise ValueError(f"not a URL: {text!r}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_fits:
        raise ValueError(f'expected "https://host/path", not {text!r}')
    if parts.username is not None or parts.fragment or not text.isascii() or not text.isprintable():
        raise ValueError(f"a webhook's URL holds no password, no # and ASCII only: {text!r}")
    return text


def _header(text: str) -> str:
    found = _HEADER.fullmatch(text)
    if not found:
        raise ValueError('expected a header, like "X-Api-Key: 1234"')
    if _OURS.fullmatch(found[1]):
        raise ValueError(f"the header {found[1]} is set by the engine")
    return text


def _tenant(text: str) -> str:
    from penstock.mail.envelope import LABEL_CHARS, is_label

    if text != "*" and not is_label(text):
        raise ValueError(f'not "*" and not {LABEL_CHARS}: {text!r}')
    return text


WebhookUrl = Annotated[
    str, Field(max_length=_URL_MAX), AfterValidator(_url), Shown('URL, "https://host/path"')
]
Header = Annotated[str, Field(max_length=1000), AfterValidator(_header), Shown('"Name: value"')]
TenantOrAll = Annotated[str, AfterValidator(_tenant), Shown('name of a tenant, or "*"')]


class WebhookSettings(Table):
    """An endpoint that is told of events, in batches."""

    name: Annotated[GivenLabel, StandIn("webhook")] = Field(
        description="The name that commands and metrics know it by; its queue belongs to it."
    )
    url: Annotated[WebhookUrl, StandIn("https://example.com/")] = Field(
        description="Where batches are posted; https, but for addresses that are not public."
    )
    tenant: Annotated[TenantOrAll, StandIn("*")] = Field(
        description='Whose events it is told; "*" for those of all tenants and of none.'
    )
    events: tuple[EventType, ...] = Field(
        default=(), max_length=20, description="The types of events it is told; all if empty."
    )
    secret_file: Annotated[RequiredPath, StandIn("secret")] = Field(
        description="File of secrets, a whsec_ line each; all of them sign, for an exchange of one."
    )
    headers: tuple[Header, ...] = Field(
        default=(), max_length=20, description="Headers sent with each batch."
    )
    batch_events_max: int = Field(default=500, ge=1, le=10_000, description="Events in a batch.")
    batch_bytes_max: Size = Field(
        default=512 * _KIB,
        ge=_KIB,
        le=16 * _MIB,
        description="Size of a batch; one event at least.",
    )
    batch_wait_s: Duration = Field(
        default=1.0, ge=0, le=300, description="How long an event may wait for more to go with it."
    )
    timeout_s: Duration = Field(
        default=15.0, ge=1, le=120, description="How long the endpoint may take for its answer."
    )
    connections_max: int = Field(
        default=2, ge=1, le=32, description="Batches on their way to it at once."
    )
    queue_bytes_max: Size = Field(
        default=64 * _MIB,
        ge=_MIB,
        le=1 << 36,
        description="Events on disk for it; further ones are left in the event log until they fit.",
    )
    allow_private: bool = Field(
        default=False,
        description="Whether it may be at an address that is not public, and without TLS.",
    )
    certificate_authorities: PathText = Field(
        default="", description="PEM file of those to trust; the system's if not given."
    )


class WebhooksSettings(Table):
    """All webhooks together."""

    connections_max: int = Field(
        default=64, ge=2, le=1000, description="Batches on their way at once, to all endpoints."
    )
    slow_connections_max: int = Field(
        default=16,
        ge=1,
        le=999,
        description="Of these, batches to endpoints that failed or were slow the last time.",
    )
    slow_s: Duration = Field(
        default=2.0, ge=0.01, le=120, description="An answer that takes longer is slow."
    )
    buffer_bytes_max: Size = Field(
        default=4 * _MIB,
        ge=64 * _KIB,
        le=1 << 30,
        description="Events in memory on their way to the queues on disk.",
    )


class SinkSettings(Table):
    """A message broker that is told of events."""

    name: Annotated[GivenLabel, StandIn("sink")] = Field(
        description="The name that commands and metrics know it by; its place belongs to it."
    )
    kind: Annotated[Literal["nats", "kafka"], StandIn("nats")] = Field(
        description="NATS JetStream (needs penstock[nats]) or Kafka (needs penstock[kafka])."
    )
    servers: Annotated[tuple[Text, ...], Field(min_length=1, max_length=32), StandIn(("h:1",))] = (
        Field(description='Where to connect first: "nats://host:4222", or "host:9092" for Kafka.')
    )
    tenant: TenantOrAll = Field(
        default="*", description='Whose events it is told; "*" for those of all tenants.'
    )
    events: tuple[EventType, ...] = Field(
        default=(), max_length=20, description="The types of events it is told; all if empty."
    )
    subject: Text = Field(
        default="mail.{tenant}.{type}",
        description="Subject or topic; {tenant} and {type} stand for those of the event.",
    )
    in_flight_max: int = Field(
        default=256, ge=1, le=10_000, description="Events sent and not acknowledged yet."
    )
    timeout_s: Duration = Field(
        default=10.0, ge=0.1, le=120, description="How long a connection or an answer may take."
    )
    tls: bool = Field(default=False, description="Whether the connection is under TLS.")
    certificate_authorities: PathText = Field(
        default="", description="PEM file of those to trust; the system's if not given."
    )
    credentials_file: PathText = Field(
        default="", description="Credentials of a NATS user (JWT and seed)."
    )
    user: str = Field(default="", max_length=255, description="User, if the broker wants one.")
    password_file: PathText = Field(default="", description="File of the user's password.")
