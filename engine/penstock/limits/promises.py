"""Which worker was promised tokens of which key, and when: one promise a key and worker.

A promise ends when it is kept, when its worker is gone, or when the worker has not come for it in
time. What a promise means for the others is :mod:`penstock.schedule.promise`.
"""

from __future__ import annotations

from bisect import insort

from penstock.schedule.promise import Promise

_SWEEP_MIN = 1024
_STALE_S = 60.0  # long after every grace


class Promises:
    """The promises of every key, in order of time. A key without any costs nothing."""

    def __init__(self) -> None:
        self._keys: dict[str, list[Promise]] = {}
        self._sweep_at = _SWEEP_MIN

    def __len__(self) -> int:
        return sum(len(promises) for promises in self._keys.values())

    def before(
        self, key: str, worker: int, now: float, grace_s: float, keep_s: float
    ) -> list[Promise]:
        """What ``worker`` must leave to others: what is promised to them, and only what is promised
        for earlier if its own promise has come due. So whoever is due first is stopped by nobody,
        also where promises could not be kept to the minute. After ``grace_s`` they stop nobody
        else; until ``keep_s`` they still let their holder go first, who may have waited for another
        key meanwhile."""
        promises = self._keys.get(key)
        if promises is None:
            return []
        if promises[0].due < now - keep_s:
            promises = [each for each in promises if each.due >= now - keep_s]
            self._set(key, promises)
        others = []
        for each in promises:
            if each.holder != worker:
                if each.due >= now - grace_s:
                    others.append(each)
            elif each.due <= now:
                break
        return others

    def waiting(self, key: str) -> int:
        """How many workers are promised something of ``key``."""
        return len(self._keys.get(key, ()))

    def put(self, key: str, promise: Promise, now: float, *, later: bool = True) -> None:
        """Replaces the promise that its holder had at ``key``; unless ``later``, not an earlier."""
        if not later and any(
            each.holder == promise.holder and each.due <= promise.due
            for each in self._keys.get(key, ())
        ):
            return
        if len(self._keys) >= self._sweep_at:
            self._sweep(now)
        promises = [each for each in self._keys.get(key, ()) if each.holder != promise.holder]
        insort(promises, promise)
        self._keys[key] = promises

    def forget(self, key: str, worker: int) -> None:
        promises = self._keys.get(key)
        if promises is not None:
            self._set(key, [each for each in promises if each.holder != worker])

    def gone(self, worker: int) -> None:
        """Forgets every promise to ``worker``."""
        for key in list(self._keys):
            self.forget(key, worker)

    def _set(self, key: str, promises: list[Promise]) -> None:
        if promises:
            self._keys[key] = promises
        else:
            del self._keys[key]

    def _sweep(self, now: float) -> None:
        for key, promises in list(self._keys.items()):
            self._set(key, [each for each in promises if each.due >= now - _STALE_S])
        self._sweep_at = max(_SWEEP_MIN, 2 * len(self._keys))
