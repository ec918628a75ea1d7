"""The mail that waits: listed, shown, explained."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Request
from fastapi import Query as QueryOf
from pydantic import Field
from starlette.responses import Response

from penstock.api.routing import Router
from penstock.api.steering import Answer, Query, Reader, ask, asked, hidden, method, of_tenant
from penstock.api.steering import answered as answer_of
from penstock.api.steering_selector import SelectorFields

router = Router(tags=["Queue"])
Id = Annotated[
    str,
    Path(description="A message, as the client was told it.", examples=["3b0b7b200b"]),
]


class QueueQuery(SelectorFields):
    limit: int = Field(default=50, ge=1, le=10_000, description="Rows at most.")


class QueueRow(Answer):
    """A recipient of a message that waits."""

    id: str = Field(description="The delivery.", examples=["3b0b7b200b"])
    recipient: str = Field(examples=["ann@gmail.example"])
    sender: str = Field(examples=["news@shop.example"])
    tenant: str = Field(examples=["shop"])
    campaign: str = Field(examples=["spring"])
    domain: str = Field(examples=["gmail.example"])
    provider: str = Field(description="Empty: none of the policies'.", examples=["gmail"])
    state: str = Field(description="in-flight, ready, waiting or scheduled.", examples=["ready"])
    due: float = Field(description="When it is tried, seconds since 1970.")
    expires: float = Field(description="When it is given up, seconds since 1970.")
    attempts: int = Field(description="Tries so far.")
    reason: str = Field(description="Why it waits.", examples=["retry"])
    last_reply: str = Field(description="What its host said last.")


class QueuePage(Answer):
    rows: list[QueueRow] = Field(description="Those that are due first.")
    total: int = Field(description="How many fit the selector, shown or not.")


class QueuedMessage(Answer):
    message: dict[str, Any] = Field(description="Its envelope.")
    recipients: list[QueueRow] = Field(description="Those that are still queued.")


class ExplainQuery(Query):
    target: str = Field(
        min_length=1,
        max_length=1000,
        description="A message's id, a recipient, or a queue: DOMAIN[/TENANT[/CAMPAIGN]].",
        examples=["ann@gmail.example"],
    )


class Explanation(Answer):
    """Why one delivery waits, and which line of which file says so."""

    id: str
    recipient: str
    state: str
    reason: str


class Explanations(Answer):
    explanations: list[Explanation] = Field(description="Those nearest to the wire first.")
    more: int = Field(description="How many more there are.")
    away: list[int] = Field(description="Workers that could not be asked.")


@method(router, "queue.list", "List what is queued", QueuePage)
async def list_queued(
    request: Request, caller: Reader, query: Annotated[QueueQuery, QueryOf()]
) -> Response:
    """What waits, and why, narrowed by a selector."""
    selector = of_tenant(caller, query.selector())
    return await asked(request, "queue.list", {"selector": selector, "limit": query.limit})


@method(router, "queue.show", "Show a message and its recipients", QueuedMessage)
async def show(request: Request, caller: Reader, id: Id) -> Response:
    """Its envelope and the recipients that are still queued."""
    found = await ask(request, "queue.show", {"id": id})
    if caller.tenant and found["message"].get("tenant", "") != caller.tenant:
        raise hidden(
            f"no message {id} in the queue: it was delivered, bounced, or never accepted here"
        )
    return answer_of(found)


@method(router, "explain", "Say why mail waits", Explanations)
async def explain(
    request: Request, caller: Reader, query: Annotated[ExplainQuery, QueryOf()]
) -> Response:
    """Why a message, the mail to a recipient, or a queue waits, when it goes, and which limits and
    orders decide that."""
    params = {"target": query.target}
    if caller.tenant:
        params["tenant"] = caller.tenant
    return await asked(request, "explain", params)
