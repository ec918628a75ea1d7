"""Of several paces the one that keeps to all of them."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.schedule.pace import Pace

_FREE = Pace()


def strictest(paces: Iterable[Pace]) -> Pace:
    """The lowest rate, the fewest connections, the latest moment; the reasons of those that
    decide something of it, the one that holds back most first."""
    found = [pace for pace in paces if pace != _FREE]
    if len(found) < 2:
        return found[0] if found else _FREE
    not_before = max(pace.not_before for pace in found)
    rates = [pace.rate_per_s for pace in found if pace.rate_per_s is not None]
    seats = [pace.connections for pace in found if pace.connections is not None]
    rate_per_s, connections = min(rates, default=None), min(seats, default=None)
    deciding: dict[str, None] = {}
    for name, value in (
        ("not_before", not_before or None),
        ("rate_per_s", rate_per_s),
        ("connections", connections),
    ):
        first = next((p for p in found if value is not None and getattr(p, name) == value), None)
        if first is not None and first.reason:
            deciding[first.reason] = None
    return Pace(rate_per_s, connections, not_before, "; ".join(deciding))
