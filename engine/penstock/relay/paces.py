"""The pace that the supervisor has told this worker to keep, by source and provider.

A pace is one more limit on the way: a message rate leased from the governor under a key of its own,
so that it holds over all workers; seats under the same key; and a moment before which nothing goes.
A site that is held stands at a gate, as for any limit, and is looked at again when the pace changes
or its moment comes. Where policy says ``observe`` the pace is shown and nothing waits for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.limits.ports import Claim, Seat
from penstock.mail.outcome import Outcome, Phase
from penstock.mail.verdict import Verdict
from penstock.policy.caps import Cap, placed
from penstock.policy.limits import AdaptiveMode, Provenance
from penstock.policy.rate import Rate
from penstock.policy.replies import BOUNCE, RETRY
from penstock.relay.gates import Gate, Gates
from penstock.relay.reading import Reading
from penstock.relay.site import Site
from penstock.relay.tally import Tallies, Tally
from penstock.schedule.pace import Pace

LANES_MAX = 4096  # of a site, remembered; lanes that were forgotten are among them
_PACE, _PAUSE = "pace:", "pause:"
_GREETINGS = (Phase.BANNER, Phase.EHLO)
_COUNT_MIN = 20  # of a rate in its period, so that rounding to a whole number says little
_PERIODS_S = (60.0, 3600.0, 86400.0)

Pair = tuple[str, str]


def rate_of(per_s: float) -> Rate:
    """The nearest rate that the governor can count."""
    period_s = next((one for one in _PERIODS_S if per_s * one >= _COUNT_MIN), _PERIODS_S[-1])
    return Rate(max(1, round(per_s * period_s)), period_s, max(1, int(per_s)))


@dataclass(frozen=True, slots=True)
class Told:
    """One row of the table: ``mode`` says whether it is obeyed."""

    source: str
    provider: str
    mode: AdaptiveMode
    pace: Pace

    def caps(self) -> list[Cap]:
        """As limits are shown. What is only observed has no key: nothing is counted by it."""
        key, pace, found = placed(self.source, self.provider), self.pace, list[Cap]()
        by = "" if self.source in ("", "default") else f" from {self.source}"
        scope = f"pace of {self.provider}{by}"
        obeyed = self.mode == "on"
        scope = scope if obeyed else f"{scope}, only observed"
        where = Provenance(pace.reason or "the replies heard")

        def cap(field: str, prefix: str, value: Any) -> Cap:
            return Cap(field, scope, f"{prefix}{key}" if obeyed else "", value, where, "provider")

        if pace.rate_per_s is not None:
            found.append(cap("message_rate", _PACE, rate_of(pace.rate_per_s)))
        if pace.connections is not None:
            found.append(cap("connections", _PACE, pace.connections))
        if pace.not_before:
            at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(pace.not_before))
            found.append(cap("not_before", _PAUSE, at))
        return found


class Paced:
    """What one site obeys. Its claims are made when a lane first sends at this pace."""

    __slots__ = ("_by_lane", "claim", "key", "not_before", "pause", "seat")

    def __init__(self, told: Told) -> None:
        pace, name = told.pace, placed(told.source, told.provider)
        self.key, self.pause = f"{_PACE}{name}", f"{_PAUSE}{name}"
        self.not_before = pace.not_before
        self.claim = None if pace.rate_per_s is None else Claim(self.key, rate_of(pace.rate_per_s))
        self.seat = None if pace.connections is None else Seat(self.key, pace.connections)
        self._by_lane: dict[int, tuple[tuple[Claim, ...], tuple[Claim, ...]]] = {}

    def claims(self, number: int, base: tuple[Claim, ...]) -> tuple[Claim, ...]:
        """``base`` and the pace's own; the same object at every call for lane ``number``."""
        if self.claim is None:
            return base
        known = self._by_lane.get(number)
        if known is None or known[0] is not base:
            if len(self._by_lane) >= LANES_MAX:
                self._by_lane.clear()
            known = self._by_lane[number] = (base, (*base, self.claim))
        return known[1]


