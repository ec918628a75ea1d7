"""What changes between two policies, by meaning and not by text.

Shown at a reload, before the swap: which scope, which value, from what to what. A comment, a moved
line or a value written in another way is no change. A scope is reported for what it says itself;
what it merely inherits is reported once, where it is set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from penstock.policy.fields import UNLIMITED
from penstock.policy.limits import FIELDS, Limits, Provenance
from penstock.policy.merge import EMPTY, Layer, merge
from penstock.policy.policies import Policies, Provider


@dataclass(frozen=True, slots=True)
class Change:
    """``scope`` is ``"default"``, ``"provider gmail"``, ``"site NAME"`` or ``"domain NAME"``;
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


def difference(old: Policies, new: Policies) -> list[Change]:
    """Every change from ``old`` to ``new``: default first, then providers, sites, domains."""
    return [
        *_limits("default", [], old.default, [], new.default),
        *_providers(old, new),
        *_named("site", old, new),
        *_named("domain", old, new),
    ]


def _providers(old: Policies, new: Policies) -> Iterator[Change]:
    nobody = Provider("", (), (), EMPTY)
    for name in sorted({*old.providers, *new.providers}):
        scope = f"provider {name}"
        before, after = old.providers.get(name, nobody), new.providers.get(name, nobody)
        if before is nobody:
            yield Change(scope, "", "", "provider")
        elif after is nobody:
            yield Change(scope, "", "provider", "")
            continue
        yield from _members(scope, "mx", before.mx, after.mx)
        yield from _members(scope, "domains", before.domains, after.domains)
        yield from _limits(scope, [old.default], before.layer, [new.default], after.layer)


def _named(kind: str, old: Policies, new: Policies) -> Iterator[Change]:
    before, after = (getattr(policies, f"{kind}s") for policies in (old, new))
    for name in sorted({*before, *after}):
        yield from _limits(
            f"{kind} {name}",
            [old.default],
            before.get(name, EMPTY),
            [new.default],
            after.get(name, EMPTY),
        )


def _members(
    scope: str, field: str, before: tuple[str, ...], after: tuple[str, ...]
) -> Iterator[Change]:
    for gone in sorted({*before} - {*after}):
        yield Change(scope, field, gone, "")
    for added in sorted({*after} - {*before}):
        yield Change(scope, field, "", added)


def _limits(
    scope: str, old_below: list[Layer], old: Layer, new_below: list[Layer], new: Layer
) -> Iterator[Change]:
    before = merge(Limits(), [*old_below, old])
    after = merge(Limits(), [*new_below, new])
    for name in FIELDS:
        if name not in old.values and name not in new.values:
            continue
        was, is_now = getattr(before, name), getattr(after, name)
        if was != is_now:
            yield Change(scope, name, value_text(was), value_text(is_now), after.where(name))


def value_text(value: Any) -> str:
    """A limit's value as text; ``None`` is unlimited."""
    if value is None:
        return UNLIMITED
    return f"{value:g}" if isinstance(value, float) else str(value)
