"""Addresses as the settings write them: where to listen, the next hop, networks. All pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from penstock.policy.names import parse_name

Network = IPv4Network | IPv6Network
_HOST_PORT = re.compile(
    r"(?:\[(?P<bracketed>[^\[\]\s]+)\]|(?P<plain>[^\[\]:\s]+)):(?P<port>\d{1,5})"
)
_PORT_MAX = 65535
_SMTP_PORT = 25


@dataclass(frozen=True, slots=True)
class Address:
    """``host`` is an IP address without brackets, or a name. ``str`` gives ``host:port``."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def overlaps(self, other: Address) -> bool:
        """Whether both cannot be listened on at once. Port 0 is any free port."""
        if self.port != other.port or self.port == 0:
            return False
        mine, its = _bound(self.host), _bound(other.host)
        if mine.version != its.version:
            return False
        return mine == its or bool(mine.is_unspecified or its.is_unspecified)


def _bound(host: str) -> IPv4Address | IPv6Address:
    return ip_address("127.0.0.1" if host == "localhost" else host)


def parse_listen(text: str) -> Address:
    """``127.0.0.1:2525``, ``[::1]:2525`` or ``localhost:2525``; else ``ValueError``."""
    address = _parse(text, "an address to listen on")
    if address.host == "localhost":
        return address
    try:
        return Address(str(ip_address(address.host)), address.port)
    except ValueError:
        raise ValueError(
            f"{address.host!r} is not an IP address; 0.0.0.0 or [::] listens on all of them"
        ) from None


def parse_next_hop(text: str) -> Address:
    """``host``, ``host:port`` or ``[IPv6]:port``; port 25 where none is given."""
    text = text.strip()
    bare = text.count(":") != 1 and not re.search(r"\]:\d+$", text)
    if bare:
        inner = text.removeprefix("[").removesuffix("]")
        text = f"[{inner}]:{_SMTP_PORT}" if ":" in inner else f"{inner}:{_SMTP_PORT}"
    address = _parse(text, "a next hop")
    if address.port == 0:
        raise ValueError("a next hop's port is 1 to 65535")
    try:
        return Address(str(ip_address(address.host)), address.port)
    except ValueError:
        if ":" in address.host:
            raise ValueError(f"{address.host!r} is not an IPv6 address") from None
        return Address(parse_name(address.host), address.port)


def parse_network(text: str) -> Network:
    """A CIDR block or a single address; host bits must be clear."""
    try:
        return ip_network(text.strip())
    except ValueError:
        pass
    try:
        meant = ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(f'not a network: {text!r}; write "192.0.2.0/24" or "::1/128"') from None
    raise ValueError(f'{text!r} has bits set beyond its prefix; did you mean "{meant}"?')


def _parse(text: str, what: str) -> Address:
    found = _HOST_PORT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f'not {what}: {text!r}; write "host:port" or "[IPv6 address]:port"')
    if found["bracketed"] and ":" not in found["bracketed"]:
        raise ValueError(f"{found['bracketed']!r} is not an IPv6 address; no brackets for others")
    port = int(found["port"])
    if port > _PORT_MAX:
        raise ValueError(f"port {port} is beyond {_PORT_MAX}")
    return Address((found["bracketed"] or found["plain"]).lower(), port)
