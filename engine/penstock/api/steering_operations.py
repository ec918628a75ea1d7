"""Operations by selector: begun, listed, ended.

A key with a tenant orders about that tenant's mail alone, and it ends what was ordered with a key
of that tenant: what an operator holds back stays held.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Request
from fastapi import Query as QueryOf
from pydantic import Field
from starlette.responses import Response

from penstock.api.access import Caller
from penstock.api.problem import Problem
from penstock.api.routing import Router
from penstock.api.steering import (
    Answer,
    Flag,
    Number,
    Query,
    Reader,
    Said,
    Steerer,
    answered,
    ask,
    asked,
    given,
    hidden,
    is_by_tenant,
    method,
    of_tenant,
    signed,
)
from penstock.api.steering_selector import Selector

router = Router(tags=["Operations"])
Verb = Literal["suspend", "bounce", "reroute", "retry", "expire"]
OperationId = Annotated[
    str, Path(description="As the list of operations has it.", examples=["s12"])
]
_SECONDS_MAX = 1e11


class Beginning(Said):
    """What to do with which mail, and for how long."""

    verb: Verb = Field(
        description="suspend: keep it and send nothing; bounce: give it up; reroute: send it from "
        "another pool; retry: try it now; expire: move when it is given up.",
        examples=["suspend"],
    )
    selector: Selector = Field(
        default=Selector(),
        description="Which mail; at least one field.",
        examples=[{"provider": "gmail", "tenant": "shop"}],
    )
    duration_s: Number = Field(
        default=0,
        ge=0,
        le=10 * 365 * 86_400.0,
        description="How long it holds, also for what comes; 0: until cancelled, and bounce and "
        "expire are about what is queued now.",
        examples=[1800],
    )
    pool: str = Field(default="", max_length=300, description="reroute: the pool that is to send.")
    tell: Flag = Field(default=False, description="bounce: send the senders reports.")
    expires_at: Number = Field(
        default=0, ge=0, le=_SECONDS_MAX, description="expire: when, in seconds since 1970."
    )


class Ending(Said):
    """Which suspensions end: those with exactly this selector."""

    selector: Selector = Field(default=Selector(), examples=[{"provider": "gmail"}])


class EndingQuery(Query):
    who: str = Field(default="", max_length=200, description="Who ends it, for the log.")
    reason: str = Field(default="", max_length=500, description="Why.")


class Operation(Answer):
    """What holds until it is cancelled, runs out, or is done."""

    id: str = Field(examples=["s12"])
    verb: str = Field(examples=["suspend"])
    selector: dict[str, str] = Field(examples=[{"provider": "gmail"}])
    since: float = Field(description="Seconds since 1970.")
    until: float = Field(description="Seconds since 1970; 0: until cancelled, or done.")
    who: str = Field(examples=["ann"])
    reason: str
    args: dict[str, Any]


class Operations(Answer):
    operations: list[Operation]
    max: int = Field(description="So many there can be.")


class Done(Answer):
    """What was found there and then."""

    id: str = Field(default="", description="The operation; retry leaves none.", examples=["s12"])
    ids: list[str] = Field(default=[], description="Operations that were ended.")
    keys: int = Field(description="Queues that it is about.")
    messages: int = Field(description="Recipients' messages in them.")
    away: list[int] = Field(
        default=[], description="Workers that are starting; they hear of it when they serve."
    )


@method(router, "queue.suspend", "Begin an operation", Done)
async def begin(request: Request, caller: Steerer, order: Beginning) -> Response:
    """Suspend, bounce, reroute, retry or expire the mail that a selector means."""
    if caller.tenant and order.verb == "reroute":
        raise Problem(
            403,
            "whole-daemon",
            "Which pool mail leaves from is up to the operator; a key with a tenant does not "
            "reroute.",
        )
    params = given(order, "verb", "selector")
    params["selector"] = of_tenant(caller, order.selector.fields())
    params["who"] = signed(caller, order.who)
    return await asked(request, f"queue.{order.verb}", params)


@method(router, "queue.operations", "List the operations in force", Operations)
async def list_operations(request: Request, caller: Reader) -> Response:
    """Suspensions, bounces, reroutes and moved expiries that still hold."""
    found = await ask(request, "queue.operations", {})
    rows = [one for one in found["operations"] if _is_for(caller, one)]
    return answered({**found, "operations": rows})


@method(router, "queue.resume", "End suspensions", Done)
async def resume(request: Request, caller: Steerer, order: Ending) -> Response:
    """Those with exactly this selector; all of them where it is empty."""
    selector = of_tenant(caller, order.selector.fields())
    who = signed(caller, order.who)
    if not caller.tenant:
        params = {**given(order, "selector"), "selector": selector, "who": who}
        return await asked(request, "queue.resume", params)
    mine = [
        one
        for one in (await ask(request, "queue.operations", {}))["operations"]
        if one["verb"] == "suspend" and one["selector"] == selector
    ]
    own = [one for one in mine if is_by_tenant(one["who"], caller.tenant)]
    if not own:
        raise (
            _others(mine[0]["id"])
            if mine
            else hidden("nothing is suspended by exactly this selector")
        )
    sums: dict[str, Any] = {}
    for one in own:
        sums = await ask(
            request, "queue.cancel", {"id": one["id"], "who": who, "reason": order.reason}
        )
    return answered({**sums, "ids": [one["id"] for one in own]})


@method(router, "operations.show", "Show one operation", Operation)
async def show_operation(request: Request, caller: Reader, id: OperationId) -> Response:
    """As the list of operations has it."""
    return answered(await _find(request, caller, id))


@method(router, "queue.cancel", "End an operation", Done)
async def cancel(
    request: Request, caller: Steerer, id: OperationId, query: Annotated[EndingQuery, QueryOf()]
) -> Response:
    """What it did to mail already stays done."""
    if caller.tenant:
        found = await _find(request, caller, id)
        if not is_by_tenant(found["who"], caller.tenant):
            raise _others(id)
    params = {**given(query), "id": id, "who": signed(caller, query.who)}
    return await asked(request, "queue.cancel", params)


async def _find(request: Request, caller: Caller, number: str) -> dict[str, Any]:
    found: dict[str, Any]
    for found in (await ask(request, "queue.operations", {}))["operations"]:
        if found["id"] == number and _is_for(caller, found):
            return found
    raise hidden(f"no operation {number!r}: it has ended, or never was")


def _is_for(caller: Caller, operation: dict[str, Any]) -> bool:
    """Whether it is about the mail of the caller's tenant and no other."""
    return not caller.tenant or operation["selector"].get("tenant") == caller.tenant


def _others(number: str) -> Problem:
    return Problem(
        403, "other-tenant", f"Operation {number} was begun by the operator, who alone ends it."
    )
