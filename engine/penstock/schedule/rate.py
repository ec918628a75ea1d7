"""The generic cell rate algorithm: a rate kept with one number a key (ITU-T I.371, annex A).

Tokens stand at theoretical times, one every ``step_s``. The state is the time of the next one; a
token may be used up to the tolerance before its time, and it is lost once a full bucket of later
ones has come. Tolerance is the burst plus a little *slack*: an engine wakes up late, and a wake-up
that is late by less than the slack loses nothing. What slack adds to a window is paid for by a
step that is as much longer, so that in every half-open window of one period at most
``count + burst - 1`` tokens are granted, and over a long time at least 98 % of ``count`` a period.

Where it is known only afterwards how many tokens something took, as with bytes, they are spent
without asking: the next token's time moves so far ahead that nothing is granted until the debt is
worked off.
"""

from __future__ import annotations

from penstock.policy.rate import COUNT_MAX, Rate

SLACK_SHARE = 1 / 64
SLACK_MAX_S = 0.25
DEBT_MAX_S = 86400.0  # no single debt blocks a key of bytes for longer


def slack_s(rate: Rate) -> float:
    """How late a token may be used without being lost; 0 where a period holds only one."""
    return min(rate.period_s * SLACK_SHARE, SLACK_MAX_S) if rate.count > 1 else 0.0


class Gcra:
    """One key's bucket; full at first. ``now`` is seconds on any axis, the same in every call.

    ``lead_s``: tokens may be taken that long before their time, by a caller who then waits for
    it (:meth:`next_slot`); ``late_s``: such a caller may use them that long after it. The bound a
    window keeps counts both. If the clock steps back the bucket counts as empty at that moment:
    nothing is granted twice, and the next token comes after one step, not after the whole jump.
    ``debt_max``: how many tokens may be owed (:meth:`spend`). What was owed last is also the most
    that a clock which steps back can make of it.
    """

    __slots__ = ("_debt_s", "_empty_s", "_next", "_tolerance_s", "horizon_s", "rate", "step_s")

    def __init__(
        self, rate: Rate, *, lead_s: float = 0.0, late_s: float = 0.0, debt_max: int = 0
    ) -> None:
        slack = slack_s(rate)
        self.rate = rate
        self.step_s = (rate.period_s + slack + late_s) / rate.count
        self._tolerance_s = (max(rate.burst, 1) - 1) * self.step_s + slack
        self.horizon_s = self._tolerance_s + lead_s
        self._debt_s = debt_max * self.step_s
        self._empty_s = self.horizon_s + self.step_s  # how far ahead the next token may stand
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

    def spend(self, k: int, now: float) -> None:
        """Takes ``k`` tokens, also such as are not there: they are owed."""
        self._ready(now)
        self._next += k * self.step_s
        self._owe(now)

    @property
    def capacity(self) -> int:
        """How many tokens a full bucket holds, those of the slack included."""
        return int(self._tolerance_s / self.step_s) + 1

    def free(self, now: float) -> float:
        """Tokens that may be used now; less than 0 where some are owed."""
        free = (now - self.next_slot(now)) / self.step_s + 1
        return free if self._debt_s else max(0.0, free)

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
        self._owe(now)

    def _owe(self, now: float) -> None:
        """Bounds what is owed. It alone lets the next token stand further ahead than one step."""
        empty_s = self.horizon_s + self.step_s
        ahead_s = min(self._next - now, empty_s + self._debt_s)
        self._next = now + ahead_s
        self._empty_s = max(empty_s, ahead_s)

    def _ready(self, now: float) -> float:
        """When the next token may be taken. Brings the state back into the bounds that hold at
        ``now``: no fuller than full, no emptier than empty (a clock that stepped back)."""
        late = self._next - now
        if late <= 0:
            self._next = now
        elif late > self._empty_s:
            self._next = now + self._empty_s
        return self._next - self.horizon_s


class ByteGcra(Gcra):
    """A bucket of bytes: while it holds one it admits as many messages as are asked for, a byte
    each for the time being. What they weigh is spent when it is known."""

    __slots__ = ()

    def __init__(self, rate: Rate) -> None:
        super().__init__(rate, debt_max=int(rate.per_s * DEBT_MAX_S))

    def take(self, n: int, now: float) -> tuple[int, float]:
        ready = self._ready(now)
        if now < ready:
            return 0, ready
        self.spend(n, now)
        return n, 0.0

    def peek(self, now: float) -> tuple[int, float]:
        ready = self._ready(now)
        return (0, ready) if now < ready else (COUNT_MAX, 0.0)

    def charge(self, k: int) -> None:
        # What that owes is bounded when the messages' weight is spent.
        self._next += k * self.step_s


def bucket_for(rate: Rate) -> Gcra:
    """The bucket for what ``rate`` counts; full."""
    return ByteGcra(rate) if rate.counts_bytes else Gcra(rate)
