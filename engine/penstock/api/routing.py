"""The routers that rooms of routes are made of.

``router = Router(tags=["Messages"])`` and then ``@router.post("/messages")`` as with FastAPI's own,
under ``/api/v1``. Its routes check the caller's scope and the body's kind before they read it, read
JSON by :mod:`penstock.api.body`, and say in the OpenAPI document which problems they answer with.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from penstock.api.access import Needs
from penstock.api.body import ApiRequest, is_json
from penstock.api.problem import MEDIA_TYPE, Problem, ProblemDocument

PREFIX = "/api/v1"
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
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
                _check_kind(found)
                if await found.body():  # here, since FastAPI would hide what is wrong with it
                    await found.json()
            return await handler(found)

        return run


def _check_kind(request: Request) -> None:
    headers = request.headers
    if headers.get("content-encoding", "identity") != "identity":
        raise Problem(415, "media-type", "Bodies are taken without a Content-Encoding.")
    given = headers.get("content-type", "")
    if not is_json(given):
        shown = f'not "{given[:100]}"' if given else "and none was given"
        raise Problem(
            415,
            "media-type",
            f'The Content-Type has to be "application/json", {shown}.',
            headers={"Accept": "application/json"},
        )


def needs_of(dependant: Dependant) -> Iterator[Needs]:
    """All that a route declares with :func:`~penstock.api.access.needs`."""
    if isinstance(dependant.call, Needs):
        yield dependant.call
    for one in dependant.dependencies:
        yield from needs_of(one)


class Router(APIRouter):
    """FastAPI's, with what all of ours have; ``prefix`` is another for routes that must look like
    somebody else's."""

    def __init__(self, *, prefix: str = PREFIX, **more: Any) -> None:
        more.setdefault("route_class", ApiRoute)
        more["responses"] = {**PROBLEMS, **more.get("responses", {})}
        super().__init__(prefix=prefix, redirect_slashes=False, **more)
