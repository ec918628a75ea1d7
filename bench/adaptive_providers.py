"""Providers that hide a limit, in virtual time: what the pace is found against.

Each answers one message at one time; none says what its limit is. ``capacity_per_s`` is what a
sender that knows the limit could deliver at that time.
"""

from __future__ import annotations

import random
from collections import deque
from enum import Enum
from typing import Protocol

DAY_S = 86400.0


class Reply(Enum):
    DELIVERED = "delivered"
    THROTTLED = "throttled"
    CROWDED = "crowded"  # throttled, and it spoke of connections
    BLOCKED = "blocked"
    GREYLISTED = "greylisted"
    DEFERRED = "deferred"


class Provider(Protocol):
    """``connections``: how many may be open, or None; ``too_many``: what the next one is told."""

    latency_s: float
    connections: int | None
    too_many: Reply

    def answer(self, recipient: int, now: float) -> Reply: ...
    def capacity_per_s(self, now: float) -> float: ...
    def limit_per_s(self, now: float) -> float: ...


class Rated:
    """A token bucket; ``change`` says the rate at a time where it is not always the same."""

    connections: int | None = None
    too_many = Reply.CROWDED

    def __init__(self, per_s: float, *, burst: float = 10.0, latency_s: float = 0.2) -> None:
        self.per_s, self.burst, self.latency_s = per_s, burst, latency_s
        self._tokens, self._at = burst, 0.0

    def capacity_per_s(self, now: float) -> float:
        return self.per_s

    def limit_per_s(self, now: float) -> float:
        return self.capacity_per_s(now)

    def answer(self, recipient: int, now: float) -> Reply:
        gained = (now - self._at) * self.limit_per_s(now)
        self._tokens, self._at = min(self._tokens + gained, self.burst), now
        if self._tokens < 1:
            return Reply.THROTTLED
        self._tokens -= 1
        return Reply.DELIVERED


class ByTheMinute(Rated):
    """So many in each minute of the clock, then no more until the next."""

    def __init__(self, per_s: float) -> None:
        super().__init__(per_s, burst=per_s * 60)

    def answer(self, recipient: int, now: float) -> Reply:
        if now // 60 != self._at // 60:
            self._tokens = self.burst
        self._at = now
        if self._tokens < 1:
            return Reply.THROTTLED
        self._tokens -= 1
        return Reply.DELIVERED


class Dropping(Rated):
    """Falls to a tenth for a time and comes back."""

    def __init__(self, per_s: float, since_s: float, until_s: float) -> None:
        super().__init__(per_s)
        self.since_s, self.until_s = since_s, until_s

    def capacity_per_s(self, now: float) -> float:
        return self.per_s / 10 if self.since_s <= now < self.until_s else self.per_s


class Crowding(Rated):
    """Counts connections only, and may not say so."""

    def __init__(self, connections: int, latency_s: float, *, said: bool = True) -> None:
        super().__init__(connections / latency_s, latency_s=latency_s)
        self.too_many = Reply.CROWDED if said else Reply.THROTTLED
        self.connections = connections

    def answer(self, recipient: int, now: float) -> Reply:
        return Reply.DELIVERED


class Quota(Rated):
    """So many a day, as fast as one likes."""

    def __init__(self, per_day: int) -> None:
        super().__init__(per_day / DAY_S)
        self.per_day = per_day
        self._left = per_day

    def answer(self, recipient: int, now: float) -> Reply:
        if now // DAY_S != self._at // DAY_S:
            self._left = self.per_day
        self._at = now
        if not self._left:
            return Reply.THROTTLED
        self._left -= 1
        return Reply.DELIVERED


class Greylisting(Rated):
    """Whom it has not seen must come again after a while; every attempt counts."""

    def __init__(self, per_s: float, after_s: float = 300.0) -> None:
        super().__init__(per_s)
        self._after_s = after_s
        self._seen: dict[int, float] = {}

    def answer(self, recipient: int, now: float) -> Reply:
        reply = super().answer(recipient, now)
        if reply is Reply.DELIVERED:
            first = self._seen.setdefault(recipient, now)
            return Reply.GREYLISTED if now < first + self._after_s else reply
        return reply

    def capacity_per_s(self, now: float) -> float:
        return self.per_s / 2

    def limit_per_s(self, now: float) -> float:
        return self.per_s


class Escalating(Rated):
    """Blocks whoever goes on although it is refused, each time for twice as long."""

    def __init__(self, per_s: float, patience: int = 60, over_s: float = 600.0) -> None:
        super().__init__(per_s)
        self._patience, self._over_s = patience, over_s
        self._refused: deque[float] = deque()
        self._until, self._for_s = 0.0, 3600.0
        self.blocks = 0

    def answer(self, recipient: int, now: float) -> Reply:
        if now < self._until:
            return Reply.BLOCKED
        reply = super().answer(recipient, now)
        if reply is Reply.THROTTLED:
            self._refused.append(now)
            while self._refused[0] < now - self._over_s:
                self._refused.popleft()
            if len(self._refused) > self._patience:
                self.blocks += 1
                self._refused.clear()
                self._until = now + self._for_s
                self._for_s *= 2
        return reply


class Noisy(Rated):
    """A share of all is refused for reasons that have nothing to do with the pace."""

    def __init__(self, per_s: float, share: float = 0.06) -> None:
        super().__init__(per_s)
        self._share = share
        self._random = random.Random(1)

    def answer(self, recipient: int, now: float) -> Reply:
        if self._random.random() < self._share:
            return Reply.DEFERRED
        return super().answer(recipient, now)
