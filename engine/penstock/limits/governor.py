"""The one place that knows how much of every shared limit is left: it grants, workers ask.

Decisions are synchronous, and parameters and results are plain lists and numbers, so that any
transport can carry them. Times in results are waits in seconds, not points in time: worker and
governor need not share a clock. Whoever is refused is told when to come back, and what it will need
then is promised to it (:mod:`penstock.schedule.promise`), so that workers get scarce tokens in
turn; for seats, whose return nobody can foretell, they stand in a line.

Methods, as ``handle(worker, method, params)``:

=============  =======================================================  ==========================
method         params                                                   result
=============  =======================================================  ==========================
messages       ``[[[key, count, period_s, burst, lease], ...], want]``  ``[granted, wait_s, each]``
give_back      ``[[key, n], ...]``                                      ``None``
spend          ``[[key, n], ...]``: bytes                               ``None``
connect        ``[[key, limit], ...]``                                  ``[granted, wait_s, each]``
disconnect     ``[[key, n], ...]``                                      how many were freed
restate        ``[[key, n], ...]``: all seats that the worker holds     ``None``
uses           ``[[key, "seat" or "rate"], ...]``                       ``[use or None, ...]``
batch          ``[[method, params], ...]``                              ``[epoch, [result, ...]]``
=============  =======================================================  ==========================

``lease`` is 0 for a claim that is charged with what is granted, else how many tokens to lease. A
sixth item, 1, follows it in a claim that counts bytes. A use is that of :mod:`penstock.limits.use`.
``each`` has one item a claim or seat: refused, the seconds to wait for this one, 0.0 where it was
not the one that refused; granted, ``[tokens, offset_s, step_s]`` for a lease, nothing for others.
``epoch`` is another number whenever the governor has forgotten the worker's seats.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from penstock.limits.debts import Debts
from penstock.limits.lease import lease_tokens, shared_bucket
from penstock.limits.lines import Lines
from penstock.limits.promises import Promises
from penstock.limits.seats import SeatBook
from penstock.limits.table import BucketTable
from penstock.limits.use import KEYS_MAX, Use, rate_use, seat_use
from penstock.policy.rate import ByteRate, Rate
from penstock.schedule.promise import Promise, earliest, room
from penstock.schedule.rate import Gcra, slack_s

_RATES_MAX = 4096
_ROUNDS_MAX = 4  # to find a time that suits all claims; then take what there is
_ROUNDING_S = 1e-6  # now + (at - now) may be a little before at


@dataclass(frozen=True, slots=True)
class GovernorConfig:
    """``grace_s``: how long a turn is kept for a worker that is late for it, at least; up to
    ``keep_max_s`` it may still have it before those whose turn comes later. ``linger_s``: how long
    the seats of a worker that died count as taken, for the hosts have not all seen it yet."""

    keys_max: int = 262_144
    workers_max: int = 1024
    full_retry_s: float = 0.25
    seat_retry_s: float = 0.5
    linger_s: float = 0.5
    grace_s: float = 0.05
    keep_max_s: float = 30.0


_CONFIG = GovernorConfig()


class _Need(NamedTuple):
    """What one claim of a request asks of its bucket, and how much of that is free now."""

    key: str
    bucket: Gcra
    turn: int
    leased: bool
    others: list[Promise]
    room: int


class Governor:
    def __init__(self, clock: Callable[[], float], config: GovernorConfig = _CONFIG) -> None:
        self._clock = clock
        self._config = config
        self._table = BucketTable(config.keys_max, lambda rate, now: shared_bucket(rate))
        self._rates: dict[tuple[int, float, int, bool], Rate] = {}
        self._promises = Promises()
        self._seat_lines = Lines()
        self._seats = SeatBook()
        self._debts = Debts()
        self._epochs: dict[int, int] = {}
        self._epoch = 0
        self._counts = {"requests": 0, "granted": 0, "leased": 0, "denied": 0, "seats_denied": 0}
        self._counts["uses_asked"] = 0
        self._methods: dict[str, Callable[[int, Any], Any]] = {
            "messages": self._messages,
            "give_back": self._give_back,
            "connect": self._connect,
            "disconnect": self._disconnect,
            "restate": self._restate,
            "spend": self._spend,
            "uses": self._uses,
            "batch": self._batch,
        }

    def handle(self, worker: int, method: str, params: Any) -> Any:
        """``ValueError`` for a method that there is not, or for more workers than there may be."""
        answer = self._methods.get(method)
        if answer is None:
            raise ValueError(f"the governor has no method {method!r}")
        if worker not in self._epochs:
            if len(self._epochs) >= self._config.workers_max:
                raise ValueError(f"more than {self._config.workers_max} workers")
            self._epoch += 1
            # Begins where the clock stands: a restarted governor's epochs differ from the last's.
            self._epochs[worker] = self._epoch + (int(self._clock() * 1000) << 16)
        self._counts["requests"] += 1
        self._seats.lapse(self._clock())
        return answer(worker, params)

    def worker_gone(self, worker: int) -> None:
        """Its place in every line is free at once, its seats after ``linger_s``; leased tokens
        lapse."""
        self._epochs.pop(worker, None)
        self._seats.gone(worker, self._clock() + self._config.linger_s)
        self._promises.gone(worker)
        self._seat_lines.gone(worker)

    def stats(self) -> dict[str, float]:
        self._seats.lapse(self._clock())
        return {
            "keys": len(self._table),
            "keys_max": self._table.keys_max,
            "keys_refused": self._table.refused,
            "workers": len(self._epochs),
            "seats": len(self._seats),
            "waiting": len(self._promises) + len(self._seat_lines),
            "bytes_spent": self._debts.spent,
            "keys_in_debt": self._debts.count(self._clock()),
            **self._counts,
        }

    def _batch(self, worker: int, params: Any) -> list[Any]:
        results = [self.handle(worker, method, each) for method, each in params]
        return [self._epochs[worker], results]

    def _messages(self, worker: int, params: Any) -> list[Any]:
        now = self._clock()
        wire, want = params
        buckets = self._table.get_all([(c[0], self._rate(c)) for c in wire], now)
        if buckets is None:
            self._counts["denied"] += 1
            wait_s = self._config.full_retry_s
            return [0, wait_s, [0.0 if self._table.find(c[0]) else wait_s for c in wire]]
        needs = [self._need(worker, *each, want, now) for each in zip(wire, buckets, strict=True)]
        if any(need.room < 1 for need in needs):
            self._counts["denied"] += 1
            return self._refuse(worker, needs, now)
        granted = min([want, *(need.room for need in needs if not need.leased)])
        self._counts["granted"] += granted
        return [granted, 0.0, [self._charge(worker, need, granted, now) for need in needs]]

    def _need(self, worker: int, claim: list[Any], bucket: Gcra, want: int, now: float) -> _Need:
        key, lease = claim[0], claim[4]
        rate = bucket.rate
        # What a turn takes, for a worker that has to wait: one token, or one worker's part of a
        # lease. A lease is never larger, so that all workers can hold one at the same time.
        turn = min(lease, max(1, lease_tokens(rate) // len(self._epochs))) if lease else 1
        others: list[Promise] = []
        if self._promises.waiting(key):
            grace_s = max(self._config.grace_s, slack_s(rate))
            keep_s = max(grace_s, min(bucket.step_s, self._config.keep_max_s))
            others = self._promises.before(key, worker, now, grace_s, keep_s)
        free = room(bucket, others, turn if lease else want, now)
        return _Need(key, bucket, turn, lease > 0, others, free)

    def _refuse(self, worker: int, needs: list[_Need], now: float) -> list[Any]:
        """What is waited for longest waits for all; a key that frees before that is open to whoever
        needs it for something else."""
        waits = [
            0.0
            if need.room
            else earliest(need.bucket, need.others, need.turn, now, now) - now + _ROUNDING_S
            for need in needs
        ]
        wait_s = self._promise(worker, needs, now) - now + _ROUNDING_S
        waits[waits.index(max(waits))] = wait_s
        return [0, wait_s, waits]

    def _promise(self, worker: int, needs: list[_Need], now: float) -> float:
        """Promises all of ``needs`` for the first time at which all can be had; returns that."""
        due, before = now, -1.0
        for _ in range(_ROUNDS_MAX):
            if due == before:
                break
            before = due
            for need in needs:
                due = earliest(need.bucket, need.others, need.turn, due, now)
        for need in needs:
            # A key that did not refuse keeps its turn: other messages of the worker may use it.
            promise = Promise(due, need.turn, worker)
            self._promises.put(need.key, promise, now, later=need.room < 1)
        return due

    def _charge(self, worker: int, need: _Need, granted: int, now: float) -> Any:
        self._promises.forget(need.key, worker)
        bucket = need.bucket
        if not need.leased:
            bucket.take(granted, now)
            return None
        offset_s = bucket.next_slot(now) - now
        tokens, _ = bucket.take(need.room, now)
        self._counts["leased"] += tokens
        return [tokens, offset_s, bucket.step_s]

    def _give_back(self, worker: int, params: Any) -> None:
        for key, n in params:
            bucket = self._table.find(key)
            if bucket is not None:
                bucket.give_back(n)

    def _spend(self, worker: int, params: Any) -> None:
        now = self._clock()
        for key, n in params:
            bucket = self._table.find(key)
            if bucket is not None:
                self._debts.spend(key, bucket, n, now)

    def _connect(self, worker: int, params: Any) -> list[Any]:
        now = self._clock()
        waits: list[float] = []
        for key, limit in params:
            self._seats.told(key, limit)
            has_enough = functools.partial(self._has_share, key, limit)
            ahead = self._seat_lines.ahead(key, worker, now, has_enough)
            if limit - self._seats.used(key) - ahead < 1:
                # The place is kept over one more question, so that a busy worker does not lose it.
                until = now + 2 * self._config.seat_retry_s
                self._seat_lines.join(key, worker, until, now)
                waits.append(self._config.seat_retry_s)
            else:
                self._seat_lines.leave(key, worker)
                waits.append(0.0)
        if any(waits):
            self._counts["seats_denied"] += 1
            return [0, max(waits), waits]
        for key, limit in params:
            self._seats.take(worker, key)
            self._seats.told(key, limit)
        return [1, 0.0, waits]

    def _has_share(self, key: str, limit: int, worker: int) -> bool:
        return self._seats.held(worker, key) >= max(1, limit // len(self._epochs))

    def _disconnect(self, worker: int, params: Any) -> int:
        return sum(self._seats.leave(worker, key, n) for key, n in params)

    def _restate(self, worker: int, params: Any) -> None:
        self._seats.forget(worker)
        for key, n in params:
            self._seats.take(worker, key, n)

    def _uses(self, worker: int, params: Any) -> list[Use | None]:
        self._counts["uses_asked"] += 1
        now = self._clock()
        return [self._use(key, kind, now) for key, kind in params[:KEYS_MAX]]

    def _use(self, key: str, kind: str, now: float) -> Use | None:
        if kind == "seat":
            used, waiting = self._seats.used(key), self._seat_lines.waiting(key, now)
            if not used and not waiting:
                return None
            return seat_use(used, self._seats.limit(key), self._config.seat_retry_s, waiting)
        bucket = self._table.find(key)
        return None if bucket is None else rate_use(bucket, now, self._promises.waiting(key))

    def _rate(self, claim: list[Any]) -> Rate:
        """One object a rate: buckets compare theirs by identity first."""
        count, period_s, burst = claim[1:4]
        counts_bytes = len(claim) > 5 and bool(claim[5])
        known = (count, period_s, burst, counts_bytes)
        rate = self._rates.get(known)
        if rate is None:
            if len(self._rates) >= _RATES_MAX:
                self._rates.clear()
            kind = ByteRate if counts_bytes else Rate
            rate = self._rates[known] = kind(count, float(period_s), burst)
        return rate
