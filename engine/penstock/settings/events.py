"""Stub of ``[events]``. Replaced on merging."""

from __future__ import annotations

from pydantic import Field

from penstock.policy.fields import Table


class EventSettings(Table):
    """The event log."""

    enabled: bool = Field(default=True, description="Whether events are written down.")
