"""``/api/v1/keys``: who may use this API."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, Field

from penstock.api.access import Caller, needs
from penstock.api.key_orders import KeyOrder
from penstock.api.keys import ScopeName
from penstock.api.ports import ports
from penstock.api.problem import Problem
from penstock.api.routing import Router
from penstock.api.steering import WHO_CHARS_MAX, signed

router = Router(tags=["Keys"])
Admin = Annotated[Caller, Depends(needs("admin"))]


class KeyShown(BaseModel):
    """A key, without its secret."""

    id: str = Field(description="The part between the underscores.", examples=["h3k9mwq2xz7p"])
    name: str = Field(examples=["shop's server"])
    tenant: str = Field(description="Empty: all.", examples=["shop"])
    scopes: list[ScopeName] = Field(examples=[["send", "read"]])
    networks: list[str] = Field(description="Empty: any.", examples=[["192.0.2.0/24"]])
    created_at: str = Field(examples=["2030-01-31T12:00:00Z"])
    expires_at: str | None = Field(description="null: never.", examples=["2031-05-17T09:30:00Z"])
    rate: str | None = Field(description="Of requests; null: no limit.", examples=["100/s"])
    message_rate: str | None = Field(description="Of recipients.", examples=["1000/min"])
    request_bytes_max: int | None = Field(examples=[1_048_576])


class KeyAsked(KeyOrder):
    who: str = Field(default="", max_length=WHO_CHARS_MAX, description="Who makes it, for the log.")


class KeyMade(KeyShown):
    """A new key. Nobody can show its secret again."""

    secret: str = Field(
        description="What goes into the Authorization header.",
        examples=["psk_h3k9mwq2xz7p_4fTUr8yzXqWl2mEJ0bJtqM5VhCjIyGk3nD9aRs6LpQw"],
    )


class KeysShown(BaseModel):
    """All keys, in the order in which they were made."""

    keys: list[KeyShown]


@router.get("/keys", summary="List the keys", response_model=KeysShown)
async def list_keys(request: Request, caller: Admin) -> Any:
    """A key with a tenant sees that tenant's keys."""
    return await ports(request).call("keys.list", {"tenant": caller.tenant})


@router.post("/keys", status_code=201, summary="Make a key", response_model=KeyMade)
async def create_key(request: Request, order: KeyAsked, caller: Admin) -> Any:
    """The answer holds the secret, once. A key can make no key that may do more than itself."""
    tenant = caller.tenant_of(order.tenant)
    beyond = [scope for scope in order.scopes if scope not in caller.scopes]
    if beyond:
        raise Problem(
            403, "scope-missing", f'This key has not the scope "{beyond[0]}" and can give none.'
        )
    params = order.model_dump(mode="json") | {"tenant": tenant, "who": signed(caller, order.who)}
    return await ports(request).call("keys.create", params)


@router.delete("/keys/{id}", summary="Revoke a key", response_model=KeyShown)
async def revoke_key(
    request: Request,
    caller: Admin,
    id: Annotated[str, Path(max_length=40, description="The key's id.")],
    who: Annotated[str, Query(max_length=WHO_CHARS_MAX, description="Who does it.")] = "",
) -> Any:
    """It is refused everywhere within a second. The answer says which it was."""
    params = {"id": id, "tenant": caller.tenant, "who": signed(caller, who)}
    return await ports(request).call("keys.revoke", params)
