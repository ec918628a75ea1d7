"""JSON Schemas as people read them: a table of fields, and an example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

Schema = Mapping[str, Any]
_DEPTH_MAX: Final = 6
_BOUNDS: Final = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "more than {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "less than {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
)


class Row(NamedTuple):
    """One field: ``name`` is its place, as ``recipients[].to``."""

    name: str
    kind: str
    required: bool
    text: str


class Schemas:
    """``components``: the schemas that ``$ref`` names."""

    def __init__(self, components: Mapping[str, Schema]) -> None:
        self._components = components

    def rows(self, schema: Schema, before: str = "", depth: int = 0) -> Iterator[Row]:
        """The fields of an object, and of objects in it, in their order."""
        schema = self.resolve(schema)
        required = set(schema.get("required", ()))
        for name, field in schema.get("properties", {}).items():
            place = f"{before}.{name}" if before else name
            yield Row(place, self.kind(field), name in required, self._text(field))
            if depth < _DEPTH_MAX:
                yield from self._inner(field, place, depth + 1)

    def _inner(self, field: Schema, place: str, depth: int) -> Iterator[Row]:
        for one in self._choices(field):
            found = self.resolve(one)
            if found.get("type") == "array":
                yield from self._inner(found.get("items", {}), f"{place}[]", depth)
            elif "properties" in found:
                yield from self.rows(found, place, depth)

    def kind(self, field: Schema) -> str:
        """``array of string``, ``"send" or "read"``, ``integer or null``."""
        return " or ".join(dict.fromkeys(self._kind(one) for one in self._choices(field)))

    def _kind(self, field: Schema) -> str:
        found = self.resolve(field)
        if "const" in found:
            return _written(found["const"])
        if "enum" in found:
            return " or ".join(map(_written, found["enum"]))
        kind = found.get("type", "any value")
        if isinstance(kind, list):
            return " or ".join(kind)
        if kind == "array":
            return f"array of {self.kind(found.get('items', {}))}"
        if found.get("format"):
            return f"{kind} ({found['format']})"
        return str(kind)

    def _choices(self, field: Schema) -> list[Schema]:
        found = self.resolve(field)
        choices = found.get("anyOf") or found.get("oneOf")
        if not choices:
            return [field]
        return [inner for one in choices for inner in self._choices(one)]

    def _text(self, field: Schema) -> str:
        parts = [str(field.get("description") or self.resolve(field).get("description", ""))]
        for one in self._choices(field):
            found = self.resolve(one)
            parts += [text.format(found[name]) for name, text in _BOUNDS if name in found]
        default = field.get("default")
        if default not in (None, "", [], {}):
            parts.append(f"default {_written(default)}")
        return "; ".join(part.rstrip(".") for part in parts if part)

    def example(self, schema: Schema, depth: int = 0) -> Any:
        """What a value may look like: examples where they are given, else what fits."""
        for field in (schema, self.resolve(schema)):
            if "example" in field:
                return field["example"]
            if field.get("examples"):
                return field["examples"][0]
        choice = self.resolve(self._choices(schema)[0])
        for name in ("const", "default"):
            if name in choice:
                return choice[name]
        if "enum" in choice:
            return choice["enum"][0]
        if depth >= _DEPTH_MAX:
            return None
        if "properties" in choice:
            return self._object(choice, depth)
        if choice.get("type") == "array":
            return [self.example(choice.get("items", {}), depth + 1)]
        plain = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "object": {}}
        return plain.get(str(choice.get("type")))

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        """What is required, and what has an example."""
        required = set(schema.get("required", ()))
        return {
            name: self.example(field, depth + 1)
            for name, field in schema["properties"].items()
            if name in required or "examples" in field or "example" in field
        }

    def resolve(self, schema: Schema) -> Schema:
        for _ in range(_DEPTH_MAX):
            if "$ref" not in schema:
                break
            schema = self._components.get(str(schema["$ref"]).rpartition("/")[2], {})
        return schema


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)
