"""One change between two policies, and how values are written there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from penstock.policy.fields import UNLIMITED
from penstock.policy.limits import Provenance


@dataclass(frozen=True, slots=True)
class Change:
    """``scope`` says whose value it is: ``"default"``, ``"provider gmail"``, ``"source s1"``;
    ``before`` and ``after`` are texts, ``""`` where there was or is nothing; ``where`` is the place
    that gives the new value, ``None`` where nothing is left to point at."""

    scope: str
    field: str
    before: str
    after: str
    where: Provenance | None = None

    def __str__(self) -> str:
        name = f"{self.scope}: {self.field}" if self.field else self.scope
        place = f" ({self.where})" if self.where else ""
        if not self.before:
            return f"{name}: added {self.after}".rstrip() + place
        if not self.after:
            return f"{name}: removed {self.before}".rstrip() + place
        return f"{name}: {self.before} -> {self.after}{place}"


def value_text(value: Any) -> str:
    """A limit's value as text; ``None`` is unlimited."""
    if value is None:
        return UNLIMITED
    return f"{value:g}" if isinstance(value, float) else str(value)
