"""Who waits for a seat, in order: so that workers get scarce connections in turn.

A worker that was refused stands in the line of the key that refused it, until a little after the
time at which it was told to come back. Those ahead of it have their seat set aside; one who does
not come back in time is passed over. A worker stands in a line once, however often it asks.

Who holds its share already lets those pass that do not. Its own place must not count against them
then: seats that are set aside for somebody who has to let others pass would be nobody's.
"""

from __future__ import annotations

from collections.abc import Callable


class Lines:
    """One line a key: worker -> until when its place is kept. An empty line costs nothing."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[int, float]] = {}
        self._sweep_at = 1024

    def __len__(self) -> int:
        """Places, those that ran out and were not met since included."""
        return sum(len(line) for line in self._lines.values())

    def waiting(self, key: str, now: float) -> int:
        """How many stand in the line of ``key``."""
        return sum(until >= now for until in self._lines.get(key, {}).values())

    def ahead(self, key: str, worker: int, now: float, has_enough: Callable[[int], bool]) -> int:
        """How many others go before ``worker``: those that have not enough before those that have,
        and in the order of the line among equals; who is not in it comes last."""
        line = self._lines.get(key)
        if line is None:
            return 0
        _expire(line, now)
        if not line:
            del self._lines[key]
            return 0
        enough, passed, count = has_enough(worker), False, 0
        for other in line:
            if other == worker:
                passed = True
            elif has_enough(other):
                count += enough and not passed
            else:
                count += enough or not passed
        return count

    def join(self, key: str, worker: int, until: float, now: float) -> None:
        """Gives ``worker`` the last place, or keeps the one it has."""
        if len(self._lines) >= self._sweep_at:
            self._sweep(now)
        self._lines.setdefault(key, {})[worker] = until

    def leave(self, key: str, worker: int) -> None:
        line = self._lines.get(key)
        if line is not None and line.pop(worker, None) is not None and not line:
            del self._lines[key]

    def gone(self, worker: int) -> None:
        """Takes ``worker`` out of every line."""
        for key in [key for key, line in self._lines.items() if worker in line]:
            self.leave(key, worker)

    def _sweep(self, now: float) -> None:
        for key in list(self._lines):
            line = self._lines[key]
            _expire(line, now)
            if not line:
                del self._lines[key]
        self._sweep_at = max(1024, 2 * len(self._lines))


def _expire(line: dict[int, float], now: float) -> None:
    late = [worker for worker, until in line.items() if until < now]
    for worker in late:
        del line[worker]
