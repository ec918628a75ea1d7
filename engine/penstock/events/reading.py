"""Where a reader of the event log is."""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """``offset`` in uncompressed bytes."""

    segment: int
    offset: int
