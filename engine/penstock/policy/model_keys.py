"""Which keys a model allows at a path, and where else a key would be right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from penstock.policy.problem import Path


def keys_of(table: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of ``table`` by the key that is written for them."""
    return {info.alias or name: info for name, info in table.model_fields.items()}


def known_keys(model: type[BaseModel], path: Path) -> list[str]:
    """The keys of the table at ``path`` below ``model``; none where no table is known there."""
    table = _table_at(model, path)
    return list(keys_of(table)) if table else []


def field_at(model: type[BaseModel], path: Path) -> FieldInfo | None:
    """The field that ``path`` leads to, if it is one."""
    table = _table_at(model, path[:-1]) if path else None
    return keys_of(table).get(str(path[-1])) if table else None


def elsewhere(model: type[BaseModel], key: str, path: Path) -> str:
    """``"in [[smtp]]"`` where ``key`` exists in exactly one other table and not at ``path``."""
    here = _table_at(model, path)
    if here is not None and key in keys_of(here):
        return ""
    found = [(header, table) for header, table in tables(model) if key in keys_of(table)]
    # A table that is a special form of another is not what was meant in its place.
    plain = {h for h, t in found if not any(t is not o and issubclass(t, o) for _, o in found)}
    if len(plain) != 1:
        return ""
    header = plain.pop()
    return f"in {header}" if header else "at the top, before the first [table]"


def tables(model: type[BaseModel], header: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every table that can stand in the file with how its header is written, the top first."""
    yield header, model
    for name, info in keys_of(model).items():
        inner, shape = _inner(info.annotation)
        if inner is None:
            continue
        path = f"{header.strip('[]')}.{name}" if header else name
        text = {"array": f"[[{path}]]", "named": f"[{path}.NAME]"}.get(shape, f"[{path}]")
        yield from tables(inner, text)


def _table_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    table: type[BaseModel] | None = model
    named = False
    for part in path:
        if isinstance(part, int):
            continue
        if named:
            named = False
            continue
        if table is None or part not in keys_of(table):
            return None
        table, shape = _inner(keys_of(table)[part].annotation)
        named = shape == "named"
    return table


def _inner(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The model inside a field's type and its shape: ``"table"``, ``"array"`` or ``"named"``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, "table"
    shape = {tuple: "array", list: "array", dict: "named"}.get(get_origin(annotation), "table")
    for argument in get_args(annotation):
        inner, _ = _inner(argument)
        if inner is not None:
            return inner, shape
    return None, shape
