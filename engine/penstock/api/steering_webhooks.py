"""The endpoints that are told of events: how they are, and orders about them.

A key with a tenant sees and steers those of its tenant; those of all tenants are the operator's.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Request
from pydantic import Field
from starlette.responses import Response

from penstock.api.access import Caller
from penstock.api.routing import Router
from penstock.api.steering import (
    WHO_CHARS_MAX,
    Answer,
    Number,
    Order,
    Reader,
    Steerer,
    answered,
    ask,
    asked,
    hidden,
    method,
    signed,
)

router = Router(tags=["Webhooks"])
Name = Annotated[str, Path(description="A webhook of the settings.", examples=["shop"])]


class WebhookState(Answer):
    name: str = Field(examples=["shop"])
    url: str
    tenant: str = Field(description='"*": all of them.', examples=["shop"])
    events: list[str] = Field(description="Types that it is told of; none: all.")
    state: str = Field(description="ok, behind, failing or disabled.", examples=["ok"])
    waiting: int = Field(description="Events that it was not given yet.")
    lag_s: float = Field(description="Age of the oldest of them.")
    failures: int = Field(description="In a row.")
    last: dict[str, Any] | None = Field(description="What the last attempt came to.")


class Webhooks(Answer):
    endpoints: list[WebhookState]


class Trying(Order):
    who: str = Field(default="", max_length=WHO_CHARS_MAX, description="Who tries it.")


class Nothing(Order):
    who: str = Field(default="", max_length=WHO_CHARS_MAX, description="Who orders it.")


class Replaying(Order):
    since_s: Number = Field(
        ge=0, le=1e11, description="From then on, seconds since 1970.", examples=[1796025600]
    )


class Tried(Answer):
    name: str
    event: str = Field(description="The id of the event that was made for this.")
    result: str = Field(description="delivered, or what kept it.", examples=["delivered"])
    status: int = Field(description="HTTP status; 0: none came.")
    reply: str
    duration_s: float


class Enabled(Answer):
    name: str
    was_disabled: bool


class Replayed(Answer):
    name: str
    since: str
    disabled: bool = Field(description="It is given nothing until it is enabled.")


@method(router, "webhooks.list", "List webhooks", Webhooks)
async def list_webhooks(request: Request, caller: Reader) -> Response:
    """Whether each answers, what waits for it, what it was never given."""
    found = await ask(request, "webhooks.list", {})
    return answered({"endpoints": [one for one in found["endpoints"] if _is_for(caller, one)]})


@method(router, "webhooks.test", "Try a webhook", Tried)
async def try_webhook(request: Request, caller: Steerer, name: Name, order: Trying) -> Response:
    """Send it one event made for this, past its queue."""
    await _check(request, caller, name)
    params = {"name": name, "who": signed(caller, order.who)}
    return await asked(request, "webhooks.test", params)


@method(router, "webhooks.enable", "Enable a webhook", Enabled)
async def enable(request: Request, caller: Steerer, name: Name, order: Nothing) -> Response:
    """Deliver again after a 410 Gone; also end a pause after failures at once."""
    await _check(request, caller, name)
    return await asked(request, "webhooks.enable", {"name": name})


@method(router, "webhooks.replay", "Deliver once more", Replayed)
async def replay(request: Request, caller: Steerer, name: Name, order: Replaying) -> Response:
    """What happened since then, from the event log; ids stay the same."""
    await _check(request, caller, name)
    return await asked(request, "webhooks.replay", {"name": name, "since_s": order.since_s})


def _is_for(caller: Caller, endpoint: dict[str, Any]) -> bool:
    return not caller.tenant or endpoint["tenant"] == caller.tenant


async def _check(request: Request, caller: Caller, name: str) -> None:
    """That the endpoint is the tenant's; others are as if they were not there."""
    if not caller.tenant:
        return
    found = await ask(request, "webhooks.list", {})
    mine = sorted(one["name"] for one in found["endpoints"] if _is_for(caller, one))
    if name not in mine:
        known = ", ".join(mine) or "none"
        raise hidden(f"no webhook is named {name!r}; there are: {known}")
