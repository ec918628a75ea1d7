"""How many connections a queue deserves: few for few messages, up to the limit for many.

KumoMTA's curve: with 100 messages waiting nine tenths of the limit, with 30 half of it, so that a
handful of messages does not open as many connections as a campaign.
"""

from __future__ import annotations

from math import ceil, exp

_STEEPNESS = 0.023


def connections_wanted(queued: int, limit: int) -> int:
    """Connections to have open for ``queued`` messages under ``limit``; 0 for none."""
    if queued <= 0 or limit <= 0:
        return 0
    return ceil(min(limit * (1 - exp(-_STEEPNESS * queued)), queued))
