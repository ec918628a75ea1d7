"""The sending hours of a day, one after the other, to spread a day's messages over them.

A day is one of the window's zone. Its open spans are laid end to end and cut into hours; the last
may be shorter. By the clock there: a night that is an hour longer does not make an hour more.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from penstock.policy.window import Window

HOUR_S = 3600.0
_DAY_S = 86400.0


class Moment(NamedTuple):
    """``hour``: which one it is, from 0, or where the window is shut the one that comes next;
    ``hours``: how many the day has, 0 where it has none. ``next_at``: when the next one begins;
    ``day_end``: when the day does. Both in seconds since the epoch."""

    day: int
    hour: int
    hours: int
    open: bool
    next_at: float
    day_end: float


def moment(window: Window, t: float) -> Moment:
    """Where ``t``, in seconds since the epoch, stands in the hours of its day."""
    day, second = window.local(t)
    spans = window.spans_of(day)
    total = sum(end - start for start, end in spans)
    past = sum(min(end, second) - start for start, end in spans if start <= second)
    is_open = any(start <= second < end for start, end in spans)
    hours = ceil(total / HOUR_S)
    hour = min(int(past / HOUR_S), hours) if is_open else min(ceil(past / HOUR_S), hours)
    day_end = t + _DAY_S - second
    next_at = window.next_open(t)
    if is_open:
        next_at = window.next_open(day_end)
        ahead = (hour + 1) * HOUR_S - past
        for start, end in spans:
            left = end - max(start, second)
            if left <= 0:
                continue
            if ahead < left:
                next_at = t + max(start, second) + ahead - second
                break
            ahead -= left
    return Moment(day, hour, hours, is_open, next_at, day_end)
