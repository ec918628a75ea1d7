"""Which keys owe bytes: counted for people, for the buckets themselves know what they owe."""

from __future__ import annotations

from penstock.schedule.rate import Gcra

_SWEEP_MIN = 1024


class Debts:
    """Keys by the time at which they may be had again; one that is over costs nothing for long."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._sweep_at = _SWEEP_MIN
        self.spent = 0

    def spend(self, key: str, bucket: Gcra, n: int, now: float) -> None:
        """Charges ``bucket``, which is that of ``key``, with ``n`` more."""
        bucket.spend(n, now)
        self.spent += n
        until = bucket.next_slot(now)
        if until > now:
            self._until[key] = until
            if len(self._until) >= self._sweep_at:
                self.count(now)
                self._sweep_at = max(_SWEEP_MIN, 2 * len(self._until))

    def count(self, now: float) -> int:
        """How many keys owe something."""
        for key in [key for key, until in self._until.items() if until <= now]:
            del self._until[key]
        return len(self._until)
