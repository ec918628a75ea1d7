"""What a key may do in a second: charged here, counted in one place for all workers.

The limits of a key hold for the daemon as a whole, since a client with one connection is served by
one worker and a share of its own would be a fraction of what it was promised. They go through the
limiter that the relay uses too: low rates are asked for exactly, high ones are leased, so that most
requests cost no question. A key without limits costs nothing.

Messages are charged after the request is known, and it may hold a thousand of them: it goes on
while the key owes nothing, what it brought is charged, and whoever comes next waits for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from penstock.api.problem import too_often
from penstock.limits.ports import Claim, Limiter
from penstock.policy.rate import ByteRate, Rate


class KeyLimits(NamedTuple):
    """``None``: no limit."""

    requests: Rate | None = None
    messages: Rate | None = None


NO_LIMITS = KeyLimits()
PATIENCE_S = 0.25


class Charges:
    """``now`` is the limiter's clock; without a ``limiter`` nothing is limited. Whoever is over the
    limit by less than ``PATIENCE_S`` waits in a line, and is not sent away."""

    def __init__(
        self,
        limiter: Limiter | None,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._limiter, self._now, self._sleep = limiter, now, sleep
        self._lines: dict[str, _Line] = {}

    async def request(self, key: str, limits: KeyLimits) -> None:
        """One request of ``key``; raises a 429 where it is too many."""
        if limits.requests is not None:
            await self._ask(Claim(f"api/{key}/requests", limits.requests), "The key's requests")

    async def messages(self, key: str, limits: KeyLimits, count: int) -> None:
        """``count`` messages of ``key``, recipients each; raises a 429 while it owes for others."""
        rate = limits.messages
        if rate is None or self._limiter is None:
            return
        claim = Claim(f"api/{key}/messages", ByteRate(rate.count, rate.period_s, rate.burst))
        await self._ask(claim, "The key's messages")
        self._limiter.spend((claim,), count)

    async def _ask(self, claim: Claim, what: str) -> None:
        limiter = self._limiter
        if limiter is None:
            return
        line = self._lines.get(claim.key)
        if line is None:
            grant = limiter.try_messages((claim,), 1)
            if grant is not None and grant.granted:
                return
            line = self._lines[claim.key] = _Line()
        per_s = claim.rate.per_s
        if line.waiting >= max(1.0, per_s * PATIENCE_S):
            raise too_often(line.waiting / per_s, _limited(claim, what))
        line.waiting += 1
        try:
            entered = self._now()
            async with line.turn:
                await self._wait(limiter, claim, what, entered + PATIENCE_S)
        finally:
            line.waiting -= 1
            if not line.waiting:
                self._lines.pop(claim.key, None)

    async def _wait(self, limiter: Limiter, claim: Claim, what: str, until: float) -> None:
        """At the head of the line; the limiter keeps a turn for whoever asks again in time."""
        while True:
            grant = await limiter.messages((claim,), 1)
            if grant.granted:
                return
            now = self._now()
            if grant.retry_at > until:
                raise too_often(grant.retry_at - now, _limited(claim, what))
            await self._sleep(max(grant.retry_at - now, 0.001))


class _Line:
    """Those who wait for a key's limit, one after the other."""

    __slots__ = ("turn", "waiting")

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.waiting = 0


def _limited(claim: Claim, what: str) -> str:
    return f"{what} are limited to {claim.rate}"
