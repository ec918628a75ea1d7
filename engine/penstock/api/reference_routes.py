"""The page ``docs/reference/api.md``: every route, made from the OpenAPI document.

``python -m penstock.api.reference_routes docs/reference/api.md`` writes it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from penstock.api.access import OpenAccess
from penstock.api.app import make_app
from penstock.api.charges import Charges
from penstock.api.ports import Ports
from penstock.api.routers import ROUTERS
from penstock.events.metrics import Registry
from penstock.policy.policies import Policies
from penstock.settings.models import Settings

_HEAD = """\
# The HTTP API: every route

*Written by `make docs` from the OpenAPI document that the daemon serves at `/openapi.json`.*

How to begin: [api.md](../api.md) for keys and errors, [developers.md](../developers.md) for mail
in, [api-steering.md](../api-steering.md) for seeing and steering. Times are seconds since 1970
where a field is a number, RFC 3339 where it is a text. Errors are problem documents (RFC 9457):
[problems.md](problems.md).
"""
_METHODS = ("get", "post", "put", "patch", "delete")
Document = Mapping[str, Any]


def page() -> str:
    """The whole page, in Markdown."""
    document = described()
    by_tag: dict[str, list[str]] = {one["name"]: [] for one in document.get("tags", ())}
    for path, methods in document["paths"].items():
        for verb in _METHODS:
            if verb in methods:
                operation = methods[verb]
                text = "\n".join(_operation(document, f"{verb.upper()} {path}", operation))
                by_tag.setdefault(operation["tags"][0], []).append(text)
    about = {one["name"]: one.get("description", "") for one in document.get("tags", ())}
    parts = [_HEAD]
    for tag, texts in by_tag.items():
        parts += [f"## {tag}\n", *([f"{about[tag]}\n"] if about.get(tag) else []), *texts]
    return "\n".join(parts).rstrip() + "\n"


async def _nobody(method: str, params: dict[str, Any]) -> Any:
    raise ConnectionError


def described() -> Document:
    """The document of all routes that a worker serves."""
    ports = Ports(
        call=_nobody,
        now=time.time,
        settings=Settings,
        policies=Policies,
        registry=Registry(),
        charges=Charges(None, time.monotonic),
    )
    return make_app(ROUTERS, OpenAccess(), ports).openapi()


def _operation(document: Document, title: str, operation: Document) -> Iterator[str]:
    yield f"### `{title}`\n"
    yield f"{operation['summary']}. {' '.join(operation.get('description', '').split())}\n"
    parameters = operation.get("parameters", ())
    if parameters:
        rows: list[tuple[str, ...]] = [
            (f"`{one['name']}`", one["in"], _kind(document, one["schema"]), _about(one))
            for one in parameters
        ]
        yield _table(("parameter", "in", "kind", "meaning"), rows)
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        fields = _fields(document, body["schema"])
        yield f"Body: `{kind}`{'' if fields else '.'}\n"
        if fields:
            yield _table(("field", "kind", "meaning"), fields)
    for status, response in operation["responses"].items():
        for kind, content in response.get("content", {}).items():
            if not str(status).startswith("2"):
                continue
            fields = _fields(document, content.get("schema", {}))
            yield f"Answer: {status}, `{kind}`{'' if fields else '.'}\n"
            if fields:
                yield _table(("field", "kind", "meaning"), fields)


def _fields(document: Document, schema: Document) -> list[tuple[str, ...]]:
    found = _resolved(document, schema)
    needed = set(found.get("required", ()))
    return [
        (
            f"`{name}`",
            _kind(document, one),
            _about({**one, "required": name in needed, "schema": one}),
        )
        for name, one in found.get("properties", {}).items()
    ]


def _resolved(document: Document, schema: Document) -> Document:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    found: Document = document["components"]["schemas"][name] if name else schema
    return found


def _kind(document: Document, schema: Document) -> str:
    """``list of text``, ``integer or null``."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(document, one) for one in schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"`{value or '(empty)'}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {_kind(document, schema.get('items', {}))}"
    if schema.get("type") == "string":
        return "time" if schema.get("format") == "date-time" else "text"
    return str(schema.get("type", "any"))


def _about(one: Document) -> str:
    schema = one.get("schema", {})
    text = " ".join(str(one.get("description", "")).split()).replace("|", "\\|")
    default = schema.get("default")
    if one.get("required"):
        return text
    if default not in (None, "", [], {}):
        shown = str(default).lower() if isinstance(default, bool) else default
        return f"{text} Default: `{shown}`.".strip()
    return text


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(r) for r in rows)]
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def main(arguments: list[str]) -> int:
    if not arguments:
        sys.stdout.write(page())
        return 0
    Path(arguments[0]).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
