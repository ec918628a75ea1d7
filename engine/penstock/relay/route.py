"""Fixed next hops: domain patterns and the host that their mail goes to instead of the MX."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from penstock.relay.addresses import address_text

_NEXT_HOP = re.compile(r"(?:\[([^\[\]\s]+)\]|([^\[\]:\s]+))(?::(\d{1,5}))?")
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Route:
    """``domains``: ``*``, ``example.com`` (itself only) or ``*.example.com`` (below it only)."""

    domains: tuple[str, ...]
    host: str  # a name, or an address in canonical form
    port: int = 25

    @classmethod
    def parse(cls, domains: Iterable[str], next_hop: str) -> Route:
        """``next_hop``: ``host``, ``host:port`` or ``[v6]:port``, name or address.

        Raises ``ValueError`` with a sentence for the person who wrote it.
        """
        match = _NEXT_HOP.fullmatch(next_hop.strip())
        if match is None:
            raise ValueError(f"next hop {next_hop!r} is not host:port or [IPv6 address]:port")
        bracketed, plain, port_text = match.groups()
        port = int(port_text or 25)
        if not 1 <= port <= 65535:
            raise ValueError(f"next hop {next_hop!r}: port must be 1 to 65535")
        host = (bracketed or plain).lower().rstrip(".")
        address = address_text(host)
        if address is None and (bracketed is not None or not _NAME.fullmatch(host)):
            kind = "an address" if bracketed is not None else "a host name or address"
            raise ValueError(f"next hop {next_hop!r}: {host!r} is not {kind}")
        return cls(tuple(domain.lower().rstrip(".") for domain in domains), address or host, port)

    @property
    def next_hop(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def matches(self, domain: str) -> bool:
        """``domain`` in lower case, A-labels."""
        return any(_matches(pattern, domain) for pattern in self.domains)


def _matches(pattern: str, domain: str) -> bool:
    if pattern == "*" or pattern == domain:
        return True
    return pattern.startswith("*.") and domain.endswith(pattern[1:])
