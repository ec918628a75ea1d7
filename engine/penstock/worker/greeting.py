"""What a worker is told first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the supervisor tells a worker: who it is and what it owns."""

    config: str
    number: int
    workers: int
    shards: list[int]
    listeners: list[int]
    api: list[int] = field(default_factory=list)
    world: dict[str, Any] | None = None
    rules: list[dict[str, Any]] = field(default_factory=list)
    paces: list[dict[str, Any]] = field(default_factory=list)
