"""Client addresses: whether they are in a set of networks, and what counts as one client."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

UNKNOWN = "unknown"


def plain_address(peername: object) -> str:
    """The address in a socket's peer name: no scope, IPv4 where it was mapped into IPv6;
    ``"unknown"`` where it is none (a Unix socket)."""
    host = peername[0] if isinstance(peername, tuple) and peername else ""
    try:
        address = ip_address(str(host).partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def client_key(address: str) -> str:
    """What limits per client count: an IPv4 address, or an IPv6 /64, which is one subscriber."""
    if ":" not in address:
        return address
    return str(IPv6Network((address, 64), strict=False).network_address) + "/64"


class Networks:
    """CIDR networks; a host address is a network of one. Raises ``ValueError`` for what is none."""

    __slots__ = ("_networks",)

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(
            ip_network(network) for network in networks
        )

    def __contains__(self, address: object) -> bool:
        try:
            ip = ip_address(str(address))
        except ValueError:
            return False
        return any(ip in network for network in self._networks)

    def __bool__(self) -> bool:
        return bool(self._networks)


LOOPBACK = Networks(("127.0.0.0/8", "::1/128"))
