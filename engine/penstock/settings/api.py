"""Settings of the HTTP API, and what cannot be meant in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from penstock.policy.fields import Duration, Size, Table
from penstock.policy.problem import Path
from penstock.policy.units import size_text
from penstock.policy.validation import Checked
from penstock.settings.addresses import parse_listen
from penstock.settings.fields import NO_ADDRESS, Cidr, Listen, PathText

if TYPE_CHECKING:
    from penstock.settings.models import Settings

_MIB = 1 << 20


class ApiSettings(Table):
    """One listener of the HTTP API, served by every worker."""

    listen: Annotated[Listen, NO_ADDRESS] = Field(description="Address and port to listen on.")
    certificate: PathText = Field(
        default="", description="PEM file of the certificate and its chain."
    )
    key: PathText = Field(default="", description="PEM file of the certificate's private key.")
    cleartext: bool = Field(
        default=False,
        description="Keys may cross the network in the clear: a proxy before us does TLS.",
    )
    networks: tuple[Cidr, ...] = Field(
        default=(), max_length=1000, description="Networks that may connect; any if empty."
    )
    proxies: tuple[Cidr, ...] = Field(
        default=(),
        max_length=100,
        description="Networks of proxies whose X-Forwarded-For is believed.",
    )
    request_bytes_max: Size = Field(
        default=40 * _MIB,
        ge=64 * 1024,
        le=1 << 30,
        description="The largest body; 40 MiB hold attachments of 28 MiB in base64.",
    )
    receiving_bytes_max: Size = Field(
        default=256 * _MIB,
        ge=_MIB,
        le=1 << 36,
        description="Memory for the bodies of all requests under way, in each worker.",
    )
    head_bytes_max: Size = Field(
        default=32 * 1024, ge=4096, le=_MIB, description="URL and headers of a request."
    )
    connections_max: int = Field(
        default=1000, ge=1, le=100_000, description="Connections at once, in each worker."
    )
    request_timeout_s: Duration = Field(
        default=60.0, ge=1, le=3600, description="How long a request may take to come in."
    )
    keep_alive_s: Duration = Field(
        default=75.0, ge=1, le=3600, description="How long a connection may be idle."
    )
    refusal_delay_max_s: Duration = Field(
        default=5.0,
        ge=0,
        le=60,
        description="Wrong keys from one client are answered ever later, by this at most.",
    )


def find(checked: Checked[Settings]) -> None:
    """Add a problem to ``checked`` for every contradiction in its listeners of the API."""
    if checked.value is None:
        return
    for index, api in enumerate(checked.value.api):
        here: Path = ("api", index)
        if bool(api.certificate) != bool(api.key):
            given, missing = ("certificate", "key") if api.certificate else ("key", "certificate")
            checked.contradict(
                (*here, given),
                f"a {given} needs a {missing}",
                f'give {missing} = "FILE.pem"',
                about=[(*here, given), (*here, missing)],
            )
        elif not api.certificate and not api.cleartext and not parse_listen(api.listen).loopback:
            checked.contradict(
                (*here, "listen"),
                f"keys would cross the network in the clear at {api.listen}",
                "give a certificate and a key, listen on a loopback address, or set cleartext = "
                "true where a proxy does TLS",
                about=[(*here, "listen"), (*here, "cleartext"), (*here, "certificate")],
            )
        if api.request_bytes_max > api.receiving_bytes_max:
            checked.contradict(
                (*here, "request_bytes_max"),
                f"a body of {size_text(api.request_bytes_max)} could never come in",
                f"receiving_bytes_max is {size_text(api.receiving_bytes_max)}",
                about=[(*here, "request_bytes_max"), (*here, "receiving_bytes_max")],
            )
