"""Which addresses mail may be sent to, when it was DNS and not the operator that named them.

Anybody can publish an MX record that points to 127.0.0.1, to a private network or to this very
machine. Mail must not follow it there: only a route, which the operator wrote, may.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection
from pathlib import Path

_LITERAL = re.compile(r"\[(?:ipv6:)?([0-9a-f.:]+)\]", re.IGNORECASE)
_LOCAL_ROUTE = re.compile(r"\|-- (\d+\.\d+\.\d+\.\d+)\n\s+/32 host LOCAL")


def literal_address(domain: str) -> str | None:
    """The address of a domain literal, ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]`` (RFC 5321
    4.1.3)."""
    match = _LITERAL.fullmatch(domain)
    if match is None:
        return None
    return address_text(match.group(1))


def address_text(text: str) -> str | None:
    """The address in its canonical form, or ``None`` where ``text`` is a name."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def why_forbidden(address: str, own: Collection[str] = ()) -> str:
    """Why mail does not go to this address unless a route says so; ``""`` where it may."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if str(ip) in own:
        return "own"
    if ip.is_unspecified:
        return "unspecified"
    if ip.is_loopback:
        return "loopback"
    if ip.is_link_local:
        return "link-local"
    if ip.is_multicast:
        return "multicast"
    if not ip.is_global:
        return "private or reserved"
    return ""


def interface_addresses(read: Callable[[str], str] | None = None) -> frozenset[str]:
    """The addresses of this machine, as Linux lists them; empty where it does not."""
    read = read or _read
    found = set(_LOCAL_ROUTE.findall(read("/proc/net/fib_trie")))
    for line in read("/proc/net/if_inet6").splitlines():
        raw = line.partition(" ")[0]
        if len(raw) == 32:
            found.add(str(ipaddress.IPv6Address(int(raw, 16))))
    return frozenset(found)


def _read(path: str) -> str:
    try:
        return Path(path).read_text("ascii", "replace")
    except OSError:
        return ""
