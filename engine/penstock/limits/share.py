"""A worker's fair share of every limit, for the time when the governor cannot be asked.

Each worker keeps to its part by itself, so that all of them together keep the limit: ``count //
workers`` a period, or one token in as many periods as make the shares add up. Buckets begin empty,
since the tokens of this moment may just have been granted, and workers begin staggered by their
index, since all of them lose the governor at the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from penstock.limits.local import LocalConfig, LocalLimiter
from penstock.limits.ports import Claim, Grant, Seat
from penstock.limits.use import Use, UseKey
from penstock.policy.rate import Rate
from penstock.schedule.rate import Gcra, bucket_for

_RATES_MAX = 4096


def rate_share(rate: Rate, workers: int) -> Rate:
    """What one of ``workers`` may do so that all together stay within ``rate``."""
    burst = max(1, rate.burst // workers)
    if rate.count >= workers:
        return type(rate)(rate.count // workers, rate.period_s, burst)
    return type(rate)(1, rate.period_s * workers / rate.count, burst)


def seat_share(limit: int, workers: int) -> int:
    return max(1, limit // workers) if limit > 0 else 0


class FairShare:
    """Answers like a limiter, from what worker ``index`` of ``workers`` may do alone. Seats are
    counted by the caller, who holds those granted before as well."""

    def __init__(
        self, clock: Callable[[], float], index: int, workers: int, config: LocalConfig
    ) -> None:
        self._workers = workers
        self._phase = (index % workers + 1) / workers
        self._rates: dict[Rate, Rate] = {}
        self._local = LocalLimiter(clock, config, self._empty)

    def messages(self, claims: Sequence[Claim], want: int) -> Grant:
        return self._local.try_messages(self._shares(claims), want)

    def give_back(self, claims: Sequence[Claim], n: int) -> None:
        self._local.give_back(claims, n)

    def spend(self, claims: Sequence[Claim], n: int) -> None:
        self._local.spend(self._shares(claims), n)

    def uses(self, keys: Sequence[UseKey]) -> dict[UseKey, Use]:
        """Of the rates among ``keys``."""
        return self._local.uses_now(keys)

    def full_seat(self, seats: Sequence[Seat], held: Callable[[str], int]) -> str | None:
        """The first of ``seats`` whose share is used up, ``held`` being those held."""
        for key, limit in seats:
            if held(key) >= seat_share(limit, self._workers):
                return key
        return None

    def _empty(self, rate: Rate, now: float) -> Gcra:
        bucket = bucket_for(rate)
        bucket.drain(now, bucket.step_s * self._phase)
        return bucket

    def _shares(self, claims: Sequence[Claim]) -> list[Claim]:
        shares = []
        for key, rate in claims:
            share = self._rates.get(rate)
            if share is None:
                if len(self._rates) >= _RATES_MAX:
                    self._rates.clear()
                share = self._rates[rate] = rate_share(rate, self._workers)
            shares.append(Claim(key, share))
        return shares
