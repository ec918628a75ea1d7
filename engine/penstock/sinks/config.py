"""What one sink is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class SinkConfig:
    """``subject``: where to, with ``{tenant}`` and ``{type}``; ``types``: all if empty;
    ``directory`` keeps its place in the log; ``in_flight_max``: events not acknowledged yet."""

    name: str
    kind: Literal["nats", "kafka"]
    servers: tuple[str, ...]
    directory: str
    tenant: str = "*"
    types: frozenset[str] = frozenset()
    subject: str = "mail.{tenant}.{type}"
    in_flight_max: int = 256
    timeout_s: float = 10.0
    tls: bool = False
    authorities_file: str = ""
    credentials_file: str = ""
    user: str = ""
    password_file: str = ""
