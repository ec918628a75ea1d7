"""The limiter of one worker among several: asks the governor, and spends what it leased.

Low rates are asked for exactly. High rates are leased (:mod:`penstock.limits.lease`), so that most
messages cost no question. A refusal is remembered until its time, so that a blocked key is not
asked for again by everybody who waits for it. While the governor cannot be reached the worker keeps
to its fair share (:mod:`penstock.limits.share`), says so in :meth:`GovernorLimiter.stats`, and
returns by itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.limits.lease import Lease, lease_tokens
from penstock.limits.link import Link, LinkConfig, Unreachable
from penstock.limits.local import LocalConfig
from penstock.limits.ports import ONE, Claim, Grant, Seat
from penstock.limits.share import FairShare, seat_share
from penstock.limits.table import count_down
from penstock.limits.use import Use, UseKey, bounded, from_wire, seat_use
from penstock.policy.rate import Rate


@dataclass(frozen=True, slots=True)
class RemoteConfig:
    """``workers``: how many share the limits; ``index``: which of them this is, from 0."""

    workers: int = 1
    index: int = 0
    keys_max: int = 65_536
    link: LinkConfig = field(default_factory=LinkConfig)
    share: LocalConfig = field(default_factory=LocalConfig)


class _Known:
    """What this worker knows of one key: until when it is blocked, and the tokens that it holds."""

    __slots__ = ("blocked_until", "key", "lease", "rate")

    def __init__(self, key: str, rate: Rate) -> None:
        self.key = key
        self.rate = rate
        self.blocked_until = 0.0
        self.lease = Lease(rate) if lease_tokens(rate) else None


class GovernorLimiter:
    """A :class:`~penstock.limits.ports.Limiter`. ``call(method, params)`` carries one request to
    :meth:`penstock.limits.governor.Governor.handle` and may raise ``ConnectionError``."""

    def __init__(
        self,
        call: Callable[[str, Any], Awaitable[Any]],
        clock: Callable[[], float],
        config: RemoteConfig,
    ) -> None:
        self._clock = clock
        self._config = config
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._held: dict[str, int] = {}
        self._seat_limits: dict[str, int] = {}  # as last told, of the seats that are held
        self._uses = 0
        self._bytes_spent = 0
        self._seat_waits: dict[str, float] = {}
        self._share: FairShare | None = None  # in force: the governor is unreachable
        self._alone: FairShare  # the last one; set before anything is Unreachable
        self._counts = {"granted": 0, "denied": 0, "seats_denied": 0, "fallbacks": 0}
        self._link = Link(call, clock, config.link, self._state, self._lost, self._found)

    def try_messages(self, claims: Sequence[Claim], want: int) -> Grant | None:
        share = self._share
        if share is not None and not self._link.open():
            return self._count(share.messages(claims, want))
        now = self._clock()
        n, until, binds, ask = want, 0.0, "", False
        leases: list[Lease] = []
        for key, rate in claims:
            known = self._known.get(key)
            if known is None or (known.rate is not rate and known.rate != rate):
                ask = True
            elif known.blocked_until > now:
                if known.blocked_until > until:
                    until, binds = known.blocked_until, key
            elif known.lease is None:
                ask = True
            else:
                ready = known.lease.ready(now)
                if ready:
                    n = min(n, ready)
                    leases.append(known.lease)
                elif (next_at := known.lease.next_at()) is None:
                    ask = True
                elif next_at > until:
                    until, binds = next_at, key
        if until:
            return self._count(Grant(0, until, binds))
        if ask:
            return None
        for lease in leases:
            lease.spend(n, now)
        return self._count(ONE if n == 1 else Grant(n, 0.0))

    async def messages(self, claims: Sequence[Claim], want: int) -> Grant:
        grant = self.try_messages(claims, want)
        if grant is not None:
            return grant
        now = self._clock()
        asked: list[_Known] = []
        wire: list[list[Any]] = []
        for key, rate in claims:
            known = self._know(key, rate)
            lease = 0
            if known.lease is not None:
                if known.lease.ready(now):
                    continue
                lease = known.lease.ask(want)
            asked.append(known)
            claim = [key, rate.count, rate.period_s, rate.burst, lease]
            wire.append([*claim, 1] if rate.counts_bytes else claim)
        try:
            return await self._link.ask(
                "messages",
                [wire, want],
                lambda result: self._count(self._settle(claims, asked, result)),
                lambda grant: self.give_back(claims, grant.granted),
            )
        except Unreachable:
            return self._count(self._alone.messages(claims, want))

    def give_back(self, claims: Sequence[Claim], n: int) -> None:
        if n <= 0:
            return
        if self._share is not None:
            self._share.give_back(claims, n)
            return
        now = self._clock()
        for key, rate in claims:
            known = self._known.get(key)
            if lease_tokens(rate) and known is not None and known.lease is not None:
                known.lease.restore(n, now)
            elif not lease_tokens(rate):
                self._link.note("give_back", key, n)

    def spend(self, claims: Sequence[Claim], n: int) -> None:
        for key, rate in claims:
            if rate.counts_bytes and n > 0:
                self._bytes_spent += n
                self._link.note("spend", key, n)
        if self._share is not None:
            self._share.spend(claims, n)

    def try_connect(self, seats: Sequence[Seat]) -> Grant | None:
        now = self._clock()
        if self._share is not None and not self._link.open():
            return self._connect_alone(seats, self._share, now)
        until, binds = 0.0, ""
        for key, _ in seats:
            wait = self._seat_waits.get(key, 0.0)
            if wait > now:
                until, binds = max(until, wait), binds or key
        if not binds:
            return None
        self._counts["seats_denied"] += 1
        return Grant(0, until, binds)

    async def connect(self, seats: Sequence[Seat]) -> Grant:
        grant = self.try_connect(seats)
        if grant is not None:
            return grant
        try:
            return await self._link.ask(
                "connect",
                [[key, limit] for key, limit in seats],
                lambda result: self._settle_seats(seats, result),
                lambda grant: self.disconnect(seats if grant.granted else ()),
            )
        except Unreachable:
            return self._connect_alone(seats, self._alone, self._clock())

    def disconnect(self, seats: Sequence[Seat]) -> None:
        for key, _ in seats:
            self._seat_waits.pop(key, None)
            if count_down(self._held, key):
                self._link.note("disconnect", key, 1)
            if key not in self._held:
                self._seat_limits.pop(key, None)

    async def uses(self, keys: Sequence[UseKey]) -> dict[UseKey, Use]:
        self._uses += 1
        keys = bounded(keys)
        if self._share is not None and not self._link.open():
            return self._uses_alone(keys, self._share)
        try:
            return await self._link.ask(
                "uses",
                [list(key) for key in keys],
                lambda result: from_wire(keys, result),
                lambda uses: None,
            )
        except Unreachable:
            return self._uses_alone(keys, self._alone)

    def reconnected(self) -> None:
        """The transport has a new connection: do not wait for the next question to return."""
        self._link.retry()

    async def close(self) -> None:
        await self._link.close()

    def stats(self) -> dict[str, float]:
        return {
            "keys": len(self._known),
            "keys_max": self._config.keys_max,
            "seats": sum(self._held.values()),
            "fallback": int(self._share is not None),
            "questions_waiting": self._link.waiting,
            "questions": self._link.carried,
            "batches": self._link.batches,
            "failures": self._link.failures,
            "bytes_spent": self._bytes_spent,
            "uses_asked": self._uses,
            **self._counts,
        }

    def _know(self, key: str, rate: Rate) -> _Known:
        known = self._known.get(key)
        if known is None or known.rate != rate:
            if known is None and len(self._known) >= self._config.keys_max:
                self._known.popitem(last=False)  # a lease that is forgotten has lapsed
            known = self._known[key] = _Known(key, rate)
        return known

    def _settle(self, claims: Sequence[Claim], asked: list[_Known], result: Any) -> Grant:
        granted, wait_s, each = result
        now = self._clock()
        if not granted:
            for known, wait in zip(asked, each, strict=True):
                known.blocked_until = now + wait
            longest = max(range(len(each)), key=each.__getitem__)
            return Grant(0, now + wait_s, asked[longest].key)
        for known, leased in zip(asked, each, strict=True):
            if known.lease is not None and leased is not None:
                tokens, offset_s, step_s = leased
                known.lease.fill(tokens, offset_s, step_s, now)
        n, until, binds = granted, now, ""
        leases: list[Lease] = []
        for key, rate in claims:
            lease = self._know(key, rate).lease
            if lease is None:
                continue
            leases.append(lease)
            n = min(n, ready := lease.ready(now))
            if not ready and (next_at := lease.next_at() or now) >= until:
                until, binds = next_at, key
        if n < granted:
            self.give_back([claim for claim in claims if not lease_tokens(claim.rate)], granted - n)
        if not n:
            return Grant(0, until, binds)
        for lease in leases:
            lease.spend(n, now)
        return ONE if n == 1 else Grant(n, 0.0)

    def _count(self, grant: Grant) -> Grant:
        if grant.granted:
            self._counts["granted"] += grant.granted
        else:
            self._counts["denied"] += 1
        return grant

    def _settle_seats(self, seats: Sequence[Seat], result: Any) -> Grant:
        granted, wait_s, each = result
        if granted:
            return self._sit(seats)
        self._counts["seats_denied"] += 1
        until = self._clock() + wait_s
        if len(self._seat_waits) + len(seats) > self._config.keys_max:
            self._seat_waits.clear()
        full = [key for (key, _), wait in zip(seats, each, strict=True) if wait]
        self._seat_waits.update(dict.fromkeys(full, until))
        return Grant(0, until, full[0])

    def _connect_alone(self, seats: Sequence[Seat], share: FairShare, now: float) -> Grant:
        full = share.full_seat(seats, lambda key: self._held.get(key, 0))
        if full is None:
            return self._sit(seats)
        self._counts["seats_denied"] += 1
        return Grant(0, now + self._config.share.seat_retry_s, full)

    def _uses_alone(self, keys: Sequence[UseKey], share: FairShare) -> dict[UseKey, Use]:
        uses = share.uses([key for key in keys if key[1] == "rate"])
        for key in keys:
            if key[1] == "seat" and (held := self._held.get(key[0], 0)):
                uses[key] = seat_use(
                    held,
                    seat_share(self._seat_limits[key[0]], self._config.workers),
                    self._config.share.seat_retry_s,
                )
        return {key: use._replace(alone=True) for key, use in uses.items()}

    def _sit(self, seats: Sequence[Seat]) -> Grant:
        for key, limit in seats:
            self._held[key] = self._held.get(key, 0) + 1
            self._seat_limits[key] = limit
        return ONE

    def _state(self) -> list[list[Any]]:
        return [[key, n] for key, n in self._held.items()]

    def _lost(self) -> None:
        config = self._config
        self._alone = FairShare(self._clock, config.index, config.workers, config.share)
        self._share = self._alone
        self._counts["fallbacks"] += 1

    def _found(self) -> None:
        self._share = None
