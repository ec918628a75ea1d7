"""How much of a limit is in use, for whoever explains why a message waits.

Looking changes nothing: no bucket is made, charged or moved, and nobody's place in a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import floor
from typing import Any, Literal, NamedTuple

from penstock.schedule.rate import Gcra

KEYS_MAX = 256  # in one question

UseKey = tuple[str, Literal["seat", "rate"]]


class Use(NamedTuple):
    """What is known of one limit.

    Of a seat: ``used`` over all workers, the ``limit`` last told (0: nobody has since it was last
    unused), ``free`` of it, ``waiting`` workers in line. Of a rate: ``limit`` tokens a period,
    ``free`` of them now (less than 0: bytes owed), ``used`` of a full bucket, ``waiting`` workers
    that one is promised to. ``next_at_s``: seconds until one is free, for a seat until it is worth
    asking; 0.0 if one is. ``alone``: only this worker's part, for the governor cannot be asked.
    """

    used: float
    limit: float
    free: float
    next_at_s: float
    waiting: int = 0
    alone: bool = False


def rate_use(bucket: Gcra, now: float, waiting: int = 0) -> Use:
    free = floor(bucket.free(now))
    wait_s = max(0.0, bucket.next_slot(now) - now)
    return Use(max(0, bucket.capacity - free), bucket.rate.count, free, wait_s, waiting)


def seat_use(used: int, limit: int, retry_s: float, waiting: int = 0) -> Use:
    free = max(0, limit - used)
    return Use(used, limit, free, 0.0 if free else retry_s, waiting)


def bounded(keys: Sequence[UseKey]) -> Sequence[UseKey]:
    """``ValueError`` for more than may be asked at once."""
    if len(keys) > KEYS_MAX:
        raise ValueError(f"{len(keys)} keys asked for at once, at most {KEYS_MAX} are answered")
    return keys


def from_wire(keys: Iterable[UseKey], result: Iterable[Any]) -> dict[UseKey, Use]:
    """The governor's answer; keys that it does not know are left out."""
    return {key: Use(*each) for key, each in zip(keys, result, strict=True) if each is not None}
