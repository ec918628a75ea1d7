"""Routes that read their request themselves.

FastAPI's way from a request to the arguments of a function costs more than taking in a message
does. So the function of such a route is its documentation, parameters and body included, and what
answers is the handler that :func:`answered_by` names: it gets the request and who asks, from the
gate itself.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from penstock.api.access import CALLER
from penstock.api.routing import ANSWERED_BY, ApiRoute, Direct, Router, needs_of

_F = TypeVar("_F", bound=Callable[..., Any])


def answered_by(handler: Direct) -> Callable[[_F], _F]:
    """Marks a function as the documentation of ``handler``."""

    def mark(function: _F) -> _F:
        setattr(function, ANSWERED_BY, handler)
        return function

    return mark


class DirectRoute(ApiRoute):
    """A route whose function may be such a documentation."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler: Direct | None = getattr(self.endpoint, ANSWERED_BY, None)
        if handler is None:
            return super().get_route_handler()
        needed = tuple(needs_of(self.dependant))

        async def run(request: Request) -> Response:
            scope = request.scope
            for one in needed:
                one.check(scope)
            return await handler(request, scope[CALLER])

        return run


def direct_router(**more: Any) -> Router:
    """A router with such routes."""
    return Router(route_class=DirectRoute, **more)
