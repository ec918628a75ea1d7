"""The application: routers behind the gate, every error a problem document.

``make_app`` is called once in each process that serves: by a worker with the keys' access, by the
supervisor, for its Unix socket, with open access.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from penstock import __version__
from penstock.api.access import Access
from penstock.api.documentation import PUBLIC, add_documentation
from penstock.api.forms import said
from penstock.api.gate import Gate, GateConfig, told
from penstock.api.measures import Measures
from penstock.api.ports import Ports
from penstock.api.problem import FieldError, Problem, field_errors, invalid
from penstock.api.routing import direct_routes
from penstock.control import ControlError

_DESCRIPTION = "Penstock sends mail: durable, metered, signed, and able to say why a message waits."


class _Api(FastAPI):
    """FastAPI with the gate in the place of its outer middleware: whatever no handler knows ends
    there, once."""

    def __init__(self, gate: Callable[[ASGIApp], ASGIApp], **more: Any) -> None:
        self._gate = gate
        super().__init__(**more)

    def build_middleware_stack(self) -> ASGIApp:
        handlers = dict(self.exception_handlers)
        return self._gate(ExceptionMiddleware(AsyncExitStackMiddleware(self.router), handlers))


def make_app(
    routers: Iterable[APIRouter],
    access: Access,
    ports: Ports,
    config: GateConfig | None = None,
    measures: Measures | None = None,
) -> FastAPI:
    """``measures`` is what several applications of one process share."""
    api_routes: list[APIRoute] = []
    counted = measures or Measures(ports.registry, time.perf_counter)
    found = config or GateConfig(public=PUBLIC)
    app = _Api(
        lambda inner: Gate(inner, access, found, counted, direct_routes(api_routes)),
        title="Penstock",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        exception_handlers={
            Problem: _problem,
            ControlError: _refused_by_daemon,
            RequestValidationError: _wrong,
            HTTPException: _refused,
        },
    )
    app.state.ports = ports
    methods: dict[str, set[str]] = {}
    app.state.methods, app.state.api_routes = methods, api_routes
    for router in routers:
        app.include_router(router)
        for route in router.routes:
            if isinstance(route, APIRoute):
                methods.setdefault(route.path, set()).update(route.methods or ())
                api_routes.append(route)
    add_documentation(app)
    return app


_Handled = Callable[[Request, Exception], Awaitable[Response]]


async def _problem(request: Request, error: Exception) -> Response:
    return said(cast(Problem, error), request.url.path)


async def _refused_by_daemon(_request: Request, error: Exception) -> Response:
    return cast(Problem, told(error)).response()


async def _wrong(_request: Request, error: Exception) -> Response:
    """Parameters and bodies that a model refused; each place begins with where it was given."""
    details = cast(RequestValidationError, error).errors()
    errors = [
        FieldError(_named(detail["loc"][0], one.field), one.message)
        for detail, one in zip(details, field_errors(details, skip=1), strict=True)
    ]
    return invalid(errors).response()


def _named(where: str, field: str) -> str:
    """Fields of the body by their place in it; parameters with where they stand."""
    return field if where == "body" else f"{where} {field}".strip()


async def _refused(request: Request, error: Exception) -> Response:
    found = cast(HTTPException, error)
    headers = dict(found.headers or {})
    if found.status_code == 404:
        detail = f"There is nothing at {request.url.path[:200]}."
        return Problem(404, "not-found", detail, headers=headers).response()
    if found.status_code == 405:
        # Starlette names those of the first route of the path alone
        path = getattr(request.scope.get("route"), "path", "")
        methods = request.app.state.methods.get(path, ())
        allowed = ", ".join(sorted(methods)) or headers.get("Allow", "none")
        detail = f"{request.method} is not allowed here; allowed: {allowed}."
        headers["Allow"] = allowed
        return Problem(405, "method-not-allowed", detail, headers=headers).response()
    return Problem(found.status_code, "bad-request", found.detail, headers=headers).response()
