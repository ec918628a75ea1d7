"""``GET`` and ``DELETE`` of messages: what became of them, what they wait for, and cancelling."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, Field

from penstock.api.access import Caller, needs
from penstock.api.fields import Moment
from penstock.api.messages_history import (
    History,
    Listing,
    State,
    accepted_of,
    history,
    listed,
    state_after,
)
from penstock.api.ports import Ports, ports
from penstock.api.problem import FieldError, Problem, invalid
from penstock.api.routing import Router
from penstock.api.threads import threads
from penstock.control import ControlError
from penstock.events.records import Accepted
from penstock.events.tail import CURSOR_CHARS_MAX, BadCursor
from penstock.mail.envelope import id_number

router = Router(tags=["Messages"])
LIST_SINCE_S = 86_400.0
_TEXT_MAX = 1000
_WRITTEN_S = 0.3  # in which what happened gets into the log
Reader = Annotated[Caller, Depends(needs("read"))]
Sender = Annotated[Caller, Depends(needs("send"))]
MessageId = Annotated[
    str, Path(max_length=13, pattern="^[0-9a-zA-Z]+$", description="As it was answered.")
]


class RecipientState(BaseModel):
    """One recipient of a message."""

    recipient: str
    state: State = Field(
        description="queued: not tried yet; deferred: tried, and to be tried again; delivered: the "
        "receiving server took it; bounced: it was refused for good; expired: given up at its "
        "age; suppressed: on the suppression list; cancelled: by DELETE, or by an operator."
    )
    events: list[dict[str, Any]] = Field(
        description="What happened, oldest first; as in docs/reference/events.md."
    )
    waiting: dict[str, Any] | None = Field(
        default=None,
        description="What it waits for, as `penstock explain` says it; null: it does not wait.",
    )


class MessageState(BaseModel):
    """A message and its recipients."""

    id: str
    at: str = Field(description="When it was accepted.")
    sender: str
    tenant: str
    campaign: str
    class_: str = Field(serialization_alias="class")
    pool: str
    tags: dict[str, str]
    metadata: dict[str, str]
    size: int
    deliver_at: str
    recipients: list[RecipientState]
    complete: bool = Field(
        description="All logs were looked through. Else go on with `cursor`: so much is read for "
        "a request, and no more."
    )
    cursor: str = Field(default="", description="Where to go on; with events from there on only.")


class MessageRow(BaseModel):
    """One message of a list."""

    id: str
    at: str
    sender: str
    recipients: list[str]
    tenant: str
    campaign: str
    class_: str = Field(serialization_alias="class")
    tags: dict[str, str]
    metadata: dict[str, str]
    size: int


class MessagePage(BaseModel):
    messages: list[MessageRow] = Field(description="The oldest first.")
    next: str = Field(description="The cursor behind them.")
    end: bool = Field(
        description="There is nothing more now. Else ask again with `next`, even where no message "
        "is here: so much is looked through for a page, and no more."
    )


class Cancelled(BaseModel):
    id: str
    cancelled: list[str] = Field(description="These recipients get nothing any more.")
    under_way: list[str] = Field(description="Being sent at this moment: too late.")


@router.get("/messages/{id}", summary="What became of a message", response_model=MessageState)
async def show(
    request: Request,
    caller: Reader,
    id: MessageId,
    cursor: Annotated[
        str, Query(max_length=CURSOR_CHARS_MAX, description="That of the answer before.")
    ] = "",
) -> MessageState:
    """Each recipient with its state, what happened to it, and what it waits for."""
    found = ports(request)
    id = _checked(id)
    accepted, rows = await asyncio.gather(_accepted(found, id), _explained(found, id))
    if accepted is None or (caller.tenant and accepted.tenant != caller.tenant):
        raise _not_found(id)
    try:
        past = await threads().run(history, found.settings().spool, accepted, cursor)
    except BadCursor as error:
        raise invalid([FieldError("query cursor", str(error))]) from None
    return _state(past, rows)


async def _accepted(found: Ports, id_: str) -> Accepted | None:
    """A message that was taken in this moment may not be in the log yet."""
    spool = found.settings().spool
    accepted = await threads().run(accepted_of, spool, id_)
    if accepted is None:
        await asyncio.sleep(_WRITTEN_S)
        accepted = await threads().run(accepted_of, spool, id_)
    return accepted


async def _explained(found: Ports, id_: str) -> dict[str, dict[str, Any]]:
    """What the recipients wait for that are still queued, as far as the workers can be asked."""
    try:
        answer = await found.call("explain", {"target": id_})
    except (ControlError, ConnectionError, TimeoutError):
        return {}
    return {row["recipient"]: row for row in answer["explanations"]}


def _state(past: History, rows: dict[str, dict[str, Any]]) -> MessageState:
    accepted = past.accepted
    states = {one: RecipientState(recipient=one, state="queued", events=[])
              for one in accepted.recipients}  # fmt: skip
    for event in past.events:
        one = states.get(event.get("recipient", ""))
        if one is not None:
            one.events.append(event)
            one.state = state_after(one.state, event)
    for address, row in rows.items():
        if address in states and states[address].state in ("queued", "deferred"):
            states[address].waiting = row
    return MessageState(
        id=accepted.message,
        at=accepted.at,
        sender=accepted.sender,
        tenant=accepted.tenant,
        campaign=accepted.campaign,
        class_=accepted.class_,
        pool=accepted.pool,
        tags=accepted.tags,
        metadata=accepted.metadata,
        size=accepted.size,
        deliver_at=accepted.deliver_at,
        recipients=list(states.values()),
        complete=past.complete,
        cursor="" if past.complete else past.cursor,
    )


def _checked(id_: str) -> str:
    try:
        id_number(id_)
    except ValueError:
        raise _not_found(id_) from None
    return id_.lower()


def _not_found(id_: str) -> Problem:
    return Problem(
        404,
        "not-found",
        f"There is no message {id_}: it was never accepted here, or longer ago than events are "
        "kept.",
    )


@router.get("/messages", summary="List messages", response_model=MessagePage)
async def list_messages(
    request: Request,
    caller: Reader,
    recipient: Annotated[str, Query(max_length=_TEXT_MAX, description="To this address.")] = "",
    tenant: Annotated[str, Query(max_length=_TEXT_MAX, description="Of this tenant.")] = "",
    campaign: Annotated[str, Query(max_length=_TEXT_MAX, description="Of this campaign.")] = "",
    since: Annotated[
        Moment | None, Query(description="Accepted from then on; for a day if not given.")
    ] = None,
    until: Annotated[Moment | None, Query(description="Accepted before then.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Messages at most.")] = 100,
    cursor: Annotated[
        str, Query(max_length=CURSOR_CHARS_MAX, description="`next` of the page before.")
    ] = "",
) -> MessagePage:
    """Messages that were accepted, from the event logs."""
    found = ports(request)
    wanted = Listing(
        recipient,
        caller.tenant_of(tenant),
        campaign,
        _seconds(since) or max(0.0, found.now() - LIST_SINCE_S),
        _seconds(until),
    )
    try:
        page, following, end = await threads().run(
            listed, found.settings().spool, wanted, cursor, limit
        )
    except BadCursor as error:
        raise invalid([FieldError("query cursor", str(error))]) from None
    return MessagePage(messages=[_row(one) for one in page], next=following, end=end)


def _seconds(moment: datetime | None) -> float:
    return moment.timestamp() if moment is not None else 0.0


def _row(one: Accepted) -> MessageRow:
    return MessageRow(
        id=one.message,
        at=one.at,
        sender=one.sender,
        recipients=list(one.recipients),
        tenant=one.tenant,
        campaign=one.campaign,
        class_=one.class_,
        tags=one.tags,
        metadata=one.metadata,
        size=one.size,
    )


@router.delete("/messages/{id}", summary="Cancel a message", response_model=Cancelled)
async def cancel(request: Request, caller: Sender, id: MessageId) -> Cancelled:
    """Whoever has not got it yet gets nothing any more; each is told of as a `bounced` event that
    says it was cancelled. What is being sent at this moment goes out: `under_way`."""
    found = ports(request)
    id = _checked(id)
    who = f"key {caller.key}" if caller.key else caller.client
    asked = {"id": id, "tenant": caller.tenant, "who": who}
    try:
        answer = await found.call("message.cancel", asked)
    except ControlError as error:
        if error.code != "not-found":
            raise
        answer = None
    if answer is None:
        accepted = await _accepted(found, id)
        if accepted is None or (caller.tenant and accepted.tenant != caller.tenant):
            raise _not_found(id)
        raise Problem(409, "conflict", f"Nothing of {id} waits any more: it is too late to cancel.")
    if not answer["cancelled"]:
        raise Problem(
            409,
            "conflict",
            f"All that is left of {id} is being sent at this moment: it is too late to cancel.",
        )
    return Cancelled(id=id, cancelled=answer["cancelled"], under_way=answer["under_way"])
