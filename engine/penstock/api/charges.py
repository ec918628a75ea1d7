"""What a key may do in a second: charged here, counted in one place for all workers.

The limits of a key hold for the daemon as a whole, since a client with one connection is served by
one worker and a share of its own would be a fraction of what it was promised. They go through the
limiter that the relay uses too: low rates are asked for exactly, high ones are leased, so that most
requests cost no question. A key without limits costs nothing.

Messages are charged after the request is known, and it may hold a thousand of them: it goes on
while the key owes nothing, what it brought is charged, and whoever comes next waits for that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from penstock.api.problem import too_often
from penstock.limits.ports import Claim, Limiter
from penstock.policy.rate import ByteRate, Rate


class KeyLimits(NamedTuple):
    """``None``: no limit."""

    requests: Rate | None = None
    messages: Rate | None = None


NO_LIMITS = KeyLimits()


class Charges:
    """``now`` is the limiter's clock; without a ``limiter`` nothing is limited."""

    def __init__(self, limiter: Limiter | None, now: Callable[[], float]) -> None:
        self._limiter, self._now = limiter, now

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
        grant = limiter.try_messages((claim,), 1)
        if grant is None:
            grant = await limiter.messages((claim,), 1)
        if not grant.granted:
            raise too_often(grant.retry_at - self._now(), f"{what} are limited to {claim.rate}")
