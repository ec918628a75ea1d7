"""Who holds which connections: one count a key and worker, so that a dead worker's come back.

They do not come back at once: a host that is thinking about a message sees that its client has
gone only when it answers, and counts the connection until then.
"""

from __future__ import annotations

from collections.abc import Mapping

from penstock.limits.table import count_down


class SeatBook:
    """Seats taken, by key and by worker."""

    def __init__(self) -> None:
        self._used: dict[str, int] = {}
        self._held: dict[int, dict[str, int]] = {}
        self._left: dict[int, tuple[float, dict[str, int]]] = {}  # by the dead, until when
        self._limits: dict[str, int] = {}  # as last told, of the seats that are used

    def __len__(self) -> int:
        """Seats taken in all."""
        return sum(self._used.values())

    def used(self, key: str) -> int:
        return self._used.get(key, 0)

    def held(self, worker: int, key: str) -> int:
        held = self._held.get(worker)
        return held.get(key, 0) if held else 0

    def told(self, key: str, limit: int) -> None:
        """What the limit of ``key`` is now; remembered while some are used."""
        if key in self._used:
            self._limits[key] = limit

    def limit(self, key: str) -> int:
        """As last told; 0 if nobody has."""
        return self._limits.get(key, 0)

    def take(self, worker: int, key: str, n: int = 1) -> None:
        self._used[key] = self._used.get(key, 0) + n
        held = self._held.setdefault(worker, {})
        held[key] = held.get(key, 0) + n

    def leave(self, worker: int, key: str, n: int) -> int:
        """Frees ``n`` of ``worker``'s seats, or as many as it has; returns how many."""
        held = self._held.get(worker)
        freed = count_down(held, key, n) if held else 0
        if freed:
            self._free(key, freed)
        return freed

    def gone(self, worker: int, until: float) -> None:
        """``worker`` has died: its seats are free from ``until`` on."""
        held = self._held.pop(worker, None)
        if not held:
            return
        for key, n in self._left.pop(worker, (until, {}))[1].items():  # it died just before, too
            held[key] = held.get(key, 0) + n
        self._left[worker] = until, held

    def lapse(self, now: float) -> None:
        """Frees what the dead have left for long enough."""
        for worker in [worker for worker, (until, _) in self._left.items() if until <= now]:
            self._free_all(self._left.pop(worker)[1])

    def forget(self, worker: int) -> None:
        """Frees every seat of ``worker`` now, also those that it left: it says anew what it has."""
        self._free_all(self._held.pop(worker, {}))
        self._free_all(self._left.pop(worker, (0.0, {}))[1])

    def _free_all(self, held: Mapping[str, int]) -> None:
        for key, n in held.items():
            self._free(key, n)

    def _free(self, key: str, n: int) -> None:
        count_down(self._used, key, n)
        if key not in self._used:
            self._limits.pop(key, None)
