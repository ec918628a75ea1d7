"""``GET /api/v1/status``: whether this is Penstock, which one, and whether it takes mail."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Request
from pydantic import BaseModel, Field

from penstock import __version__
from penstock.api.access import Caller, needs
from penstock.api.ports import ports
from penstock.api.routing import Router

router = Router(tags=["Status"])


class Status(BaseModel):
    """What a client may want to know first."""

    version: str = Field(description="Penstock's.", examples=["1.4.0"])
    delivery: Literal["sandbox", "live"] = Field(
        description="sandbox: all mail goes to fake providers on this machine."
    )
    accepts: bool = Field(description="Whether mail is taken now by who answered.")
    reason: str = Field(default="", description="Why not.", examples=[""])
    tenant: str = Field(description="The key's; empty: all.", examples=["shop"])
    scopes: list[str] = Field(description="The key's.", examples=[["send", "read"]])


@router.get("/status", summary="Who answers, and what the key may do")
async def status(request: Request, caller: Annotated[Caller, Depends(needs("read"))]) -> Status:
    """Asks one worker and no disk: cheap enough to be asked often."""
    found = ports(request)
    refusal = found.intake.sink.refusal() if found.intake is not None else None
    return Status(
        version=__version__,
        delivery=found.settings().delivery,
        accepts=found.intake is not None and refusal is None,
        reason=refusal.text if refusal is not None else "",
        tenant=caller.tenant,
        scopes=sorted(caller.scopes),
    )
