"""``guards.toml`` as guards."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from penstock.policy.guard_models import GuardsFile
from penstock.policy.guards import Guard
from penstock.policy.merge import place_of, places_of
from penstock.policy.problem import Path
from penstock.policy.validation import Checked


def load_guards(checked: Checked[GuardsFile]) -> Mapping[str, Guard]:
    """Those of the file that can be understood, by name."""
    found: dict[str, Guard] = {}
    for name, table in checked.value.guard.items() if checked.value is not None else ():
        path: Path = ("guard", name)
        found[name] = Guard(
            name,
            table.metric,
            table.above,
            table.window,
            table.sample_min,
            table.per,
            table.action,
            table.for_,
            at=place_of(checked, path),
            places=places_of(table, checked, path),
        )
        if table.action == "tell" and "for_" in table.model_fields_set:
            checked.contradict(
                (*path, "for"),
                "a guard that only tells has nothing to end",
                'for goes with action = "pause"',
                about=[(*path, "for"), (*path, "action")],
            )
    return MappingProxyType(found)
