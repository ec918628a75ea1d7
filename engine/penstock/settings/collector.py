"""``[collector]`` and ``[statistics]``: who reads the event log, and what it counts."""

from __future__ import annotations

from pydantic import Field

from penstock.policy.fields import Duration, Size, Table

_MIB = 1 << 20


class CollectorSettings(Table):
    """The process that reads the event log and acts on it. It runs where events are written."""

    nice: int = Field(
        default=10, ge=0, le=19, description="How far it stands back for the workers (nice(2))."
    )
    memory_bytes_max: Size = Field(
        default=1024 * _MIB,
        ge=128 * _MIB,
        description="Its memory; beyond that it fails and retries.",
    )
    batch_bytes: Size = Field(
        default=_MIB // 2, ge=64 << 10, le=16 * _MIB, description="Read of one log at once."
    )
    batches_kept: int = Field(
        default=16, ge=1, le=1024, description="Batches kept for readers that are a little behind."
    )
    poll_s: Duration = Field(
        default=0.5, ge=0.01, le=10, description="How often it looks for new events."
    )
    flush_s: Duration = Field(
        default=1.0, ge=0.05, le=60, description="How often what was read is made durable."
    )
    retry_max_s: Duration = Field(
        default=60.0, ge=1, le=3600, description="Longest pause before what failed is tried again."
    )


class StatisticsSettings(Table):
    """Counters by hour, in ``statistics.sqlite3`` in the spool; see penstock stats."""

    keep: Duration = Field(
        default=90 * 86_400.0, ge=86_400, le=3660 * 86_400.0, description="How long they are kept."
    )
    rows_max: int = Field(
        default=1_000_000,
        ge=1000,
        le=100_000_000,
        description="Rows of an hour, tenant, campaign, provider and class; then (other) counts.",
    )
    tenants_shown: int = Field(
        default=20,
        ge=0,
        le=60,
        description="Tenants with most mail that have metrics of their own; the rest is other.",
    )
    guarded_max: int = Field(
        default=10_000,
        ge=100,
        le=1_000_000,
        description="Tenants and campaigns that each guard watches at once.",
    )
