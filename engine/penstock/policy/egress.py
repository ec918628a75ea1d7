"""Where mail leaves from, as values: sources, the proxies before them, and pools of sources.

Without a file there is one source, ``default``: the machine chooses the address and the settings
the name. It is in the one pool, ``default``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from types import MappingProxyType
from typing import Literal

from penstock.policy.limits import Placed
from penstock.policy.names import parse_name
from penstock.policy.rate import ByteRate, Rate

DEFAULT = "default"
ProxyKind = Literal["haproxy", "socks5"]
PROXY_PATTERN = r"(haproxy|socks5)://(?:\[([^\]]+)\]|([^:/\[\]]+)):(\d{1,5})/?"


@dataclass(frozen=True, slots=True)
class Proxy:
    """``haproxy``: the peer is told where to connect, and from which address, by a PROXY protocol
    v2 header; ``socks5``: by RFC 1928. ``host`` is a name or an address without brackets."""

    kind: ProxyKind
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{host}:{self.port}"


def parse_proxy(text: str) -> Proxy:
    """``KIND://HOST:PORT``; ``ValueError`` says what is wrong with it."""
    text = text.strip()
    found = re.fullmatch(PROXY_PATTERN, text)
    if found is None:
        if re.fullmatch(PROXY_PATTERN, f"{text.rstrip('/')}:1"):
            raise ValueError(f'a proxy needs a port: write "{text.rstrip("/")}:PORT"')
        raise ValueError(
            f'not a proxy: {text!r}; write "haproxy://HOST:PORT" or "socks5://HOST:PORT"'
        )
    kind, inner, name, port = found.groups()
    if not 1 <= int(port) <= 65535:
        raise ValueError(f"{port} is no port; 1 to 65535")
    host = str(ip_address(inner)) if inner else parse_name(name)
    return Proxy("haproxy" if kind == "haproxy" else "socks5", host, int(port))


@dataclass(frozen=True, slots=True)
class Source(Placed):
    """One sending identity. ``ipv4`` and ``ipv6`` are ``""`` where there is none (both in the
    built-in source: the machine chooses); ``ehlo`` is ``""`` for the daemon's own name. The limits
    hold over all that leaves by it, ``None`` is unlimited; ``warmup`` names the plan that it is
    warmed by, ``""`` where it is warm."""

    name: str
    ipv4: str = ""
    ipv6: str = ""
    ehlo: str = ""
    proxy: Proxy | None = None
    proxy_user: str = ""
    proxy_password_file: str = ""
    connections: int | None = None
    connection_rate: Rate | None = None
    message_rate: Rate | None = None
    byte_rate: ByteRate | None = None
    warmup: str = ""


@dataclass(frozen=True, slots=True)
class Pool(Placed):
    """``sources``: weights by name; ``overflow``: the next pool, ``""`` is none."""

    name: str
    sources: Mapping[str, int]
    overflow: str = ""


BUILT_IN_SOURCES: Mapping[str, Source] = MappingProxyType({DEFAULT: Source(DEFAULT)})
BUILT_IN_POOLS: Mapping[str, Pool] = MappingProxyType(
    {DEFAULT: Pool(DEFAULT, MappingProxyType({DEFAULT: 1}))}
)
