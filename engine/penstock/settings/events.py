"""Settings of the event log."""

from __future__ import annotations

from pydantic import Field

from penstock.policy.fields import Duration, Size, Table

_MIB = 1 << 20
_DAY_S = 86_400.0


class EventSettings(Table):
    """The event log: one directory for each worker, under `events` in the spool."""

    enabled: bool = Field(
        default=True,
        description="Whether events are written; without them nothing else hears of any.",
    )
    segment_bytes: Size = Field(
        default=64 * _MIB,
        ge=_MIB,
        le=1 << 31,
        description="A file that has become larger is packed, and another one begun.",
    )
    segment_age_s: Duration = Field(
        default=_DAY_S, ge=60, le=365 * _DAY_S, description="So is one that is older."
    )
    retention_s: Duration = Field(
        default=30 * _DAY_S,
        ge=60,
        le=3650 * _DAY_S,
        description="A file is deleted when all its events are older.",
    )
    retention_bytes: Size = Field(
        default=4 << 30,
        ge=2 * _MIB,
        le=1 << 50,
        description="The oldest files of a log are deleted while all of it takes more.",
    )
    buffer_bytes_max: Size = Field(
        default=16 * _MIB,
        ge=_MIB,
        le=1 << 31,
        description="Memory for events that the disk refuses; what finds no room is dropped.",
    )
    sync_s: Duration = Field(
        default=1.0,
        ge=0.1,
        le=3600,
        description="How often events are synced: a power loss takes those of so long.",
    )
    rejected_per_s_max: int = Field(
        default=100,
        ge=0,
        le=1_000_000,
        description="Refusals of clients that become events in a second, in each worker.",
    )
    streams_max: int = Field(
        default=16,
        ge=0,
        le=1000,
        description="Clients that follow events over the HTTP API, in each process.",
    )
