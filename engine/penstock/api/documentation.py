"""``/openapi.json``, ``/docs`` and ``/docs/problems``: what the API says of itself, without a key.

Each is made once, when somebody asks for it first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import msgspec
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from penstock.api.openapi import document
from penstock.api.page import HEADERS, problems_page, reference_page
from penstock.api.problem import TYPES_AT

OPENAPI_AT, DOCS_AT = "/openapi.json", "/docs"
PUBLIC = frozenset({OPENAPI_AT, DOCS_AT, TYPES_AT})


def add_documentation(app: FastAPI) -> None:
    """To be called when all routes are there."""
    app.openapi = functools.cache(functools.partial(document, app))  # type: ignore[method-assign]
    described = functools.cache(lambda: msgspec.json.encode(app.openapi()))
    reference = functools.cache(lambda: reference_page(app.openapi()).encode())
    problems = functools.cache(lambda: problems_page().encode())

    async def openapi(_request: Request) -> Response:
        return Response(described(), media_type="application/json")

    app.router.routes += [
        Route(OPENAPI_AT, openapi, methods=["GET"]),
        Route(DOCS_AT, _page(reference), methods=["GET"]),
        Route(TYPES_AT, _page(problems), methods=["GET"]),
    ]


def _page(content: Callable[[], bytes]) -> Callable[[Request], object]:
    async def page(_request: Request) -> Response:
        return HTMLResponse(content(), headers=HEADERS)

    return page
