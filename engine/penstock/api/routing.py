"""The routers that rooms of routes are made of.

``router = Router(tags=["Messages"])`` and then ``@router.post("/messages")`` as with FastAPI's own,
under ``/api/v1``. Its routes check the caller's scope and the body's kind before they read it, read
JSON by :mod:`penstock.api.body`, and say in the OpenAPI document which problems they answer with.

FastAPI costs a tenth of a millisecond a request. An endpoint that is asked a thousand times a
second can be marked :func:`direct`: it is declared and documented like the others, and called by
the gate.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from penstock.api.access import Caller, Needs
from penstock.api.body import ApiRequest, check_kind
from penstock.api.problem import MEDIA_TYPE, ProblemDocument

PREFIX = "/api/v1"
ANSWERED_BY = "answered_by"  # what a function has that is the documentation of another
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Direct = Callable[[Request, Caller], Awaitable[Response]]
_Endpoint = TypeVar("_Endpoint", bound=Direct)
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "What went wrong.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
        "model": ProblemDocument,
    }
}


class ApiRoute(APIRoute):
    """One route of the API."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()
        needed = tuple(needs_of(self.dependant))
        takes_json = self.body_field is not None

        async def run(request: Request) -> Response:
            scope = request.scope
            for one in needed:
                one.check(scope)
            found = ApiRequest(scope, request.receive)
            if takes_json:
                check_kind(found)
                if await found.body():  # here, since FastAPI would hide what is wrong with it
                    await found.json()
            return await handler(found)

        return run


def needs_of(dependant: Dependant) -> Iterator[Needs]:
    """All that a route declares with :func:`~penstock.api.access.needs`."""
    if isinstance(dependant.call, Needs):
        yield dependant.call
    for one in dependant.dependencies:
        yield from needs_of(one)


class DirectRoute(NamedTuple):
    """``needs``: what the caller must have."""

    route: APIRoute
    needs: tuple[Needs, ...]
    endpoint: Direct


def direct(endpoint: _Endpoint) -> _Endpoint:
    """To be put beneath the route's decorator. ``endpoint(request, caller)`` reads and checks the
    body itself (:func:`penstock.api.body.check_kind`, :func:`~penstock.api.body.parse_json`) and
    returns a response; its path has no parameters."""
    if list(inspect.signature(endpoint).parameters) != ["request", "caller"]:
        raise TypeError("a direct endpoint takes request and caller alone")
    endpoint.direct = True  # type: ignore[attr-defined]
    return endpoint


def direct_routes(routes: Iterable[APIRoute]) -> dict[tuple[str, str], DirectRoute]:
    """By method and path."""
    return {
        (method, route.path): DirectRoute(route, tuple(needs_of(route.dependant)), endpoint)
        for route in routes
        if (endpoint := _direct_endpoint(route)) is not None
        for method in route.methods or ()
    }


def _direct_endpoint(route: APIRoute) -> Direct | None:
    if getattr(route.endpoint, "direct", False):
        return route.endpoint
    return getattr(route.endpoint, ANSWERED_BY, None)


class Router(APIRouter):
    """FastAPI's, with what all of ours have; ``prefix`` is another for routes that must look like
    somebody else's."""

    def __init__(self, *, prefix: str = PREFIX, **more: Any) -> None:
        more.setdefault("route_class", ApiRoute)
        more["responses"] = {**PROBLEMS, **more.get("responses", {})}
        super().__init__(prefix=prefix, redirect_slashes=False, **more)
