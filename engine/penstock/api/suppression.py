"""Who gets no mail any more: listed, looked up, changed.

A key with a tenant sees and changes that tenant's list. The list for all tenants is the operator's;
what it keeps back shows in the events of the tenant's own mail.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Request
from fastapi import Query as QueryOf
from pydantic import Field
from starlette.responses import Response

from penstock.api.access import Caller
from penstock.api.problem import Problem
from penstock.api.routing import Router
from penstock.api.steering import (
    REASON_CHARS_MAX,
    WHO_CHARS_MAX,
    Answer,
    Number,
    Order,
    Query,
    Reader,
    Steerer,
    ask,
    asked,
    given,
    method,
    signed,
)
from penstock.api.steering import answered as answer_of

router = Router(tags=["Suppression"])
GLOBAL_WORD = "-"  # how the list for all tenants is asked for
_CHARS_MAX = 300
_SCOPE = "A class of mail, list:NAME, or all."
Address = Annotated[
    str, Path(description="An address.", examples=["ann@gmail.example"], max_length=1000)
]


class EntryFilter(Query):
    tenant: str | None = Field(
        default=None,
        max_length=_CHARS_MAX,
        description=f'Of this tenant; "{GLOBAL_WORD}": of the list for all of them.',
    )
    scope: str | None = Field(default=None, max_length=_CHARS_MAX, description=_SCOPE)
    reason: str | None = Field(
        default=None,
        max_length=_CHARS_MAX,
        description="With this reason only.",
        examples=["bounce"],
    )

    def params(self, caller: Caller) -> dict[str, Any]:
        found = {"tenant": whose(caller, self.tenant), "scope": scope_of(self.scope)}
        found["reason"] = self.reason
        return {name: value for name, value in found.items() if value is not None}


class EntryQuery(EntryFilter):
    limit: int = Field(default=100, ge=1, le=5000, description="Entries at most, or few more.")
    cursor: str = Field(
        default="", max_length=2000, description="Go on there: `next` of the page before."
    )


class RemovalQuery(EntryFilter):
    who: str = Field(default="", max_length=WHO_CHARS_MAX, description="Who does it.")
    why: str = Field(default="", max_length=REASON_CHARS_MAX, description="Why, for the event.")


class Addition(Order):
    addresses: list[Annotated[str, Field(min_length=1, max_length=1000)]] = Field(
        min_length=1, max_length=1000, examples=[["ann@gmail.example"]]
    )
    tenant: str = Field(
        default="", max_length=_CHARS_MAX, description="For this tenant only; else for all."
    )
    scope: str | None = Field(
        default=None, max_length=_CHARS_MAX, description=f"{_SCOPE} Else as usual for the reason."
    )
    reason: str = Field(
        default="manual", max_length=64, description="Why it is suppressed.", examples=["complaint"]
    )
    ttl_s: Number = Field(
        default=0, ge=0, le=4e9, description="For so long; 0: as set for the reason."
    )
    who: str = Field(default="", max_length=WHO_CHARS_MAX, description="Who does it.")
    why: str = Field(default="", max_length=REASON_CHARS_MAX, description="Why, for the event.")


class Entry(Answer):
    address: str = Field(examples=["ann@gmail.example"])
    tenant: str = Field(description="Empty: for all of them.")
    scope: str = Field(description="Empty: all mail.")
    reason: str = Field(examples=["complaint"])
    since: str = Field(examples=["2026-12-01T08:00:00Z"])
    until: str = Field(description="Empty: for good.")
    cause: str = Field(description="The id of the event that made it.")


class EntryPage(Answer):
    entries: list[Entry] = Field(description="In the order of addresses.")
    next: str = Field(description="The cursor for the page behind; empty: there is none.")


class Looked(Answer):
    address: str = Field(description="As the list spells it.")
    entries: list[Entry] = Field(description="None: it is not suppressed.")


class Added(Answer):
    entries: int
    addresses: int
    new: int = Field(description="Entries that were not there before.")


class Removed(Answer):
    removed: int = Field(description="Entries.")


class Counted(Answer):
    tenant: str
    reason: str
    scope: str
    entries: int


class SuppressionStatistics(Answer):
    counts: list[Counted]
    addresses: int | None = Field(
        default=None, description="Once for each tenant; for keys without a tenant."
    )
    bytes: int | None = None
    map_bytes: int | None = Field(default=None, description="So large the list may become.")


@method(router, "suppression.list", "List suppressed addresses", EntryPage)
async def list_entries(
    request: Request, caller: Reader, query: Annotated[EntryQuery, QueryOf()]
) -> Response:
    """A page at a time. Where few of many entries are meant, a page may hold fewer than `limit`,
    or none: there are more while `next` is not empty."""
    params = {**query.params(caller), "limit": query.limit, "after": query.cursor}
    return await asked(request, "suppression.list", params)


@method(router, "suppression.statistics", "Count what is on the list", SuppressionStatistics)
async def statistics(request: Request, caller: Reader) -> Response:
    """By tenant, reason and scope."""
    params = {"tenant": caller.tenant} if caller.tenant else {}
    return await asked(request, "suppression.statistics", params)


@method(router, "suppression.lookup", "Look an address up", Looked)
async def lookup(
    request: Request, caller: Reader, address: Address, query: Annotated[EntryFilter, QueryOf()]
) -> Response:
    """All that the list has of it."""
    return await asked(request, "suppression.lookup", {**query.params(caller), "address": address})


@method(router, "suppression.add", "Suppress addresses", Added)
async def add(request: Request, caller: Steerer, order: Addition) -> Response:
    """For all tenants, or one; all of them or, where one is wrong, none."""
    params = given(order, "scope")
    if order.scope is not None:
        params["scope"] = scope_of(order.scope)
    tenant = "" if order.tenant == GLOBAL_WORD else order.tenant
    params |= {"tenant": caller.tenant_of(tenant), "who": signed(caller, order.who)}
    return await asked(request, "suppression.add", params)


@method(router, "suppression.remove", "Take an address off the list", Removed)
async def remove(
    request: Request, caller: Steerer, address: Address, query: Annotated[RemovalQuery, QueryOf()]
) -> Response:
    """All of its entries, or some; a 404 where there are none of these."""
    params = {
        **query.params(caller),
        "addresses": [address],
        "who": signed(caller, query.who),
        "why": query.why,
    }
    found = await ask(request, "suppression.remove", params)
    if not found["removed"]:
        raise Problem(404, "not-found", f"{address} has no such entry on the list.")
    return answer_of(found)


def whose(caller: Caller, tenant: str | None) -> str | None:
    """The tenant that is meant: ``""`` for the list for all, ``None`` for any."""
    if not caller.tenant:
        return "" if tenant == GLOBAL_WORD else tenant
    return caller.tenant_of(tenant or "")


def scope_of(given: str | None) -> str | None:
    return "" if given == "all" else given
