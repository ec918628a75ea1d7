"""The generic cell rate algorithm: a rate kept with one number a key (ITU-T I.371, annex A).

Tokens stand at theoretical times, one every ``step_s``. The state is the time of the next one; a
token may be used up to the tolerance before its time, and it is lost once a full bucket of later
ones has come. Tolerance is the burst plus a little *slack*: an engine wakes up late, and a wake-up
that is late by less than the slack loses nothing. What slack adds to a window is paid for by a
step that is as much longer, so that in every half-open window of one period at most
``count + burst - 1`` tokens are granted, and over a long time at least 98 % of ``count`` a period.
"""

from __future__ import annotations

from penstock.policy.rate import Rate

SLACK_SHARE = 1 / 64
SLACK_MAX_S = 0.25


def slack_s(rate: Rate) -> float:
    """How late a token may be used without being lost; 0 where a period holds only one."""
    return min(rate.period_s * SLACK_SHARE, SLACK_MAX_S) if rate.count > 1 else 0.0


class Gcra:
    """One key's bucket; full at first. ``now`` is seconds on any axis, the same in every call.

    ``lead_s``: tokens may be taken that long before their time, by a caller who then waits for
    it (:meth:`next_slot`); ``late_s``: such a caller may use them that long after it. The bound a
    window keeps counts both. If the clock steps back the bucket counts as empty at that moment:
    nothing is granted twice, and the next token comes after one step, not after the whole jump.
    """

    __slots__ = ("_next", "_tolerance_s", "horizon_s", "rate", "step_s")

    def __init__(self, rate: Rate, *, lead_s: float = 0.0, late_s: float = 0.0) -> None:
        slack = slack_s(rate)
        self.rate = rate
        self.step_s = (rate.period_s + slack + late_s) / rate.count
        self._tolerance_s = (max(rate.burst, 1) - 1) * self.step_s + slack
        self.horizon_s = self._tolerance_s + lead_s
        self._next = float("-inf")

    def take(self, n: int, now: float) -> tuple[int, float]:
        """Grants ``k <= n``: ``(k, 0.0)``, or ``(0, retry_at)`` where there is none yet."""
        ready = self._ready(now)
        if now < ready:
            return 0, ready
        if n != 1:
            n = min(n, int((now - ready) / self.step_s) + 1)
        self._next += n * self.step_s
        return n, 0.0

    def peek(self, now: float) -> tuple[int, float]:
        """What :meth:`take` would grant at most, and else when; takes nothing."""
        ready = self._ready(now)
        if now < ready:
            return 0, ready
        return int((now - ready) / self.step_s) + 1, 0.0

    def charge(self, k: int) -> None:
        """Takes ``k`` tokens that :meth:`peek` has just promised, at the same ``now``."""
        self._next += k * self.step_s

    def next_time(self, now: float) -> float:
        """The theoretical time of the next token; it may be taken ``horizon_s`` before that."""
        self._ready(now)
        return self._next

    def next_slot(self, now: float) -> float:
        """The time from which the next token may be *used*; later than ``now`` only by a lead."""
        self._ready(now)
        return self._next - self._tolerance_s

    def give_back(self, k: int) -> None:
        """``k`` tokens that were taken and not used; a bucket never holds more than a full one."""
        self._next -= k * self.step_s

    def idle(self, now: float) -> bool:
        """Full: forgetting this bucket changes nothing."""
        self._ready(now)
        return self._next <= now

    def drain(self, now: float, wait_s: float) -> None:
        """Makes it empty; the next token comes after ``wait_s``."""
        self._next = now + self.horizon_s + wait_s

    def inherit(self, old: Gcra, now: float) -> None:
        """Starts with the tokens that ``old`` has left, for a rate that was changed."""
        left = (now - old._ready(now)) / old.step_s + 1
        self.drain(now, (1 - left) * self.step_s)

    def _ready(self, now: float) -> float:
        """When the next token may be taken. Brings the state back into the bounds that hold at
        ``now``: no fuller than full, no emptier than empty (a clock that stepped back)."""
        late = self._next - now
        if late <= 0:
            self._next = now
        elif late > self.horizon_s + self.step_s:
            self._next = now + self.horizon_s + self.step_s
        return self._next - self.horizon_s
