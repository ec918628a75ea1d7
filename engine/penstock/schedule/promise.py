"""Tokens promised for a later time, and what may be taken without breaking a promise.

A promise is a time and a number of tokens that somebody will then take. Given the bucket and its
promises in order of time, a plan is played through, one addition a promise: so late-comers may use
what nobody waits for, and no more than that. Promises bind nobody but those who ask here; the rate
itself is kept by the bucket alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from penstock.schedule.rate import Gcra

_ROUNDING_S = 1e-6


class Promise(NamedTuple):
    """``n`` tokens at ``due``, to ``holder``."""

    due: float
    n: int
    holder: int


def room(bucket: Gcra, promises: Sequence[Promise], want: int, now: float) -> int:
    """How many tokens, at most ``want``, may be taken now so that every promise can be kept."""
    k = min(want, bucket.peek(now)[0])
    while k > 0:
        lateness_s = _lateness_s(bucket, promises, bucket.next_time(now) + k * bucket.step_s, now)
        if lateness_s <= 0:
            break
        k -= max(1, ceil(lateness_s / bucket.step_s))
    return max(0, k)


def earliest(
    bucket: Gcra, promises: Sequence[Promise], n: int, not_before: float, now: float
) -> float:
    """The first time from ``not_before`` at which ``n`` more tokens can be promised."""
    step, horizon = bucket.step_s, bucket.horizon_s
    next_time = bucket.next_time(now)
    behind = not_before
    for at, promise in enumerate(promises):
        due = max(behind, next_time + (n - 1) * step - horizon)
        if due <= promise.due:
            after = max(next_time, due) + n * step
            if _lateness_s(bucket, promises[at:], after, now) <= 0:
                return due
        next_time = max(next_time, promise.due, now) + promise.n * step
        behind = max(behind, promise.due)
    return max(behind, next_time + (n - 1) * step - horizon)


def _lateness_s(bucket: Gcra, promises: Sequence[Promise], next_time: float, now: float) -> float:
    """By how much the worst of ``promises`` is broken if the bucket stands at ``next_time``."""
    step, horizon = bucket.step_s, bucket.horizon_s
    worst = 0.0
    for promised, n, _ in promises:
        due = max(promised, now)
        ready = next_time + (n - 1) * step - horizon
        if ready - due > worst:
            worst = ready - due
        next_time = max(next_time, due) + n * step
    return worst if worst > _ROUNDING_S else 0.0
