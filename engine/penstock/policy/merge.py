"""Layers of values, later wins, each value with the line that set it.

A layer is what one table of one file says: a few fields of ``Limits`` and where they stand. Layers
are laid over the built-in limits in order; what a layer does not say shows through from below.
A narrowing by source is one more layer in the sequence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from penstock.policy.limits import FIELDS, Limits, Provenance
from penstock.policy.models import LimitsTable
from penstock.policy.problem import Path
from penstock.policy.validation import Checked


@dataclass(frozen=True, slots=True)
class Layer:
    """``values``: fields of ``Limits``; ``places``: the provenance of each."""

    values: Mapping[str, Any]
    places: Mapping[str, Provenance]


EMPTY = Layer(MappingProxyType({}), MappingProxyType({}))


def layer_of(table: LimitsTable, checked: Checked[Any], path: Path) -> Layer:
    """What ``table``, found at ``path`` of the checked document, sets."""
    names = [name for name in FIELDS if name in table.model_fields_set]
    return Layer(
        MappingProxyType({name: getattr(table, name) for name in names}),
        MappingProxyType({name: place_of(checked, (*path, name)) for name in names}),
    )


def place_of(checked: Checked[Any], path: Path) -> Provenance:
    """Where the key or table at ``path`` of the checked document stands."""
    return Provenance(checked.document.file, checked.line(path))


def places_of(table: BaseModel, checked: Checked[Any], path: Path) -> Mapping[str, Provenance]:
    """Where each key stands that is written in ``table``, by the key."""
    fields = type(table).model_fields.items()
    keys = (info.alias or name for name, info in fields if name in table.model_fields_set)
    return MappingProxyType({key: place_of(checked, (*path, key)) for key in keys})


def merge(base: Limits, layers: Iterable[Layer]) -> Limits:
    """``base`` with ``layers`` laid over it, the last on top."""
    for layer in layers:
        if layer.values:
            base = base.overridden(layer.values, layer.places)
    return base
