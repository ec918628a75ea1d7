"""Wall time for decisions, which no jump of the machine's clock moves.

Retries, expiry and the lifetime of addresses are points in wall time, since they must outlive the
process. A clock that is set forward by an hour would make all of them due at once and give mail up
an hour early; set back, everything would wait for an hour more. So what decides is a clock that
began with the machine's and runs evenly from then on. It follows a jump slowly, ``SLEW`` seconds a
second: what is due comes at most by so much earlier or later than it should, and in the end both
clocks agree again. Differences below ``STEP_S`` are no jumps and are followed at once.

Dates that others read (Received, DKIM, the log) are the machine's own.
"""

from __future__ import annotations

from collections.abc import Callable

SLEW = 0.1
STEP_S = 2.0


class SteadyClock:
    """``wall()`` is the machine's time since the epoch; ``steady()`` runs evenly, also while the
    machine sleeps, from any beginning. Both in seconds, and so is what a call returns."""

    def __init__(self, wall: Callable[[], float], steady: Callable[[], float]) -> None:
        self._wall, self._steady = wall, steady
        self._looked = steady()
        self._ahead = wall() - self._looked
        self.offset_s = 0.0

    def __call__(self) -> float:
        return self._steady() + self._ahead

    def look(self) -> float:
        """Compare the clocks, about once a second; returns by how much the machine's jumped since
        the last look, 0.0 where it did not. ``offset_s``: how far it is ahead of this one."""
        present = self._steady()
        off = self._wall() - present - self._ahead
        jumped = off - self.offset_s
        passed, self._looked = present - self._looked, present
        if abs(off) < STEP_S:
            self._ahead += off
            self.offset_s = 0.0
        else:
            most = max(0.0, passed) * SLEW
            moved = max(-most, min(most, off))
            self._ahead += moved
            self.offset_s = off - moved
        return jumped if abs(jumped) >= STEP_S else 0.0
