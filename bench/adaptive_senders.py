"""Who sends: the adaptive control, and the three ways to do without it that it is compared with.

All have the limits that are shipped for every destination, and the same retry times; they differ
in what they make of a refusal.
"""

from __future__ import annotations

from typing import Protocol

from penstock.schedule.adaptive import AdaptiveConfig, AdaptiveState, Tally, pace, step
from penstock.schedule.pace import Pace

# policies/default.toml
RATE_PER_S, CONNECTIONS = 100.0, 10


class Sender(Protocol):
    name: str

    def pace(self, now: float) -> Pace: ...
    def hear(self, tally: Tally, now: float) -> None: ...


class Adaptive:
    name = "adaptive"

    def __init__(self) -> None:
        self.config = AdaptiveConfig(rate_max_per_s=RATE_PER_S, connections_max=CONNECTIONS)
        self.state = AdaptiveState()

    def pace(self, now: float) -> Pace:
        return pace(self.config, self.state, now)

    def hear(self, tally: Tally, now: float) -> None:
        self.state = step(self.config, self.state, tally, now)


class Static:
    """The shipped defaults, whatever is replied."""

    name = "static"

    def pace(self, now: float) -> Pace:
        return Pace(RATE_PER_S, CONNECTIONS)

    def hear(self, tally: Tally, now: float) -> None:
        pass


class Postfix:
    """The concurrency feedback of Postfix 2.5 and later, as it is set by default: a success adds
    one for every round, a failure to connect takes one; one round of failures and the destination
    is dead for five minutes. Refusals after the handshake do not count.
    """

    name = "Postfix feedback"
    _LIMIT, _INITIAL, _DEAD_S = 20, 5, 300.0

    def __init__(self) -> None:
        self._n, self._dead_until = self._INITIAL, 0.0
        self._success = self._failure = self._cohorts = 0.0

    def pace(self, now: float) -> Pace:
        return Pace(None, self._n, self._dead_until if now < self._dead_until else 0.0)

    def hear(self, tally: Tally, now: float) -> None:
        for _ in range(tally.delivered + tally.throttled - tally.crowded + tally.deferred):
            self._cohorts = 0.0
            self._success += 1 / self._n
            while self._success >= 1 and self._n < self._LIMIT:
                self._n, self._success, self._failure = self._n + 1, self._success - 1, 0.0
            self._success = min(self._success, 1.0)
        for _ in range(tally.connect_failed):
            self._cohorts += 1 / self._n
            if self._cohorts > 1:
                self._dead_until = now + self._DEAD_S
                self._n, self._success, self._failure, self._cohorts = self._INITIAL, 0.0, 0.0, 0.0
                return
            self._failure -= 1 / self._n
            while self._failure < 0:
                self._n, self._failure, self._success = self._n - 1, self._failure + 1, 0.0
            self._n = max(self._n, 1)


class TwoLevels:
    """The usual backoff mode: a refusal that speaks of the pace enters it, a timer leaves it.
    Ten a minute for half an hour is what is in use for Gmail; others are tried too, and the best
    for each provider counts. A block pauses for two hours."""

    name = "two-level backoff"
    SLOW_PER_S = (10 / 60, 1.0, 10.0)
    _SLOW_CONNECTIONS, _SLOW_S = 1, 1800.0
    _PAUSE_S = 7200.0

    def __init__(self, slow_per_s: float) -> None:
        self._slow_per_s = slow_per_s
        self._slow_until = self._paused_until = 0.0

    def pace(self, now: float) -> Pace:
        if now < self._slow_until:
            return Pace(self._slow_per_s, self._SLOW_CONNECTIONS, self._paused_until)
        return Pace(RATE_PER_S, CONNECTIONS, self._paused_until)

    def hear(self, tally: Tally, now: float) -> None:
        if tally.throttled and now >= self._slow_until:
            self._slow_until = now + self._SLOW_S
        if tally.blocked and now >= self._paused_until:
            self._paused_until = now + self._PAUSE_S
