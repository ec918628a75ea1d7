"""The kinds of values that only the settings hold: paths, addresses, names, hashes."""

from __future__ import annotations

import os.path
from ipaddress import ip_address
from typing import Annotated, Literal

from argon2 import extract_parameters
from argon2.exceptions import InvalidHashError
from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo

from penstock.mail.envelope import LABEL_CHARS, is_label
from penstock.policy.fields import Shown, StandIn
from penstock.policy.names import parse_name
from penstock.settings.addresses import Network, parse_listen, parse_network, parse_next_hop

WORKERS_MAX = 64
NO_ADDRESS = StandIn("127.0.0.1:0")
NO_PASSWORD = StandIn("$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
_TEXT_MAX = 255


def _listen(text: str) -> str:
    return str(parse_listen(text))


def _next_hop(text: str) -> str:
    return str(parse_next_hop(text))


def _network(value: object) -> Network:
    if not isinstance(value, str):
        raise ValueError('expected a network in quotes, like "192.0.2.0/24"')
    return parse_network(value)


def _host_name(text: str) -> str:
    """A name, or an address literal (RFC 5321 4.1.3) for a host that has none."""
    if text.startswith("[") and text.endswith("]"):
        ip_address(text[1:-1].removeprefix("IPv6:"))
        return text
    return parse_name(text)


def _pattern(text: str) -> str:
    """``*``, ``example.com`` or ``*.example.com``."""
    if text == "*":
        return text
    if text.startswith("*."):
        return f"*.{parse_name(text[2:])}"
    return parse_name(text)


def _path(text: str, info: ValidationInfo) -> str:
    """Relative paths count from the directory of the config file, which the context names."""
    if "\0" in text:
        raise ValueError("a path holds no NUL")
    if not text:
        return text
    directory = (info.context or {}).get("directory", "")
    return os.path.normpath(os.path.join(directory, text))


def _workers(value: object) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f'expected "auto" or an integer 1 to {WORKERS_MAX}')
    if not 1 <= value <= WORKERS_MAX:
        raise ValueError(f'must be 1 to {WORKERS_MAX}, or "auto"')
    return value


def _password_hash(text: str) -> str:
    try:
        extract_parameters(text)
    except InvalidHashError:
        raise ValueError('not an argon2 hash ("$argon2id$..."), the only kind taken') from None
    return text


def _label(text: str) -> str:
    if text and not is_label(text):
        raise ValueError(f"not {LABEL_CHARS}: {text!r}")
    return text


def _selector(text: str) -> str:
    parse_name(text)
    return text.lower()


Text = Annotated[str, Field(min_length=1, max_length=_TEXT_MAX)]
Listen = Annotated[str, AfterValidator(_listen), Shown("address, host:port")]
NextHop = Annotated[str, AfterValidator(_next_hop), Shown("address, host or host:port")]
Cidr = Annotated[Network, PlainValidator(_network), Shown("network, like 192.0.2.0/24")]
HostName = Annotated[Text, AfterValidator(_host_name), Shown("host name")]
DomainName = Annotated[Text, AfterValidator(parse_name), Shown("domain name")]
DomainPattern = Annotated[Text, AfterValidator(_pattern), Shown("domain, *.domain or *")]
Label = Annotated[str, AfterValidator(_label), Shown(f"name, {LABEL_CHARS}")]
GivenLabel = Annotated[Label, Field(min_length=1)]
Selector = Annotated[Text, AfterValidator(_selector), Shown("DKIM selector")]
PathText = Annotated[
    str, Field(max_length=4096, validate_default=True), AfterValidator(_path), Shown("path")
]
RequiredPath = Annotated[PathText, Field(min_length=1)]
Workers = Annotated[
    int | Literal["auto"],
    PlainValidator(_workers),
    Shown(f'"auto", or integer 1 to {WORKERS_MAX}'),
]
PasswordHash = Annotated[str, AfterValidator(_password_hash), Shown("argon2 hash")]
