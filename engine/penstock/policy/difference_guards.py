"""What changes between two sets of guards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from penstock.policy.change import Change
from penstock.policy.guards import Guard, percent_text
from penstock.policy.units import duration_text


def guards(old: Mapping[str, Guard], new: Mapping[str, Guard]) -> Iterator[Change]:
    """By name: guards that came, went, or say something else."""
    for name in sorted({*old, *new}):
        scope, before, after = f"guard {name}", old.get(name), new.get(name)
        if after is None:
            yield Change(scope, "", "guard", "")
            continue
        if before is None:
            yield Change(scope, "", "", "guard", after.at)
        was = _fields(before) if before is not None else {}
        for key, text in _fields(after).items():
            if was.get(key, "") != text:
                yield Change(scope, key, was.get(key, ""), text, after.where(key))


def _fields(guard: Guard) -> dict[str, str]:
    """What a guard says, by the keys of its file."""
    return {
        "metric": guard.metric,
        "above": percent_text(guard.above),
        "window": duration_text(guard.window_s),
        "sample_min": str(guard.sample_min),
        "per": guard.per,
        "action": guard.action,
        "for": duration_text(guard.for_s),
    }
