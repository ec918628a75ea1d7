"""Settings of what comes in: the SMTP listeners and the HTTP listener."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from penstock.policy.fields import Duration, Size, StandIn, Table
from penstock.settings.fields import (
    NO_ADDRESS,
    NO_PASSWORD,
    Cidr,
    DomainName,
    GivenLabel,
    Label,
    Listen,
    PasswordHash,
    PathText,
    Text,
)

_MIB = 1 << 20
_DAY_S = 86_400.0
# What a listener of role feedback has where nothing is said: it talks to the whole internet.
FEEDBACK_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "relay_from": (),
        "size_max_bytes": _MIB,
        "recipients_max": 10,
        "connections_max": 100,
        "connections_per_client_max": 10,
        "receiving_bytes_max": 32 * _MIB,
        "errors_max": 5,
        "command_timeout_s": 60.0,
        "data_timeout_s": 60.0,
    }
)

MailClass = Literal["transactional", "triggered", "bulk"]
MailClassOrNone = Literal["", "transactional", "triggered", "bulk"]


class Account(Table):
    """Someone who may submit mail with a password."""

    user: Annotated[Text, StandIn("nobody")] = Field(description="The name to authenticate with.")
    password_hash: Annotated[PasswordHash, NO_PASSWORD] = Field(
        description="The argon2 hash of the password; the password itself is kept nowhere."
    )
    tenant: Label = Field(
        default="",
        description="The tenant that the account's mail counts for; its mail can name no other.",
    )
    campaign: Label = Field(
        default="", description="The campaign of mail that has no X-Penstock-Campaign."
    )
    class_: MailClassOrNone = Field(
        default="", alias="class", description="The class of mail that has no X-Penstock-Class."
    )
    pool: Label = Field(default="", description="The pool of mail that has no X-Penstock-Pool.")
    classes: tuple[MailClass, ...] = Field(
        default=(), max_length=3, description="What X-Penstock-Class may say; any if empty."
    )
    pools: tuple[GivenLabel, ...] = Field(
        default=(), max_length=100, description="What X-Penstock-Pool may name; any if empty."
    )


class SmtpSettings(Table):
    """One SMTP listener."""

    listen: Annotated[Listen, NO_ADDRESS] = Field(
        description="Address and port to listen on; [::1]:25 for IPv6."
    )
    role: Literal["relay", "feedback"] = Field(
        default="relay", description="Takes mail to send; or reports on mail sent, and no other."
    )
    domains: tuple[DomainName, ...] = Field(
        default=(),
        max_length=1000,
        description="For role feedback: domains beside those that the tenants' feedback names.",
    )
    tls: Literal["none", "starttls", "implicit"] = Field(
        default="none", description="No TLS, STARTTLS offered, or TLS from the first byte."
    )
    certificate: PathText = Field(
        default="", description="PEM file of the certificate and its chain."
    )
    key: PathText = Field(default="", description="PEM file of the certificate's private key.")
    auth: tuple[Account, ...] = Field(
        default=(),
        max_length=10_000,
        description="Accounts that may relay; offered under TLS or from loopback only.",
    )
    relay_from: tuple[Cidr, ...] = Field(
        default=(ip_network("127.0.0.0/8"), ip_network("::1/128")),
        description="Networks that may relay without authentication.",
    )
    tenant: Label = Field(
        default="",
        description="The tenant of mail without login, and of accounts that have none.",
    )
    campaign: Label = Field(default="", description="Likewise the campaign.")
    class_: MailClassOrNone = Field(
        default="", alias="class", description="Likewise the class of mail."
    )
    pool: Label = Field(default="", description="Likewise the pool that sends it.")
    deliver_at_max_s: Duration = Field(
        default=31 * _DAY_S,
        ge=1,
        le=366 * _DAY_S,
        description="How far ahead X-Penstock-Deliver-At may lie.",
    )
    proxy_from: tuple[Cidr, ...] = Field(
        default=(),
        description="Networks of load balancers that speak the PROXY protocol, and must.",
    )
    size_max_bytes: Size = Field(
        default=50 * _MIB,
        ge=64 * 1024,
        le=1 << 30,
        description="The largest message taken; 1 MiB with role feedback.",
    )
    recipients_max: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Recipients of a message; 100 or more (RFC 5321), 10 with role feedback.",
    )
    connections_max: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Connections at once, in each worker; 100 with role feedback.",
    )
    connections_per_client_max: int = Field(
        default=100,
        ge=1,
        le=100_000,
        description="Of these from one client address; 10 with role feedback.",
    )
    receiving_bytes_max: Size = Field(
        default=256 * _MIB,
        ge=_MIB,
        le=1 << 36,
        description="Memory for unfinished messages of all connections, in each worker.",
    )
    errors_max: int = Field(
        default=20, ge=1, le=10_000, description="Errors in a session before it is closed."
    )
    command_timeout_s: Duration = Field(
        default=300.0,
        ge=1,
        le=3600,
        description="How long to wait for a command; a minute with role feedback.",
    )
    data_timeout_s: Duration = Field(
        default=180.0,
        ge=1,
        le=3600,
        description="How long for the next bytes of a message; a minute with role feedback.",
    )
    bytes_per_s_min: Size = Field(
        default=100,
        ge=0,
        le=1 << 30,
        description="A sender slower than this over a minute of content is cut off; 0 is never.",
    )
    bare_newlines: Literal["refuse", "accept"] = Field(
        default="refuse",
        description="A CR or LF alone in a message: refused (SMTP smuggling), or made CRLF.",
    )

    @model_validator(mode="before")
    @classmethod
    def _strict_for_reports(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("role") == "feedback":
            return {**FEEDBACK_DEFAULTS, **data}
        return data


class HttpSettings(Table):
    """The HTTP listener: metrics and health."""

    listen: Annotated[Listen, NO_ADDRESS] = Field(description="Address and port to listen on.")
    concurrency_max: int = Field(
        default=100, ge=1, le=10_000, description="Requests and connections at once; more get 503."
    )
