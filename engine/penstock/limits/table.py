"""The buckets of all keys, bounded.

A bucket that is full again says nothing that a new one would not say, so it may be forgotten at
any time; one that still restricts may not. Once the table is nearly full every new key looks at a
few of the oldest, so that room is made before it is short and no call ever scans the table. One in
which nothing can be forgotten refuses new keys: a limit is kept rather than guessed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from penstock.policy.rate import Rate
from penstock.schedule.rate import Gcra

_SWEEP_FROM = 7 / 8  # of the room taken; below, keys in use are not forgotten in their pauses
_SWEEP = 2  # looked at for every new key
_SWEEP_FULL = 64  # looked at when there is no room


class BucketTable:
    """``make(rate, now)`` is the bucket of a key not seen before."""

    def __init__(self, keys_max: int, make: Callable[[Rate, float], Gcra]) -> None:
        self.keys_max = keys_max
        self.refused = 0
        self._make = make
        self._buckets: OrderedDict[str, Gcra] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def get(self, key: str, rate: Rate, now: float) -> Gcra | None:
        """The bucket of ``key`` at ``rate``; ``None`` if there is no room for a new one."""
        bucket = self._buckets.get(key)
        if bucket is None:
            self._sweep(1, now)
            if not self._has_room(1):
                return None
            bucket = self._buckets[key] = self._make(rate, now)
        elif bucket.rate is not rate:
            bucket = self._at_rate(key, rate, now)
        return bucket

    def get_all(self, claims: Sequence[tuple[str, Rate]], now: float) -> list[Gcra] | None:
        """The buckets of all ``claims`` or of none. Room is made before the first is looked up: an
        idle bucket that is about to be charged must not be forgotten for the sake of the next."""
        get = self._buckets.get
        buckets = [bucket for key, rate in claims if (bucket := get(key)) and bucket.rate is rate]
        if len(buckets) == len(claims):
            return buckets
        keys = self._buckets.keys()
        missing = [key for key, _ in claims if key not in keys]
        if missing:
            self._sweep(len(missing), now)
            if not self._has_room(sum(key not in keys for key, _ in claims)):
                return None
            for key, rate in claims:
                if key not in keys:
                    self._buckets[key] = self._make(rate, now)
        return [self._at_rate(key, rate, now) for key, rate in claims]

    def find(self, key: str) -> Gcra | None:
        return self._buckets.get(key)

    def _at_rate(self, key: str, rate: Rate, now: float) -> Gcra:
        bucket = self._buckets[key]
        if bucket.rate != rate:
            old, bucket = bucket, self._make(rate, now)
            bucket.inherit(old, now)
            self._buckets[key] = bucket
        bucket.rate = rate  # the same object next time
        return bucket

    def _has_room(self, n: int) -> bool:
        if len(self._buckets) + n > self.keys_max:
            self.refused += 1
            return False
        return True

    def _sweep(self, n: int, now: float) -> None:
        """Makes room for ``n`` more, if there is little left and if it can."""
        size = len(self._buckets) + n
        if size <= self.keys_max * _SWEEP_FROM:
            return
        look = _SWEEP_FULL if size > self.keys_max else _SWEEP * n
        for _ in range(min(look, len(self._buckets))):
            key = next(iter(self._buckets))
            if self._buckets[key].idle(now):
                del self._buckets[key]
            else:
                self._buckets.move_to_end(key)


def count_down(counts: dict[str, int], key: str, n: int = 1) -> int:
    """Takes ``n`` off ``counts[key]``, never below 0, removing it at 0; returns how many were."""
    have = counts.get(key, 0)
    if have > n:
        counts[key] = have - n
        return n
    if have:
        del counts[key]
    return have
