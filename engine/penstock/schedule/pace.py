"""What the controllers say: how fast one source may send to one provider now, and why.

The adaptive controller and the warm-up each give a pace; a worker obeys them beside the limits of
the policies.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """What one source may do at one provider now; None and 0.0 do not restrict."""

    rate_per_s: float | None = None  # recipients
    connections: int | None = None
    not_before: float = 0.0  # wall time, seconds since the epoch
    reason: str = ""  # for people: "throttled 3 of 40 at 12:01, cut to 70 %"
