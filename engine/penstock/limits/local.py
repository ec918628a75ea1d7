"""The limiter of a single process: buckets and seat counts in memory, every answer at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from penstock.limits.debts import Debts
from penstock.limits.ports import ONE, Claim, Grant, Seat
from penstock.limits.table import BucketTable, count_down
from penstock.limits.use import Use, UseKey, bounded, rate_use, seat_use
from penstock.policy.rate import Rate
from penstock.schedule.rate import Gcra, bucket_for


@dataclass(frozen=True, slots=True)
class LocalConfig:
    keys_max: int = 131_072
    full_retry_s: float = 0.25  # no room for a new key: ask again after
    seat_retry_s: float = 0.5  # no seat free: ask again after


_CONFIG = LocalConfig()


def _full(rate: Rate, now: float) -> Gcra:
    return bucket_for(rate)


class LocalLimiter:
    """A :class:`~penstock.limits.ports.Limiter`. ``clock`` gives seconds; ``make`` the first bucket
    of a key (full, unless given)."""

    def __init__(
        self,
        clock: Callable[[], float],
        config: LocalConfig = _CONFIG,
        make: Callable[[Rate, float], Gcra] = _full,
    ) -> None:
        self._clock = clock
        self._config = config
        self._table = BucketTable(config.keys_max, make)
        self._get = self._table.get
        self._seats: dict[str, int] = {}
        self._seat_limits: dict[str, int] = {}  # as last told, of the seats that are used
        self._debts = Debts()
        self._uses = 0
        self._granted = 0
        self._denied = 0
        self._seats_denied = 0

    def try_messages(self, claims: Sequence[Claim], want: int) -> Grant:
        now = self._clock()
        if len(claims) == 1:
            key, rate = claims[0]
            bucket = self._get(key, rate, now)
            if bucket is None:
                return self._no_room(claims, now)
            n, retry_at = bucket.take(want, now)
            binds = key
        else:
            buckets = self._table.get_all(claims, now)
            if buckets is None:
                return self._no_room(claims, now)
            n, retry_at, binds = want, 0.0, ""
            for claim, bucket in zip(claims, buckets, strict=True):
                free, ready_at = bucket.peek(now)
                if free < n:
                    n = free
                if ready_at > retry_at:
                    retry_at, binds = ready_at, claim[0]
            if n:
                for bucket in buckets:
                    bucket.charge(n)
        if n:
            self._granted += n
            return ONE if n == 1 else Grant(n, 0.0)
        self._denied += 1
        return Grant(0, retry_at, binds)

    async def messages(self, claims: Sequence[Claim], want: int) -> Grant:
        return self.try_messages(claims, want)

    def give_back(self, claims: Sequence[Claim], n: int) -> None:
        for key, _ in claims:
            bucket = self._table.find(key)
            if bucket is not None:
                bucket.give_back(n)

    def spend(self, claims: Sequence[Claim], n: int) -> None:
        now = self._clock()
        for key, rate in claims:
            if rate.counts_bytes and (bucket := self._get(key, rate, now)) is not None:
                self._debts.spend(key, bucket, n, now)

    def try_connect(self, seats: Sequence[Seat]) -> Grant:
        used = self._seats
        for key, limit in seats:
            if used.get(key, 0) >= limit:
                if key in used:
                    self._seat_limits[key] = limit
                self._seats_denied += 1
                return Grant(0, self._clock() + self._config.seat_retry_s, key)
        for key, limit in seats:
            used[key] = used.get(key, 0) + 1
            self._seat_limits[key] = limit
        return ONE

    async def connect(self, seats: Sequence[Seat]) -> Grant:
        return self.try_connect(seats)

    def disconnect(self, seats: Sequence[Seat]) -> None:
        for key, _ in seats:
            count_down(self._seats, key)
            if key not in self._seats:
                self._seat_limits.pop(key, None)

    async def uses(self, keys: Sequence[UseKey]) -> dict[UseKey, Use]:
        return self.uses_now(keys)

    def uses_now(self, keys: Sequence[UseKey]) -> dict[UseKey, Use]:
        now, uses = self._clock(), {}
        self._uses += 1
        for each in bounded(keys):
            key, kind = each
            if kind == "seat":
                if key in self._seats:
                    limit = self._seat_limits.get(key, 0)
                    uses[each] = seat_use(self._seats[key], limit, self._config.seat_retry_s)
            elif (bucket := self._table.find(key)) is not None:
                uses[each] = rate_use(bucket, now)
        return uses

    def stats(self) -> dict[str, float]:
        return {
            "keys": len(self._table),
            "keys_max": self._table.keys_max,
            "keys_refused": self._table.refused,
            "granted": self._granted,
            "denied": self._denied,
            "seats": sum(self._seats.values()),
            "seats_denied": self._seats_denied,
            "bytes_spent": self._debts.spent,
            "keys_in_debt": self._debts.count(self._clock()),
            "uses_asked": self._uses,
        }

    def _no_room(self, claims: Sequence[Claim], now: float) -> Grant:
        self._denied += 1
        stranger = next((key for key, _ in claims if self._table.find(key) is None), "")
        return Grant(0, now + self._config.full_retry_s, stranger)
