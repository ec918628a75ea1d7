"""What became of the mail, counted; guards that tripped; replies that nobody knows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query as QueryOf
from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from penstock.api.routing import Router
from penstock.api.steering import (
    Answer,
    Query,
    Reader,
    WholeReader,
    answered,
    ask,
    asked,
    given,
    method,
)

router = Router(tags=["Results"])
_CHARS_MAX = 300
_SINCE_S_MAX = 3660 * 86_400.0


class StatisticsQuery(Query):
    tenant: str | None = Field(default=None, max_length=_CHARS_MAX, description="Of this tenant.")
    campaign: str | None = Field(
        default=None, max_length=_CHARS_MAX, description="Of this campaign."
    )
    provider: str | None = Field(
        default=None, max_length=_CHARS_MAX, description="To this provider; empty: to none of them."
    )
    class_: str | None = Field(
        default=None, alias="class", max_length=_CHARS_MAX, description="Of this class of mail."
    )
    since_s: float = Field(
        default=86_400.0,
        gt=0,
        le=_SINCE_S_MAX,
        description="How far back, in seconds; whole hours are counted.",
    )
    by: Literal["", "hour", "tenant", "campaign", "provider", "class"] = Field(
        default="", description="A row for each."
    )
    limit: int = Field(default=50, ge=1, le=10_000, description="Rows at most.")


class Counts(Answer):
    accepted: int
    sent: int
    delivered: int
    deferred: int
    bounced: int
    expired: int
    suppressed: int
    complaints: int
    unsubscribes: int
    cancelled: int
    bounces: dict[str, int] = Field(description="By category.")
    rates: dict[str, float | None] = Field(description="Shares from 0 to 1; null: of nothing.")


class Statistics(Answer):
    since: float = Field(description="Seconds since 1970.")
    until: float
    by: str
    rows: list[Counts] = Field(description="Each with the name that it is counted for.")
    more: int = Field(description="Rows that the limit left out.")
    total: Counts


class Trip(Answer):
    id: str
    guard: str
    tenant: str
    campaign: str
    at: float
    until: float
    action: str = Field(description="pause or warn.")
    reason: str
    where: str = Field(description="The line of the policies that sets the guard.")


class Guards(Answer):
    trips: list[Trip] = Field(description="Of the last 30 days, the last first.")


class UnmatchedQuery(Query):
    provider: str | None = Field(
        default=None, max_length=_CHARS_MAX, description="Only this provider's; empty: of none."
    )
    limit: int = Field(default=50, ge=1, le=10_000, description="Texts at most.")


class Unmatched(Answer):
    rows: list[dict[str, Any]] = Field(description="provider, reply, category and count.")
    total: int = Field(description="Texts, shown or not.")
    replies: int
    away: list[int] = Field(description="Workers that could not be asked.")


@method(router, "stats", "Count what became of the mail", Statistics)
async def statistics(
    request: Request, caller: Reader, query: Annotated[StatisticsQuery, QueryOf()]
) -> Response:
    """Counts and rates, by hour, tenant, campaign, provider or class."""
    params = query.model_dump(by_alias=True)
    if caller.tenant:
        params["tenant"] = caller.tenant_of(query.tenant or "")
    return await asked(request, "stats", params)


@method(router, "guards", "List guards that tripped", Guards)
async def guards(request: Request, caller: Reader) -> Response:
    """For whose mail, why, and what followed."""
    found = await ask(request, "guards", {})
    trips = [one for one in found["trips"] if caller.tenant in ("", one["tenant"])]
    return answered({**found, "trips": trips})


@method(router, "bounces.unmatched", "List replies without a rule", Unmatched)
async def unmatched(
    request: Request, caller: WholeReader, query: Annotated[UnmatchedQuery, QueryOf()]
) -> Response:
    """The most frequent first."""
    return await asked(request, "bounces.unmatched", given(query))
