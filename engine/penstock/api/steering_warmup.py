"""How far new sources are warmed up, and orders about it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Request
from fastapi import Query as QueryOf
from pydantic import Field
from starlette.responses import Response

from penstock.api.access import Caller
from penstock.api.routing import Router
from penstock.api.steering import (
    Answer,
    Flag,
    Query,
    Said,
    Whole,
    WholeReader,
    WholeSteerer,
    asked,
    given,
    method,
    signed,
)

router = Router(tags=["Warming up"])
_CHARS_MAX = 300
Source = Annotated[str, Path(description="A source of the policies.", examples=["s1"])]
_PROVIDER = 'At this provider only; "other": domains of none.'


class WarmupQuery(Query):
    source: str = Field(default="", max_length=_CHARS_MAX, description="This source only.")
    provider: str | None = Field(default=None, max_length=_CHARS_MAX, description=_PROVIDER)


class WarmupOrder(Said):
    provider: str | None = Field(
        default=None, max_length=_CHARS_MAX, description=_PROVIDER, examples=["gmail"]
    )


class WarmupPlace(WarmupOrder):
    """Either ``day`` or ``warm``."""

    day: Whole = Field(default=0, ge=0, le=10_000, description="A day of the plan, from 1.")
    warm: Flag = Field(default=False, description="It is warm: no limit by a plan.")


class Complaints(WarmupOrder):
    count: Whole = Field(default=1, ge=1, le=1_000_000_000, description="So many more today.")


class WarmupRow(Answer):
    source: str
    provider: str = Field(description="Empty: domains of no provider.")
    plan: str
    plan_where: str = Field(description="The line of the policies that begins the plan.")
    warm: bool
    day: int = Field(description="Of the plan, from 1.")
    days: int
    held: str = Field(description="Why it stays at its day; empty: it goes on.")
    stopped: str = Field(description="Why nothing more goes today; empty: it goes on.")
    sent: int = Field(description="Messages today.")
    messages: int | None = Field(description="That may go today; null: any number.")
    history: list[dict[str, Any]]
    warm_on: str | None = Field(description="The day it will be warm at best.")


class Warmup(Answer):
    rows: list[WarmupRow]
    unused: list[str] = Field(default=[], description="Sources with a plan that sent nothing yet.")


@method(router, "warmup.show", "Show how far sources are", Warmup)
async def show(
    request: Request, caller: WholeReader, query: Annotated[WarmupQuery, QueryOf()]
) -> Response:
    """Each source that has a plan, at each provider, and when it will be warm."""
    return await asked(request, "warmup.show", given(query))


@method(router, "warmup.start", "Begin again at the first day", Warmup)
async def start(
    request: Request, caller: WholeSteerer, source: Source, order: WarmupOrder
) -> Response:
    """Of the source's plan."""
    return await _order(request, caller, "start", source, order)


@method(router, "warmup.hold", "Stay at the day of the plan", Warmup)
async def hold(
    request: Request, caller: WholeSteerer, source: Source, order: WarmupOrder
) -> Response:
    """However well it goes, until it is told to go on."""
    return await _order(request, caller, "hold", source, order)


@method(router, "warmup.resume", "End a hold", Warmup)
async def resume(
    request: Request, caller: WholeSteerer, source: Source, order: WarmupOrder
) -> Response:
    """Also send again today where a block has stopped it."""
    return await _order(request, caller, "resume", source, order)


@method(router, "warmup.set", "Set it to a day, or to warm", Warmup)
async def set_(
    request: Request, caller: WholeSteerer, source: Source, order: WarmupPlace
) -> Response:
    """A day of the plan, from 1, or past all of them."""
    return await _order(request, caller, "set", source, order)


@method(router, "warmup.complained", "Count complaints", Warmup)
async def complained(
    request: Request, caller: WholeSteerer, source: Source, order: Complaints
) -> Response:
    """That came by a way that the daemon does not see."""
    return await _order(request, caller, "complained", source, order)


async def _order(
    request: Request, caller: Caller, verb: str, source: str, order: WarmupOrder
) -> Response:
    params = {**given(order), "source": source, "who": signed(caller, order.who)}
    return await asked(request, f"warmup.{verb}", params)
