"""What the page is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from penstock.policy.rate import Rate


@dataclass(frozen=True, slots=True)
class UnsubscribeConfig:
    """``path`` stands before the token; ``proxies``: whose ``client_header`` is believed;
    ``forged_rate``: requests with bad tokens of one client; ``clients_max``, ``recent_max``: how
    many clients and tokens are remembered."""

    path: str = "/u"
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    client_header: str = "X-Forwarded-For"
    rate: Rate = field(default=Rate(300, 1.0, 600))
    client_rate: Rate = field(default=Rate(1200, 60.0, 300))
    forged_rate: Rate = field(default=Rate(30, 60.0, 10))
    clients_max: int = 10_000
    recent_max: int = 10_000
    body_bytes_max: int = 16 << 10
    body_timeout_s: float = 10.0
    reason_chars_max: int = 1000
