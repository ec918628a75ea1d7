"""How long a failed password guess makes the next one wait.

Failures are counted per key (a client, an account) in a bounded table; the count is forgotten some
time after the last one. The delay doubles with every failure.
"""

from __future__ import annotations

from collections import OrderedDict


class Guesses:
    """``now`` is any monotonic axis in seconds. When full, the key that failed longest ago goes."""

    __slots__ = ("_delay_max_s", "_delay_s", "_failures", "_forget_s", "_keys_max")

    def __init__(
        self, *, delay_s: float, delay_max_s: float, forget_s: float, keys_max: int
    ) -> None:
        self._delay_s = delay_s
        self._delay_max_s = delay_max_s
        self._forget_s = forget_s
        self._keys_max = keys_max
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def failed(self, key: str, now: float) -> None:
        self._failures[key] = (self.count(key, now) + 1, now)
        self._failures.move_to_end(key)
        if len(self._failures) > self._keys_max:
            self._failures.popitem(last=False)

    def count(self, key: str, now: float) -> int:
        count, last = self._failures.get(key, (0, 0.0))
        return count if now - last < self._forget_s else 0

    def delay(self, failures: int) -> float:
        """Seconds that the next try waits after so many."""
        if failures <= 0:
            return 0.0
        return min(self._delay_max_s, self._delay_s * 2.0 ** min(failures - 1, 30))

    def __len__(self) -> int:
        return len(self._failures)
