"""The daemon as a whole: how it is, what goes where, its counters, its policies read anew."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from penstock.api.problem import Problem
from penstock.api.routing import Router
from penstock.api.steering import (
    UNIX,
    Answer,
    WholeReader,
    WholeSteerer,
    ask,
    asked,
    method,
)
from penstock.events.exposition import Merger, page

router = Router(tags=["Daemon"])
_MERGERS = "mergers"


class WorkerState(Answer):
    number: int
    pid: int
    away_s: float = Field(description="For how long it has not answered; 0: it does.")
    shards: list[int] = Field(description="The parts of the queue that it has.")


class DaemonState(Answer):
    version: str = Field(examples=["0.1.0"])
    pid: int
    uptime_s: float
    delivery: str = Field(description="sandbox or live.", examples=["live"])
    ready: bool = Field(description="All workers serve, and mail is taken.")
    reasons: list[str] = Field(description="Why it is not ready.")
    workers: list[WorkerState]
    collector: dict[str, Any] = Field(description="How far the readers of the event log are.")
    operations: list[dict[str, Any]] = Field(description="As at /operations.")


class TopRow(Answer):
    provider: str = Field(description="Empty: none of the policies'.", examples=["gmail"])
    source: str = Field(examples=["default"])
    queued: int
    ready: int
    in_flight: int
    rate_per_s: float = Field(description="Attempts, over the last minute.")
    limit_per_s: float | None = Field(description="The limit that is nearest; null: none.")
    deferral_share: float | None = Field(description="Of the attempts of the last minute.")
    operations: list[str] = Field(description="Operations that hold for it.")


class Top(Answer):
    rows: list[TopRow]
    operations: list[dict[str, Any]]
    away: list[int] = Field(description="Workers whose mail is not counted here.")


class Reloaded(Answer):
    changes: list[str] = Field(description="What has changed in the policies, by its meaning.")
    warnings: list[str]


class Upgraded(Answer):
    pid: int
    version: str
    was: str = Field(description="The version before.")


@method(router, "status", "Show how the daemon is", DaemonState)
async def daemon(request: Request, caller: WholeReader) -> Response:
    """Workers, the readers of the event log, limits, and operations in force."""
    return await asked(request, "status", {})


@method(router, "top", "Show what goes where", Top)
async def top(request: Request, caller: WholeReader) -> Response:
    """Rates, limits, deferrals and replies by provider and source, at this moment."""
    return await asked(request, "top", {})


@method(
    router,
    "metrics",
    "Show the counters",
    responses={200: {"description": "As at /metrics.", "content": {"text/plain": {}}}},
)
async def metrics(request: Request, caller: WholeReader) -> Response:
    """Of all processes, for Prometheus."""
    state = request.app.state
    if not hasattr(state, _MERGERS):
        setattr(state, _MERGERS, Merger())  # remembers what ended processes had counted
    merger: Merger = getattr(state, _MERGERS)
    snapshots = await ask(request, "metrics", {})
    body, kind = page(merger.merge(snapshots), request.headers.get("accept", ""))
    return Response(body, headers={"content-type": kind})


@method(router, "reload", "Read settings and policies again", Reloaded)
async def reload(request: Request, caller: WholeSteerer) -> Response:
    """All or nothing: where anything is wrong, nothing changes, and the detail says what and
    where."""
    return await asked(request, "reload", {})


@method(router, "upgrade", "Replace the daemon by what is installed now", Upgraded)
async def upgrade(request: Request, caller: WholeSteerer) -> Response:
    """Without a gap. Over the Unix socket alone."""
    if caller.client != UNIX:
        raise Problem(
            403,
            "local-only",
            "An upgrade is begun on the machine itself, over the Unix socket: penstock upgrade.",
        )
    return await asked(request, "upgrade", {})
