"""What an event looks like, for programs and for people, written from the types themselves.

``python -m penstock.events.schema docs/reference`` writes ``events.schema.json`` (JSON Schema
2020-12) and ``events.md`` there; without an argument both are printed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, get_args

import msgspec

from penstock.events.records import INTERNAL, AnyEvent, Event

_HEAD = """\
# Events

Every type of event with its fields; what they mean is in [events.md](../events.md). A field that
has its default is left out of the line; fields are only ever added. The same as a JSON Schema:
[events.schema.json](events.schema.json).

This page is generated: `python -m penstock.events.schema docs/reference`.
"""
_KINDS = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false"}


def types() -> tuple[type[Event], ...]:
    return get_args(AnyEvent)


def schema() -> dict[str, Any]:
    """JSON Schema of one event of any type."""
    references, defined = msgspec.json.schema_components(types(), ref_template="#/$defs/{name}")
    for one in defined.values():
        said = one.get("description")
        if said:
            one["description"] = _text(said)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An event of Penstock",
        "oneOf": list(references),
        "$defs": dict(defined),
    }


def schema_text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def page() -> str:
    """The same as Markdown."""
    parts = [_HEAD]
    defined = schema()["$defs"]
    for kind in types():
        one = defined[kind.__name__]
        tag = str(kind.__struct_config__.tag)
        parts.append(f"## `{tag}`\n\n{_text(kind.__doc__ or '')}\n")
        if tag in INTERNAL:
            parts.append("No webhook and no sink is told of it.\n")
        shared = [b.__doc__ for b in kind.__mro__[1:] if b.__doc__ and b.__name__.startswith("Of")]
        parts += [f"{_text(text)}\n" for text in shared]
        parts += ["| field | type | default |", "|---|---|---|"]
        required = set(one["required"])
        for name, field in one["properties"].items():
            if name == "type":
                continue
            default = "always there" if name in required else f"`{json.dumps(field['default'])}`"
            parts.append(f"| `{name}` | {_kind(field)} | {default} |")
        parts.append("")
    return "\n".join(parts)


def _kind(field: dict[str, Any]) -> str:
    if field["type"] == "array":
        return f"list of {_kind(field['items'])}"
    if field["type"] == "object":
        values = field.get("additionalProperties")
        return "text by name" if isinstance(values, dict) and values else "object"
    return _KINDS[field["type"]]


def _text(docstring: str) -> str:
    return " ".join(docstring.split()).replace("``", "`").replace(":mod:", "")


def main(arguments: list[str]) -> int:
    pages = {"events.schema.json": schema_text(), "events.md": page()}
    if not arguments:
        sys.stdout.write("\n".join(pages.values()))
        return 0
    for name, text in pages.items():
        Path(arguments[0], name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
