"""What became of messages: pages of events, and a stream of those that come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, get_args

from fastapi import Header, Request
from fastapi import Query as QueryOf
from pydantic import Field, field_validator
from starlette.responses import Response, StreamingResponse

from penstock.api.access import Caller
from penstock.api.events_stream import EventStream, streams
from penstock.api.fields import Moment
from penstock.api.ports import ports
from penstock.api.problem import FieldError, invalid
from penstock.api.routing import Router
from penstock.api.steering import Answer, Query, Reader, method
from penstock.api.threads import threads
from penstock.events.records import AnyEvent
from penstock.events.segments import time_of
from penstock.events.tail import BadCursor, Tail, Taken, places_of
from penstock.events.telling import Wanted, read
from penstock.policy.problem import suggestion

router = Router(tags=["Events"])
PAGE_FOUND_BYTES, PAGE_READ_BYTES = 8 << 20, 64 << 20
TYPES = tuple(str(one.__struct_config__.tag) for one in get_args(AnyEvent))
_TEXT_MAX = 1000
Line = Callable[[bytes], bool]


class EventFilter(Query):
    """Every value that is given has to be there."""

    message: str = Field(default="", max_length=100, description="Only of this message.")
    recipient: str = Field(default="", max_length=_TEXT_MAX, description="Only to this address.")
    tenant: str = Field(default="", max_length=_TEXT_MAX, description="Only of this tenant.")
    campaign: str = Field(default="", max_length=_TEXT_MAX, description="Only of this campaign.")
    type: str = Field(
        default="", max_length=40, description=f"Only of this type: {', '.join(TYPES)}."
    )

    @field_validator("type")
    @classmethod
    def _known(cls, text: str) -> str:
        if text and text not in TYPES:
            hint = suggestion(text, TYPES, "there are")
            raise ValueError(f"there is no {text[:40]!r}{'; ' if hint else ''}{hint}")
        return text

    def wanted(self, caller: Caller) -> Line:
        tenant = caller.tenant_of(self.tenant)
        fits = Wanted(self.message.lower(), self.recipient, tenant, self.campaign, self.type)

        def check(line: bytes) -> bool:
            if not fits.maybe(line):
                return False
            event = read(line)
            return event is not None and fits.fits(event)

        return check


class EventQuery(EventFilter):
    since: Moment | None = Field(
        default=None, description="From then on.", examples=["2026-12-01T08:00:00Z"]
    )
    until: Moment | None = Field(default=None, description="Before then.")
    cursor: str = Field(
        default="", max_length=4000, description="Go on there: `next` of the page before."
    )
    limit: int = Field(default=100, ge=1, le=10_000, description="Events at most.")


class Event(Answer):
    """As the log has it; docs/reference/events.md describes every type."""

    type: str = Field(examples=["delivered"])
    at: str = Field(examples=["2026-12-01T08:00:00.123Z"])
    id: str


class EventPage(Answer):
    events: list[Event] = Field(description="The oldest first; the logs of all workers together.")
    next: str = Field(description="The cursor behind them.")
    end: bool = Field(
        description="There is nothing more now. Else ask again with `next`, even where no event "
        "is here: so much is looked through for a page, and no more."
    )
    lost: int = Field(description="Files that were deleted before this cursor came to them.")


@method(router, "events.list", "List events", EventPage)
async def list_events(
    request: Request, caller: Reader, query: Annotated[EventQuery, QueryOf()]
) -> Response:
    """What happened, a page at a time."""
    wanted = query.wanted(caller)
    spool = ports(request).settings().spool
    taken, over = await threads().run(_page, spool, query, wanted)
    content = b'{"events":[%b],"next":"%b","end":%b,"lost":%d}' % (
        b",".join(one.line for one in taken.found),
        taken.cursor.encode(),
        b"true" if taken.end or over else b"false",
        taken.lost,
    )
    return Response(content, media_type="application/json")


def _page(spool: str, query: EventQuery, wanted: Line) -> tuple[Taken, bool]:
    """The page, and whether the time that was asked for is over."""
    since = query.since.timestamp() if query.since else 0.0
    until = query.until.timestamp() if query.until else 0.0
    tail = Tail(spool, _places(query.cursor), since)
    over = False

    def fits(line: bytes) -> bool:
        nonlocal over
        if (since or until) and not over:
            at = time_of(line)
            over = bool(until) and at >= until
            if at < since:
                return False
        return not over and wanted(line)

    try:
        return tail.take(fits, query.limit, PAGE_FOUND_BYTES, PAGE_READ_BYTES), over
    finally:
        tail.close()


@method(
    router,
    "events.stream",
    "Follow events",
    responses={200: {"description": "Events as they come.", "content": {"text/event-stream": {}}}},
)
async def stream_events(
    request: Request,
    caller: Reader,
    query: Annotated[EventFilter, QueryOf()],
    last_event_id: Annotated[
        str | None, Header(max_length=4000, description="Go on behind this event.")
    ] = None,
) -> Response:
    """Server-sent events: each has its type as `event`, the event as `data`, and a cursor as `id`,
    which browsers send again as `Last-Event-ID` when they connect anew. Without it the stream
    begins with what comes from now on. A comment keeps a quiet one open."""
    wanted = query.wanted(caller)
    settings = ports(request).settings()
    places = _places(last_event_id or "", "Last-Event-ID")
    seat = streams(settings.events.streams_max).take_seat()
    try:
        tail = await threads().run(Tail, settings.spool, places, None)
    except BaseException:
        seat.leave()
        raise
    content = EventStream(tail, wanted, seat).run()
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(content, media_type="text/event-stream", headers=headers)


def _places(cursor: str, field: str = "cursor") -> Any:
    try:
        return places_of(cursor) if cursor else None
    except BadCursor as error:
        raise invalid([FieldError(field, str(error))]) from None
