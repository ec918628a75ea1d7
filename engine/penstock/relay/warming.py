"""What this worker may send by sources that are being warmed up: leases from the supervisor.

A message by such a source needs a token. Tokens are asked for when mail stands there and given back
when none comes, and are good for the day that they are of. Where the supervisor grants nothing,
lanes sleep until the next hour, and where more waits than may go today the pool's other sources
take the rest of it; once the day is used up the source is *out*: they take all, or it waits.
Transactional mail has tokens of its own, which are there as long as the day has any.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from penstock.mail.outcome import Kind, Outcome
from penstock.policy.caps import Cap
from penstock.policy.policies import Policies
from penstock.policy.tenants import TRANSACTIONAL
from penstock.relay.lane import Batch
from penstock.relay.site import Site
from penstock.relay.tasks import Tasks
from penstock.relay.warm_lease import Lease, Reader, key_of, result_of
from penstock.relay.warmed_sites import WarmedSites
from penstock.schedule.warmup_day import RESULT_NAMES, Results

Ask = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
WANTED_MAX = 1000
_UNUSED_S = 5.0
_RETRY_S = 1.0
_SLACK = 1.4
_LOOK_AGAIN_S = 0.1
_LATE_S = 0.05  # after the hour has come, so that the supervisor's clock has it too


class Warming:
    """One worker's. ``now`` is wall time. ``reader`` has by what replies are read;
    ``workers`` share what there is; ``leases_max``: pairs that are remembered."""

    def __init__(
        self,
        policies: Policies,
        now: Callable[[], float],
        sites: WarmedSites,
        reader: Reader,
        workers: int,
        leases_max: int,
    ) -> None:
        self._leases_max = leases_max
        self._now, self._sites, self._reader = now, sites, reader
        self._workers = workers
        self._loop = asyncio.get_running_loop()
        self.ask: Ask = _nobody
        self._leases: dict[tuple[str, str], Lease] = {}
        self._back: list[list[Any]] = []
        self._tasks, self._asking = Tasks(), False
        self._policies, self.active = policies, _any_warmed(policies)

    def __len__(self) -> int:
        return len(self._leases)

    def reload(self, policies: Policies) -> None:
        """Sources may be warmed from now on, or not any more."""
        was, self.active = self.active, _any_warmed(policies)
        self._policies = policies
        if was or self.active:
            self.refresh()

    def refresh(self) -> None:
        """What was granted stays; what was refused is asked for again."""
        for lease in self._leases.values():
            lease.out.clear()
            lease.warm, lease.asleep, lease.keeps = False, 0.0, 1.0
            self._sites.wake(lease.source, lease.provider)
        self._sites.changed(self)

    # what the relay asks

    def why_out(self, source: str, provider: str, *, first: bool) -> str:
        """Why mail of this kind cannot go by ``source`` now; ``""`` where it can, or may."""
        lease = self._leases.get((source, provider)) if self.active else None
        if lease is None or not self._is_out(lease, first):
            return ""
        at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(lease.shown_until[first]))
        return f"{lease.text}, next at {at}"

    def until(self, source: str, provider: str, *, first: bool) -> float:
        """When that may change, on the wall clock; 0 where it is not out."""
        lease = self._leases.get((source, provider)) if self.active else None
        return lease.shown_until[first] if lease is not None and self._is_out(lease, first) else 0.0

    def is_warm(self, source: str, provider: str) -> bool:
        """Whether nothing of a plan restricts the source there, as far as is known."""
        if not self.active or self._policies.warmup(source) is None:
            return True
        lease = self._leases.get((source, provider))
        return lease is not None and lease.warm

    def keeps(self, source: str, provider: str) -> float:
        """The part of its mail that may wait for it; the rest goes by others."""
        lease = self._leases.get((source, provider)) if self.active else None
        return 1.0 if lease is None or lease.warm else lease.keeps

    def caps(self, source: str, provider: str) -> list[Cap]:
        """For explanations: where it stands, and which plan says so."""
        plan = self._policies.warmup(source)
        lease = self._leases.get((source, provider))
        if plan is None or lease is None or lease.warm or not lease.text:
            return []
        scope = f"warm-up of {provider or 'other domains'} from {source}"
        text = lease.text.removeprefix("warm-up ")
        return [Cap("warm_up", scope, key_of(lease), text, plan.where("messages"), "provider")]

    def admit(self, site: Site, batch: Batch) -> Batch | None:
        """The part of ``batch`` that may go now; the rest is first in its line again. ``None``:
        nothing, and the site is left alone until there is an answer."""
        lease = self._lease(site)
        if lease is None or lease.warm:
            return batch
        first, n, now = self._is_first(batch.refs[0]), len(batch.refs), self._loop.time()
        if now >= lease.ends_at:
            lease.first = lease.rest = 0  # of a day that is over
        had = lease.take(n, first=first)
        lease.used_at = now
        if had == n:
            return batch
        for ref in reversed(batch.refs[had:]):
            self._sites.put_back(site, ref)
        if not first and lease.asleep > now:
            self._sites.sleep(site, batch.refs[-1], key_of(lease), lease.asleep)
            return self._part(batch, had)
        if self._is_out(lease, first):  # its lane is about to be looked at
            self._loop.call_later(_LOOK_AGAIN_S, self._sites.look_at_source, site)
        else:
            wanted = min(WANTED_MAX, n - had + site.waiting)
            lease.wants[first] = max(wanted, lease.wants.get(first, 0))
            lease.sites.add(site)
            self._ask_soon()
        site.out = True
        return self._part(batch, had)

    @staticmethod
    def _part(batch: Batch, n: int) -> Batch | None:
        return batch._replace(refs=batch.refs[:n], stored=batch.stored[:n]) if n else None

    def done(self, site: Site, ref: int, outcomes: Sequence[Outcome]) -> None:
        """What came of a transaction. What was never offered costs nothing."""
        lease = self._lease(site)
        if lease is None:
            return
        requeued = sum(outcome.kind is Kind.REQUEUED for outcome in outcomes)
        if requeued:
            self.unused(site, ref, requeued)
        for outcome in outcomes:
            if outcome.kind is not Kind.REQUEUED:
                lease.results += result_of(outcome, site.provider, self._reader)

    def unused(self, site: Site, ref: int, n: int) -> None:
        """``n`` that were admitted with ``ref`` did not go."""
        lease = self._lease(site)
        if lease is None or lease.warm or self._loop.time() >= lease.ends_at:
            return
        if self._is_first(ref):
            lease.first += n
        else:
            lease.rest += n

    def _lease(self, site: Site) -> Lease | None:
        if site.destination.route is not None or self._policies.warmup(site.source) is None:
            return None
        pair = site.source, site.provider
        lease = self._leases.get(pair)
        if lease is None:
            if len(self._leases) >= self._leases_max:
                self._leases.clear()  # tokens that are forgotten count as sent
            lease = self._leases[pair] = Lease(*pair)
        return lease

    def _is_first(self, ref: int) -> bool:
        return self._sites.lane_of(ref).class_ == TRANSACTIONAL

    def _is_out(self, lease: Lease, first: bool) -> bool:
        return lease.out.get(first, 0.0) > self._loop.time()

    # what the supervisor is asked

    def look(self) -> None:
        """Every second: tokens that nobody uses go back, results are told."""
        now = self._loop.time()
        for lease in self._leases.values():
            if (lease.first or lease.rest) and now - lease.used_at > _UNUSED_S:
                self._give_back(lease)
        if self._back or any(lease.results for lease in self._leases.values()):
            self._ask_soon()

    def _give_back(self, lease: Lease) -> None:
        pair = [lease.source, lease.provider]
        self._back.append([*pair, lease.day, lease.hour, lease.first, lease.rest])
        lease.first = lease.rest = 0

    def _ask_soon(self) -> None:
        if not self._asking:
            self._asking = True
            self._tasks.spawn(self._exchange())

    async def _exchange(self) -> None:
        """Ask until nothing is wanted any more; one question at a time."""
        try:
            while True:
                taken = [lease for lease in self._leases.values() if lease.wants]
                asked = self._question(taken)
                if not any(asked.values()):
                    return
                try:
                    answer = await self.ask(asked)
                except (ConnectionError, TimeoutError):
                    self._unanswered(taken)
                    return
                self._answered(taken, answer["rows"])
        finally:
            self._asking = False

    def _question(self, taken: Sequence[Lease]) -> dict[str, Any]:
        told = [lease for lease in self._leases.values() if lease.results]
        results = [
            [one.source, one.provider, [getattr(one.results, name) for name in RESULT_NAMES]]
            for one in told
        ]
        for one in told:
            one.results = Results()
        back, self._back = self._back, []
        for one in taken:
            one.asked, one.wants = one.wants, {}
        take = [
            [one.source, one.provider, one.asked.get(True, 0), one.asked.get(False, 0)]
            for one in taken
        ]
        return {"back": back, "results": results, "take": take}

    def _answered(self, taken: Sequence[Lease], rows: Sequence[dict[str, Any]]) -> None:
        now, wall, changed = self._loop.time(), self._now(), False
        for lease, row in zip(taken, rows, strict=True):
            if row["warm"]:
                changed |= not lease.warm
                lease.warm, lease.first, lease.rest = True, 0, 0
            elif row["day"] != lease.day or now >= lease.ends_at:
                lease.first = lease.rest = 0
            lease.first += row["first"]
            lease.rest += row["rest"]
            lease.day, lease.hour, lease.text = row["day"], row["hour"], row["text"]
            lease.ends_at, lease.used_at = now + row["ends_s"], now
            for first, name, had in (
                (True, "first_at", lease.first + lease.rest),
                (False, "next_at", lease.rest),
            ):
                if lease.asked.get(first) and not had and not lease.warm:
                    pause_s = max(0.0, row[name] - wall) + _LATE_S
                    if row["later"] and not first:
                        changed |= self._falls_asleep(lease, row, now + pause_s)
                    else:
                        changed |= self._goes_out(lease, first, row[name], pause_s)
        if changed:
            self._sites.changed(self)
        self._wake(taken)

    def _unanswered(self, taken: Sequence[Lease]) -> None:
        """Nobody answers: what is in hand may be used, no more; asked again soon."""
        again, changed = self._now() + _RETRY_S, False
        for lease in taken:
            lease.text = lease.text or "warm-up: the supervisor does not answer"
            for first in lease.asked:
                changed |= self._goes_out(lease, first, again, _RETRY_S)
        if changed:
            self._sites.changed(self)
        self._wake(taken)

    def _falls_asleep(self, lease: Lease, row: dict[str, Any], until: float) -> bool:
        """What may go later today waits for it; what is more than that goes by others."""
        lease.asleep, lease.shown_until[False] = until, row["next_at"]
        waiting = self._sites.waiting(lease.source, lease.provider)
        # rather too much than too little: a day that is not used up does not count
        part = _SLACK * row["later"] / self._workers / max(1, waiting)
        before, lease.keeps = lease.keeps, lease.keeps * min(1.0, part)
        self._loop.call_at(until, self._wakes, lease)
        return before != lease.keeps

    def _wakes(self, lease: Lease) -> None:
        """An hour has come: mail that comes now may be its own again."""
        if lease.asleep <= self._loop.time() and lease.keeps < 1.0:
            lease.keeps = 1.0
            self._sites.changed(self)

    def _goes_out(self, lease: Lease, first: bool, until: float, pause_s: float) -> bool:
        lease.out[first], lease.shown_until[first] = self._loop.time() + pause_s, until
        self._loop.call_later(pause_s + 0.001, self._comes_back, lease, first)
        return True

    def _comes_back(self, lease: Lease, first: bool) -> None:
        if not self._is_out(lease, first) and lease.out.pop(first, None) is not None:
            self._sites.changed(self)

    def _wake(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            sites, lease.sites = lease.sites, set()
            for site in sorted(sites, key=lambda one: one.name):
                self._sites.look_at_source(site)

    async def close(self) -> None:
        """Everything goes back, and the last results are told."""
        for lease in self._leases.values():
            lease.wants.clear()
            if lease.first or lease.rest:
                self._give_back(lease)
        self._ask_soon()
        await self._tasks.end(_RETRY_S)


def _any_warmed(policies: Policies) -> bool:
    return any(policies.warmup(source) for source in policies.sources)


async def _nobody(asked: dict[str, Any]) -> dict[str, Any]:
    raise ConnectionError("nobody grants messages here")
