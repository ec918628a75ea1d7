"""A sender, a provider and a queue in virtual time, second by second.

What is deferred is due again at the retry times of the default policy, and
goes first then. A sender hears what came of a second's mail two seconds later.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from dataclasses import dataclass, field

from bench.adaptive_providers import Provider, Reply
from bench.adaptive_senders import Sender
from penstock.schedule.adaptive import Tally
from penstock.schedule.retry import delay

HEARD_S = 2


@dataclass(slots=True)
class Run:
    """By second: what the sender's rate was, and what came of what it sent."""

    rates: list[float] = field(default_factory=list)
    replies: list[Counter[Reply]] = field(default_factory=list)

    def throttled_share(self, start_s: int, end_s: int) -> float:
        """Of all attempts, those that say something against the pace."""
        bad = self.count(start_s, end_s, Reply.THROTTLED, Reply.CROWDED, Reply.BLOCKED)
        return bad / max(self.count(start_s, end_s, *Reply), 1)

    def count(self, start_s: int, end_s: int, *kinds: Reply) -> int:
        return sum(found[kind] for found in self.replies[start_s:end_s] if found for kind in kinds)


class World:
    """``messages``: how many there are in all; None: there is always one more."""

    def __init__(self, sender: Sender, provider: Provider, *, messages: int | None = None) -> None:
        self._sender, self._provider = sender, provider
        self._due: list[tuple[float, int, int]] = []  # when, who, attempts made
        self._messages = messages
        self._fresh = 0
        self._open = 0
        self._credit = 0.0
        self._random = random.Random(7)
        self._unheard: deque[Tally] = deque([Tally()] * HEARD_S)

    def run(self, seconds: int) -> Run:
        done = Run()
        for second in range(seconds):
            now = float(second)
            pace = self._sender.pace(now)
            replies: Counter[Reply] = Counter()
            opened = failed = 0
            if now >= pace.not_before and self._waiting(now):
                opened, failed = self._connect(pace.connections or 1, now, replies)
                self._send(pace.rate_per_s, now, replies)
            else:
                self._open = 0
            done.rates.append(pace.rate_per_s or 0.0)
            done.replies.append(replies)
            self._unheard.append(self._tally(replies, opened, failed, self._waiting(now)))
            self._sender.hear(self._unheard.popleft(), now + 1)
        return done

    def _waiting(self, now: float) -> bool:
        more = self._messages is None or self._fresh < self._messages
        return more or bool(self._due and self._due[0][0] <= now)

    def _tally(self, replies: Counter[Reply], opened: int, failed: int, busy: bool) -> Tally:
        return Tally(
            delivered=replies[Reply.DELIVERED],
            throttled=replies[Reply.THROTTLED] + replies[Reply.CROWDED],
            blocked=replies[Reply.BLOCKED],
            greylisted=replies[Reply.GREYLISTED],
            deferred=replies[Reply.DEFERRED],
            connected=opened,
            connect_failed=failed,
            hosts=1,
            hosts_failed=1 if failed and not self._open else 0,
            busy=busy,
            in_use=self._open + failed,
            crowded=replies[Reply.CROWDED],
        )

    def _connect(self, wanted: int, now: float, replies: Counter[Reply]) -> tuple[int, int]:
        """As many as are wanted; each that is turned away defers the message it was for."""
        limit = self._provider.connections
        allowed = wanted if limit is None else min(wanted, limit)
        opened = max(allowed - self._open, 0)
        self._open = allowed
        failed = 0
        while failed < wanted - allowed and self._waiting(now):
            failed += 1
            replies[self._provider.too_many] += 1
            self._defer(*self._next(now), now)
        return opened, failed

    def _send(self, rate_per_s: float | None, now: float, replies: Counter[Reply]) -> None:
        room = int(self._open / self._provider.latency_s)
        if rate_per_s is not None:
            self._credit = min(self._credit + rate_per_s, rate_per_s + 1.0)
            room = min(room, int(self._credit))
        for number in range(room):
            at = now + number / room
            if not self._waiting(at):
                break
            self._credit -= 1
            recipient, attempts = self._next(at)
            reply = self._provider.answer(recipient, at)
            replies[reply] += 1
            if reply is not Reply.DELIVERED:
                self._defer(recipient, attempts, at)

    def _next(self, now: float) -> tuple[int, int]:
        if self._due and self._due[0][0] <= now:
            _, recipient, attempts = heapq.heappop(self._due)
            return recipient, attempts
        self._fresh += 1
        return self._fresh, 0

    def _defer(self, recipient: int, attempts: int, now: float) -> None:
        wait = delay(attempts + 1, 1200.0, 2.0, 14400.0, 0.2, self._random.random())
        heapq.heappush(self._due, (now + wait, recipient, attempts + 1))
