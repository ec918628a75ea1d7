"""What may be asked of a new key: one model for the route, the command and the daemon."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from penstock.api.charges import KeyLimits
from penstock.api.fields import Moment
from penstock.api.keys import NAME_CHARS_MAX, NETWORKS_MAX, ScopeName
from penstock.mail.envelope import LABEL_CHARS, is_label
from penstock.policy.rate import Rate
from penstock.settings.addresses import parse_network

REQUEST_BYTES_MIN, REQUEST_BYTES_MAX = 1024, 1 << 30
_RATE_CHARS_MAX = 60


def _tenant(text: str) -> str:
    if text and not is_label(text):
        raise ValueError(f"a tenant is {LABEL_CHARS}")
    return text


def _name(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a name is one line of printable characters")
    return text


def _network(text: str) -> str:
    return str(parse_network(text))


def _rate(text: str) -> str:
    return str(Rate.parse(text))


RateText = Annotated[
    str,
    Field(max_length=_RATE_CHARS_MAX),
    AfterValidator(_rate),
]


class KeyOrder(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: Annotated[str, Field(max_length=NAME_CHARS_MAX), AfterValidator(_name)] = Field(
        default="", description="For people: what it is for.", examples=["shop's server"]
    )
    tenant: Annotated[str, Field(max_length=64), AfterValidator(_tenant)] = Field(
        default="",
        description="The one tenant whose things it sees and does; empty: all.",
        examples=["shop"],
    )
    scopes: list[ScopeName] = Field(
        min_length=1,
        max_length=8,
        description="What it may do: send mail, read what became of it, administer.",
        examples=[["send", "read"]],
    )
    networks: list[Annotated[str, Field(max_length=64), AfterValidator(_network)]] = Field(
        default=[],
        max_length=NETWORKS_MAX,
        description="Networks that it is good from; any if empty.",
        examples=[["192.0.2.0/24"]],
    )
    rate: RateText | None = Field(
        default=None, description="Requests, of all workers together.", examples=["100/s"]
    )
    message_rate: RateText | None = Field(
        default=None,
        description="Recipients that it sends to, of all workers together.",
        examples=["1000/min burst 500"],
    )
    request_bytes_max: int | None = Field(
        default=None,
        ge=REQUEST_BYTES_MIN,
        le=REQUEST_BYTES_MAX,
        description="A smaller bound on bodies than the listener's.",
        examples=[1_048_576],
    )
    expires_at: Moment | None = Field(
        default=None,
        description="When it ceases to be good; never if not given.",
        examples=["2031-05-17T09:30:00Z"],
    )

    def limits(self) -> KeyLimits:
        return KeyLimits(
            Rate.parse(self.rate) if self.rate else None,
            Rate.parse(self.message_rate) if self.message_rate else None,
        )

    def parsed_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        return tuple(ip_network(text) for text in self.networks)
