"""Which sources can be used now: those whose addresses are on this machine.

An address may be moved to another machine, or come up late, while we run; that takes out its source
and no other. What counts is whether it can be bound, so nothing is listed or parsed: the kernel is
asked about each address, which takes microseconds and blocks on nothing.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

Bind = Callable[[str], None]


def bind(address: str) -> None:
    """Bind a socket to ``address`` and let go of it again; ``OSError`` where that cannot be."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((address, 0))


def missing_addresses(addresses: Iterable[str], bind: Bind = bind) -> list[str]:
    """Those of ``addresses``, in their order, that are not of this machine."""
    return [address for address in dict.fromkeys(addresses) if _why_missing(address, bind)]


class SourceAddress(NamedTuple):
    """A source as far as its presence goes. ``proxied``: the addresses are of the proxy, and so
    nothing that this machine could tell."""

    ipv4: str = ""
    ipv6: str = ""
    proxied: bool = False


class Change(NamedTuple):
    """``source`` has come (``up``) or gone, and why; ``reason`` is ``""`` where it has come."""

    source: str
    up: bool
    reason: str = ""


class Presence:
    """What is known of the sources. They count as present until :meth:`look` says otherwise."""

    def __init__(self, sources: Mapping[str, SourceAddress], bind: Bind = bind) -> None:
        self._sources = dict(sources)
        self._bind = bind
        self._absent: dict[str, str] = {}

    @property
    def absent(self) -> Mapping[str, str]:
        """Name of each source that cannot be used -> the reason."""
        return self._absent

    def reload(self, sources: Mapping[str, SourceAddress]) -> None:
        """Other sources from now on; what is known of those that stay is kept."""
        self._sources = dict(sources)
        self._absent = {name: why for name, why in self._absent.items() if name in sources}

    def look(self) -> list[Change]:
        """What has changed since the last time. To be called every few seconds; each address is
        asked about once."""
        reasons: dict[str, str] = {}
        changes = []
        for name, source in self._sources.items():
            why = self._why_absent(source, reasons)
            known = self._absent.get(name, "")
            if why:
                self._absent[name] = why
            else:
                self._absent.pop(name, None)
            if bool(why) != bool(known):
                changes.append(Change(name, not why, why))
        return changes

    def _why_absent(self, source: SourceAddress, reasons: dict[str, str]) -> str:
        if source.proxied:
            return ""
        for address in filter(None, (source.ipv4, source.ipv6)):
            if address not in reasons:
                reasons[address] = _why_missing(address, self._bind)
            if reasons[address]:
                return reasons[address]
        return ""


def _why_missing(address: str, bind: Bind) -> str:
    """``""`` also where the kernel had another reason: no ports or sockets left is no absence."""
    try:
        bind(address)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            return f"{address} is not an address of this machine"
        if error.errno == errno.EAFNOSUPPORT:
            return f"{address}: this machine has no IPv6"
    return ""
