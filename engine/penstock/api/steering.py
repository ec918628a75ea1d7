"""What the routes share that see and steer: their methods, whose things are meant, the answer.

A route here asks one method of the daemon and passes its answer on as it is; the models in the
OpenAPI document say what is in it. Which method stands at which address is in
:mod:`penstock.api.methods` and nowhere else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec
from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field, Strict
from starlette.responses import Response

from penstock.api.access import Caller, needs
from penstock.api.methods import ANY, METHODS, OWN, WHOLE
from penstock.api.ports import ports
from penstock.api.problem import Problem, problem_of
from penstock.api.routing import Router
from penstock.control import ControlError

# Of a body: true is no number, and 1 is not true.
Number = Annotated[float, Strict()]
Whole = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
_R = TypeVar("_R", bound=Callable[..., Any])
WHO_CHARS_MAX = 200
REASON_CHARS_MAX = 500
_BUSY_S = 5
_OF_TENANTS: Final = {
    OWN: "With a key of a tenant it is about that tenant alone.",
    WHOLE: "A key of a tenant is refused.",
    ANY: "",
}
UNIX: Final = "unix"  # the client of the socket in the supervisor


class Answer(BaseModel):
    """What the daemon answers. Newer versions may add to it."""

    model_config = ConfigDict(extra="allow")


class Query(BaseModel):
    """Parameters of an address."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Order(BaseModel):
    """The body of a request that changes something."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Said(Order):
    """Who orders it, and why."""

    who: str = Field(
        default="",
        max_length=WHO_CHARS_MAX,
        description="Who orders it, for the log; a key's id is added.",
        examples=["ann"],
    )
    reason: str = Field(
        default="",
        max_length=REASON_CHARS_MAX,
        description="Why, for the log and for others.",
        examples=["complaints from gmail"],
    )


Reader = Annotated[Caller, Depends(needs("read"))]
Steerer = Annotated[Caller, Depends(needs("admin"))]


def _whole(caller: Caller) -> Caller:
    if caller.tenant:
        raise Problem(
            403,
            "whole-daemon",
            f'This is about the daemon as a whole, and the key is for the tenant "{caller.tenant}" '
            "alone; use a key without a tenant.",
        )
    return caller


async def _whole_reader(caller: Reader) -> Caller:
    return _whole(caller)


async def _whole_steerer(caller: Steerer) -> Caller:
    return _whole(caller)


WholeReader = Annotated[Caller, Depends(_whole_reader)]
WholeSteerer = Annotated[Caller, Depends(_whole_steerer)]


def method(
    router: Router, name: str, summary: str, answer: type[BaseModel] | None = None, **more: Any
) -> Callable[[_R], _R]:
    """The route of the method ``name``, as the table has it. ``answer``: a model of it."""
    found = METHODS[name]
    given: dict[int | str, dict[str, Any]] = dict(more.pop("responses", {}))
    if answer is not None:
        given[200] = {"model": answer, "description": "The answer."}

    def add(function: _R) -> _R:
        said = inspect.getdoc(function) or ""
        return router.api_route(
            found.path.replace("{address}", "{address:path}"),  # a local part may hold a slash
            methods=[found.verb],
            summary=summary,
            description=f"{said}\n\n{_OF_TENANTS[found.tenants]}".strip(),
            operation_id=operation_of(name),
            response_model=None,
            responses=given,
            **more,
        )(function)

    return add


def operation_of(name: str) -> str:
    """What a method is called in the OpenAPI document."""
    return name if "." in name else f"daemon.{name}"


async def ask(request: Request, name: str, params: Mapping[str, Any]) -> Any:
    """The daemon's answer; its refusals are problems."""
    try:
        return await ports(request).call(name, dict(params))
    except ControlError as error:
        raise problem_of(error) from None
    except (ConnectionError, TimeoutError):
        raise Problem(
            503,
            "unavailable",
            "The daemon does not answer.",
            headers={"Retry-After": str(_BUSY_S)},
        ) from None


def answered(value: Any) -> Response:
    """``value`` as JSON; numbers that are none become null."""
    return Response(msgspec.json.encode(value), media_type="application/json")


async def asked(request: Request, name: str, params: Mapping[str, Any]) -> Response:
    return answered(await ask(request, name, params))


def given(model: BaseModel, *leave: str) -> dict[str, Any]:
    """What a client gave, and nothing else, so that the daemon's own defaults hold."""
    return model.model_dump(exclude_unset=True, by_alias=True, exclude=set(leave) or None)


def signed(caller: Caller, who: str) -> str:
    """``who`` as it is written down: what a client says of itself, and the key that it has."""
    if not caller.key:
        return who
    key = f"key {caller.key}" + (f" of tenant {caller.tenant}" if caller.tenant else "")
    return f"{who} ({key})" if who else key


def is_by_tenant(who: str, tenant: str) -> bool:
    """Whether somebody with a key of ``tenant`` ordered it, as :func:`signed` wrote down."""
    return who.removesuffix(")").endswith(f" of tenant {tenant}")


def of_tenant(caller: Caller, selector: Mapping[str, str]) -> dict[str, str]:
    """``selector``, which means no mail but that of the caller's tenant."""
    found = dict(selector)
    tenant = caller.tenant_of(found.get("tenant", ""))
    return {**found, "tenant": tenant} if tenant else found


def hidden(what: str) -> Problem:
    """For what belongs to another tenant: like what does not exist."""
    return Problem(404, "not-found", what)
