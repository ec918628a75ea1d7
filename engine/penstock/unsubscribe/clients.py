"""Who asks, and whether too often.

A client is an IPv4 address or an IPv6 /64. Providers post one-click requests for millions of
people from few addresses, so what one client may is generous; who brings tokens that are no good
gets a tenth of that. All tables are bounded: when one is full, the client heard of longest ago is
forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from penstock.policy.rate import Rate
from penstock.schedule.rate import Gcra
from penstock.unsubscribe.config import UnsubscribeConfig

UNKNOWN = "unknown"
_HOPS_MAX = 32


def client_of(peer: str, forwarded: str, proxies: Collection[IPv4Network | IPv6Network]) -> str:
    """The client's address: the peer's, or where that is one of ``proxies`` the last address in
    ``forwarded`` (a comma-separated list, each proxy adding to its end) that is none of them."""
    address = _address(peer)
    hops = forwarded.rsplit(",", _HOPS_MAX)[-_HOPS_MAX:] if forwarded else []
    while hops and _is_in(address, proxies):
        before = _address(hops.pop())
        if before == UNKNOWN:
            break
        address = before
    return address


def key_of(address: str) -> str:
    if ":" not in address:
        return address
    return str(IPv6Network((address, 64), strict=False).network_address)


def _address(text: str) -> str:
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def _is_in(address: str, networks: Collection[IPv4Network | IPv6Network]) -> bool:
    return address != UNKNOWN and any(ip_address(address) in one for one in networks)


class Buckets:
    """One bucket of ``rate`` for each key, of at most ``keys_max``."""

    def __init__(self, rate: Rate, keys_max: int) -> None:
        self._rate, self._keys_max = rate, keys_max
        self._buckets: OrderedDict[str, Gcra] = OrderedDict()

    def of(self, key: str) -> Gcra:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Gcra(self._rate)
            if len(self._buckets) > self._keys_max:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket

    def __len__(self) -> int:
        return len(self._buckets)


class Limits:
    """``now``: seconds on any axis that does not jump."""

    def __init__(self, config: UnsubscribeConfig) -> None:
        self._all = Gcra(config.rate)
        self._clients = Buckets(config.client_rate, config.clients_max)
        self._forgers = Buckets(config.forged_rate, config.clients_max)

    def wait_s(self, client: str, now: float) -> float:
        """0: the request may go on; else how long the client should wait."""
        key = key_of(client)
        for bucket in (self._forgers.of(key), self._clients.of(key), self._all):
            granted, at = bucket.peek(now)
            if not granted:
                return max(at - now, 0.001)
        self._clients.of(key).take(1, now)
        self._all.take(1, now)
        return 0.0

    def forged(self, client: str, now: float) -> None:
        """The request that was let go on had a bad token."""
        self._forgers.of(key_of(client)).take(1, now)

    @property
    def clients(self) -> int:
        return max(len(self._clients), len(self._forgers))
