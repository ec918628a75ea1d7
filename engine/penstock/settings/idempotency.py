"""Settings of the memory by which a repeated call of the HTTP API sends nothing twice."""

from __future__ import annotations

from pydantic import Field

from penstock.policy.fields import Duration, Size, Table


class IdempotencySettings(Table):
    """What the HTTP API remembers of calls with an `Idempotency-Key`, in the spool."""

    keep_s: Duration = Field(
        default=86_400.0,
        ge=60,
        le=30 * 86_400.0,
        description="How long a call is remembered, and its answer with it.",
    )
    entries_max: int = Field(
        default=1_000_000,
        ge=1000,
        le=1 << 30,
        description="Calls remembered at most; with more, the oldest are forgotten early.",
    )
    map_bytes: Size = Field(
        default=1 << 30,
        ge=1 << 20,
        le=1 << 40,
        description="How large its file may become; when full, the oldest are forgotten early.",
    )
    wait_max_s: Duration = Field(
        default=5.0,
        ge=0,
        le=60,
        description="How long a duplicate waits for the call that it repeats before it gets 409.",
    )
