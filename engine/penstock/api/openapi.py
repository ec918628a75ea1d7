"""The OpenAPI document: FastAPI's, with what it cannot know.

Every operation says which scope it needs and that anything but success is a problem document.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from penstock.api.problem import MEDIA_TYPE, ProblemDocument
from penstock.api.routing import needs_of

_REF: Final = "#/components/schemas/{model}"
_PROBLEM: Final = {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
TAGS: Final = (
    ("Messages", "Mail in, what became of it, and taking it back."),
    ("Status", "Who answers."),
    ("Keys", "Who may use this API."),
)


def document(app: FastAPI) -> dict[str, Any]:
    """All routes of ``app`` that are not hidden."""
    found = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=_tags(app),
    )
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    model = ProblemDocument.model_json_schema(ref_template=_REF)
    schemas |= model.pop("$defs")
    schemas["ProblemDocument"] = model
    scopes = {(path, method): scope for path, method, scope in _scopes(app)}
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            _mend(operation, scopes.get((path, method.upper()), ""))
    return found


def _mend(operation: dict[str, Any], scope: str) -> None:
    responses = operation["responses"]
    for status, response in responses.items():
        if response["description"] == "Successful Response":
            response["description"] = HTTPStatus(int(status)).phrase
        own = response.get("content", {})
        if (status == "default" or int(status) >= 400) and (MEDIA_TYPE in own or not own):
            response["content"] = {MEDIA_TYPE: {**_PROBLEM, **_examples(response)}}
    if scope:
        operation["x-scope"] = scope
        said = f"Needs the scope `{scope}`."
        operation["description"] = f"{operation.get('description', '')}\n\n{said}".strip()


def _examples(response: dict[str, Any]) -> dict[str, Any]:
    given = response.get("content", {}).get(MEDIA_TYPE, {})
    return {name: given[name] for name in ("example", "examples") if name in given}


def _routes(app: FastAPI) -> Iterator[APIRoute]:
    yield from app.state.api_routes


def _scopes(app: FastAPI) -> Iterator[tuple[str, str, str]]:
    for route in _routes(app):
        for needed in needs_of(route.dependant):
            for method in route.methods or ():
                yield route.path_format, method, needed.scope


def _tags(app: FastAPI) -> list[dict[str, Any]]:
    """Those that are used: the known ones first, in their order."""
    known = dict(TAGS)
    used = dict.fromkeys(str(tag) for route in _routes(app) for tag in route.tags)
    order = [name for name in known if name in used] + [name for name in used if name not in known]
    return [
        {"name": name, **({"description": known[name]} if name in known else {})} for name in order
    ]
