"""Whose mail it is, as values: classes of mail, tenants and their campaigns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

from penstock.policy.feedback import Feedback
from penstock.policy.limits import Placed
from penstock.policy.rate import ByteRate, Rate
from penstock.policy.window import Window

MailClassName = Literal["transactional", "triggered", "bulk"]
CLASSES: tuple[str, ...] = get_args(MailClassName)  # what goes first stands first
TRANSACTIONAL, TRIGGERED, BULK = CLASSES
ANY = "*"


@dataclass(frozen=True, slots=True)
class MailClass(Placed):
    """``floor``: its share of a ready queue whatever waits above it; ``pool``: ``""`` is none."""

    name: str
    floor: float = 0.0
    pool: str = ""


@dataclass(frozen=True, slots=True)
class Campaign(Placed):
    """The limits hold over all destinations together; ``None`` is unlimited, no window always."""

    name: str
    weight: int = 1
    message_rate: Rate | None = None
    byte_rate: ByteRate | None = None
    connections: int | None = None
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Tenant(Campaign):
    """``class_`` and ``pool`` are ``""`` where the table names none; ``feedback`` is what stands in
    its own table, ``None`` where it has none."""

    class_: str = ""
    pool: str = ""
    feedback: Feedback | None = None
    campaigns: Mapping[str, Campaign] = field(default_factory=lambda: MappingProxyType({}))


BUILT_IN_CLASSES: Mapping[str, MailClass] = MappingProxyType(
    {
        TRANSACTIONAL: MailClass(TRANSACTIONAL),
        TRIGGERED: MailClass(TRIGGERED, 0.10),
        BULK: MailClass(BULK, 0.05),
    }
)