class Paces:
    """One worker's. ``now`` is wall time; ``pump(site)`` is called for sites that may go on;
    ``workers`` share each pace. ``reading``: by which replies are read; set once for all of the
    worker."""

    def __init__(
        self,
        gates: Gates,
        now: Callable[[], float],
        pump: Callable[[Site], None],
        workers: int,
        pairs_max: int,
    ) -> None:
        self._gates, self._now, self._pump = gates, now, pump
        self._workers, self._pairs_max = workers, pairs_max
        self._loop = asyncio.get_running_loop()
        self.tallies = Tallies(pairs_max)
        self.reading = Reading()
        self._told: dict[Pair, Told] = {}
        self._sites: dict[Pair, dict[Site, None]] = {}  # in order, for runs to repeat

    def __len__(self) -> int:
        return len(self._told)

    # what the supervisor says

    def told(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """The changed part of the table; a row whose mode is ``off`` is taken out."""
        for row in rows:
            told = Told(row["source"], row["provider"], row["mode"], Pace(**row["pace"]))
            pair = told.source, told.provider
            if told.mode == "off":
                self._told.pop(pair, None)
            elif pair in self._told or len(self._told) < self._pairs_max:
                self._told[pair] = told
            self._change(pair)

    def _change(self, pair: Pair) -> None:
        told, name = self._told.get(pair), placed(*pair)
        rated = told is not None and told.mode == "on" and told.pace.rate_per_s is not None
        sites = self._sites.get(pair, {})
        self._shed(pair, told, sites)
        lines: dict[Gate, None] = {}
        for site in sites:
            self._give(site, told)
            gate = site.gate
            if gate is None:
                if site.waiting:
                    self._pump(site)
            elif gate.key == f"{_PACE}{name}" and rated:
                lines[gate] = None  # the first in line finds out for all
            elif gate.key in (f"{_PACE}{name}", f"{_PAUSE}{name}"):
                self._gates.leave(site)
                self._pump(site)
        for gate in lines:
            self._gates.passed(gate.key)

    def _shed(self, pair: Pair, told: Told | None, sites: Iterable[Site]) -> None:
        """Where fewer connections are allowed than are open, this worker ends its part of them."""
        tally = self.tallies.of(*pair)
        tally.shed = 0
        if told is None or told.mode != "on" or told.pace.connections is None:
            return
        tally.shed = max(0, tally.open - max(1, -(-told.pace.connections // self._workers)))
        for site in sites:
            while tally.shed and site.idle:
                tally.shed -= 1
                site.idle.popleft().wake(False)

    # what the relay asks

    def join(self, site: Site) -> None:
        """The site has its limits from policy; give it its tally and its pace. May be called
        again, when those limits or its provider have changed."""
        pair = site.source, site.provider
        before = site.tally
        if before is None or (before.source, before.provider) != pair:
            self.part(site)
            site.tally = self.tallies.of(*pair)
        if site.provider:
            self._sites.setdefault(pair, {})[site] = None
        self._give(site, self._told.get(pair) or self._first(site))

    def _first(self, site: Site) -> Told | None:
        """What holds in the second before the supervisor has heard of the pair: without it as much
        would go at once as the other limits let through."""
        pair, limits = (site.source, site.provider), site.limits
        tally = site.tally
        if limits.adaptive != "on":
            return None
        if tally is None or not self.tallies.knows(tally):
            return None
        tally.busy = True  # so that the supervisor hears of it
        rate = min(
            one.per_s for one in (limits.adaptive_start, limits.adaptive_ceiling) if one is not None
        )
        return Told(*pair, "on", Pace(rate, reason="nothing is known yet"))

    def part(self, site: Site) -> None:
        """The site is forgotten, or another provider's."""
        if site.tally is not None:
            pair = site.tally.source, site.tally.provider
            sites = self._sites.get(pair)
            if sites is not None:
                sites.pop(site, None)
                if not sites:
                    del self._sites[pair]

    @staticmethod
    def _give(site: Site, told: Told | None) -> None:
        site.paced = paced = Paced(told) if told is not None and told.mode == "on" else None
        own = tuple(seat for seat in site.seats if not seat.key.startswith(_PACE))
        site.seats = own if paced is None or paced.seat is None else (*own, paced.seat)

    def held(self, site: Site) -> bool:
        """Whether the pace lets nothing of the site go now; it stands at the gate then."""
        paced = site.paced
        if paced is None or not paced.not_before:
            return False
        pause_s = paced.not_before - self._now()
        if pause_s <= 0:
            return False
        if site.gate is None or site.gate.key != paced.pause:
            until = self._loop.time() + pause_s
            self._gates.wait(paced.pause, site, until, 0.0, everybody=True)
        if site.tally is not None:
            site.tally.busy = True
        return True

    def heard(
        self, tally: Tally, outcome: Outcome, verdict: Verdict, tenant: str, campaign: str
    ) -> None:
        """A recipient was not delivered, or no connection was had for one."""
        rule = self.reading.classifier.rules.by_name.get(verdict.rule) if verdict.rule else None
        action = rule.action if rule is not None else ""
        fewer = action == "fewer-connections"
        tally.heard(outcome.kind, verdict, fewer or outcome.phase in _GREETINGS)
        if action and action not in (RETRY, BOUNCE):
            tally.acted(verdict.rule, _about(action, tenant, campaign))

    def refused(self, site: Site, outcome: Outcome) -> None:
        """No connection was had. A host that says why is heard as at any other time."""
        tally = site.tally
        if tally is None:
            return
        if outcome.phase not in _GREETINGS:
            tally.not_opened(site.name, self._loop.time())
            return
        classify = self.reading.classifier.classify
        verdict = classify(site.provider, outcome.reply, outcome.phase)
        self.heard(tally, outcome, verdict, "", "")

    def caps(self, source: str, provider: str) -> list[Cap]:
        """For explanations."""
        told = self._told.get((source or "default", provider))
        return told.caps() if told is not None else []

    def rate_per_s(self, source: str, provider: str) -> tuple[float, str] | None:
        """The rate that is obeyed, and why; ``None`` where there is none."""
        told = self._told.get((source, provider))
        if told is None or told.mode != "on":
            return None
        if told.pace.not_before > self._now():
            return 0.0, told.pace.reason
        rate = told.pace.rate_per_s
        return None if rate is None else (rate, told.pace.reason)


def _about(action: str, tenant: str, campaign: str) -> str:
    """What the reply to this mail is counted for."""
    if action == "suspend-tenant":
        return tenant
    return f"{tenant}/{campaign}" if action == "suspend-campaign" else ""
