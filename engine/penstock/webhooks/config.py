"""What the room is told: one value for each endpoint, one for all of them together."""

from __future__ import annotations

from dataclasses import dataclass, field

ALL_TENANTS = "*"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``tenant``: whose events, ``"*"`` for everybody's; ``types``: which, all if empty;
    ``connections_max``: deliveries to it at once; ``batch_wait_s``: how long events may wait for
    more of them to come along; ``headers``: sent with each delivery, beside our own."""

    name: str
    url: str
    tenant: str
    secret_file: str
    types: frozenset[str] = frozenset()
    batch_events_max: int = 500
    batch_bytes_max: int = 512 << 10
    batch_wait_s: float = 1.0
    timeout_s: float = 15.0
    connections_max: int = 2
    queue_bytes_max: int = 64 << 20
    allow_private: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    authorities_file: str = ""


@dataclass(frozen=True, slots=True)
class WebhooksConfig:
    """``directory`` holds the queues; ``connections_max``: deliveries at once over all endpoints,
    and ``slow_connections_max`` over all that failed or were slow the last time, where slow is
    longer than ``slow_s``; ``buffer_bytes_max``: events in memory before they go to disk;
    ``first_s``: so much of the past a new endpoint is told; ``address_tries_max``: addresses of
    one host that are tried in one attempt."""

    directory: str
    endpoints: tuple[Endpoint, ...] = field(default=())
    connections_max: int = 64
    slow_connections_max: int = 16
    slow_s: float = 2.0
    buffer_bytes_max: int = 4 << 20
    first_s: float = 60.0
    response_bytes_max: int = 16 << 10
    address_tries_max: int = 3
