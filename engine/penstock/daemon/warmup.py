"""The supervisor's book of warming: one state for each source and provider, for all workers.

A worker asks for messages before it sends them, gives back what it did not send, and says what came
of the rest. What it is granted is on disk before it is told so. So whatever dies, and however many
workers there are, what goes in a day is never more than the plan: a grant whose worker died counts
as sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import ceil
from typing import Any

import structlog

from penstock.daemon.warmup_file import Pair, WarmupFile
from penstock.events.metrics import Registry
from penstock.policy.policies import Policies
from penstock.policy.warmup import Plan
from penstock.schedule.warmup import (
    Allowance,
    WarmupState,
    allowance,
    count,
    give_back,
    grant,
    turn,
)
from penstock.schedule.warmup_day import Results

log = structlog.get_logger("penstock.warmup")
GRANT_MAX = 1000  # at once: what a worker that dies loses
_PARTS = 4  # of what may go now a worker gets this part of its share at once, for others ask too
_RESULTS_S = 5.0
_TURN_S = 10.0
_RETRY_S = 1.0  # for whoever asks while nothing can be said


class Warmups:
    """``policies()`` are those in force, ``now()`` wall time; ``changed()`` is called when workers
    should ask again. Nothing is granted before :meth:`load`."""

    def __init__(
        self,
        directory: str,
        policies: Callable[[], Policies],
        now: Callable[[], float],
        registry: Registry,
        workers: int = 1,
        changed: Callable[[], None] = lambda: None,
        pairs_max: int = 5000,
    ) -> None:
        self._file = WarmupFile(directory)
        self._policies, self._now, self._changed = policies, now, changed
        self._workers, self._pairs_max = workers, pairs_max
        self.states: dict[Pair, WarmupState] = {}
        self._loaded = self._dirty = self._whole = False
        self._saved_at = self._turned_at = 0.0
        self._stage = registry.gauge("penstock_warmup_stage")
        self._day = registry.gauge("penstock_warmup_day_messages")
        self._sent = registry.gauge("penstock_warmup_sent_messages")
        self._pairs = registry.gauge("penstock_warmup_pairs")
        self._days = registry.counter("penstock_warmup_days_total")
        registry.on_snapshot(self._measure)

    def load(self) -> None:
        """Take up what is on disk; ``BadFile`` where that makes no sense."""
        self.states = self._file.load()
        self._loaded = True

    def close(self) -> None:
        """Write everything down: another daemon may take it up from here."""
        if self._loaded:
            self._loaded = False
            try:
                self._file.save(self.states)
                self._file.save_today(self.states)
            except OSError as error:
                log.error("warm-up not saved; its last results are lost", reason=str(error))

    # what the workers say

    def handle(self, params: dict[str, Any]) -> dict[str, Any]:
        """``{"back", "results", "take"}``: lists of rows, see ``relay/warming.py``. Answers with a
        row for each of ``take``."""
        if not self._loaded:
            return {
                "rows": [self._nothing(s, p, "is being taken over") for s, p, *_ in params["take"]]
            }
        for source, provider, day, hour, first, rest in params["back"]:
            self._give_back((source, provider), day, hour, first, rest)
        for source, provider, numbers in params["results"]:
            self._count((source, provider), Results(*numbers))
        return {"rows": self._take(params["take"])}

    def _give_back(self, pair: Pair, day: int, hour: int, first: int, rest: int) -> None:
        state = self.states.get(pair)
        if state is not None:
            state = give_back(state, day, hour, first, first=True)
            self.states[pair] = give_back(state, day, hour, rest, first=False)
            self._dirty = True

    def _count(self, pair: Pair, results: Results) -> None:
        plan, state = self._policies().warmup(pair[0]), self.states.get(pair)
        if plan is None or state is None:
            return
        after = count(plan, state, results)
        self.states[pair] = after
        self._dirty = True
        if after.stopped and not state.stopped:
            log.warning("warm-up stopped for today", **_named(pair), reason=after.stopped)
            self._whole = True
            self._changed()

    def _take(self, rows: Iterable[list[Any]]) -> list[dict[str, Any]]:
        """Grants, written down before they are told. Where that fails nobody gets anything."""
        before, answers, granted = dict(self.states), list[dict[str, Any]](), 0
        for source, provider, first, rest in rows:
            pair = source, provider
            plan = self._policies().warmup(source)
            if plan is None:
                answers.append({**self._nothing(*pair, ""), "warm": True})
                continue
            if pair not in self.states and len(self.states) >= self._pairs_max and not self._room():
                full = f"more than relay.pairs_max = {self._pairs_max} pairs"
                answers.append(self._nothing(*pair, full))
                continue
            self._turn(pair, plan)
            answers.append(self._grant(pair, plan, int(first), int(rest)))
            granted += answers[-1]["first"] + answers[-1]["rest"]
        try:
            self._save_whole()
            if granted:
                self._save_today()
        except OSError as error:
            log.error("nothing is granted: warm-up cannot be saved", reason=str(error))
            self.states = before
            return [self._nothing(s, p, "cannot be written down") for s, p, *_ in rows]
        return answers

    def _grant(self, pair: Pair, plan: Plan, first: int, rest: int) -> dict[str, Any]:
        now, provider, state = self._now(), pair[1], self.states[pair]
        if state.warm:
            self.states[pair], _ = grant(plan, provider, state, now, 1, first=True)
            return {**self._nothing(*pair, ""), "warm": True}
        allowed = allowance(plan, provider, state, now)
        parts = _PARTS * self._workers
        state, n_rest = grant(
            plan, provider, state, now, _part(rest, allowed.rest, parts), first=False
        )
        left = allowance(plan, provider, state, now).first
        state, n_first = grant(plan, provider, state, now, _part(first, left, parts), first=True)
        self.states[pair] = state
        return {
            "source": pair[0],
            "provider": provider,
            "warm": False,
            "first": n_first,
            "rest": n_rest,
            "day": state.day,
            "hour": state.hour,
            "ends_s": max(0.0, allowed.ends_at - now),
            "later": allowed.later,
            "first_at": allowed.first_at,
            "next_at": allowed.next_at,
            "text": text_of(plan, provider, state, allowed),
        }

    def _nothing(self, source: str, provider: str, why: str) -> dict[str, Any]:
        again = self._now() + _RETRY_S
        return {
            "source": source,
            "provider": provider,
            "warm": False,
            "first": 0,
            "rest": 0,
            "day": -1,
            "hour": 0,
            "ends_s": 0.0,
            "later": 0,
            "first_at": again,
            "next_at": again,
            "text": f"warm-up {why}" if why else "",
        }

    # what the clock does

    def tick(self) -> None:
        """Every second: days that are over, results to write down. What goes wrong is logged."""
        now = self._now()
        if not self._loaded:
            return
        try:
            if now - self._turned_at >= _TURN_S or now < self._turned_at:
                self._turned_at = now
                self.turn_all()
            if self._dirty and (now - self._saved_at >= _RESULTS_S or now < self._saved_at):
                self._save_today()
        except OSError as error:
            log.error("warm-up cannot be saved", reason=str(error))

    def turn_all(self) -> None:
        """Bring every pair to the present."""
        policies = self._policies()
        for pair in list(self.states):
            plan = policies.warmup(pair[0])
            if plan is not None:
                self._turn(pair, plan)
        if self._whole:
            self._save_whole()
            self._changed()

    def _turn(self, pair: Pair, plan: Plan) -> None:
        """Bring one pair to the present. Where more changes than the hour all is to be saved."""
        before = self.states.get(pair)
        state = turn(plan, pair[1], before or WarmupState(), self._now())
        self.states[pair] = state
        if before is None:
            log.info("warm-up begins", **_named(pair), plan=plan.name)
            self._whole = True
            return
        if state.history is not before.history and state.history:
            day = state.history[-1]
            self._days.inc((day.verdict,))
            log.info(
                "warm-up day over",
                **_named(pair),
                stage=day.stage + 1,
                sent=day.sent,
                messages=day.messages,
                leads=day.verdict,
                reason=day.reason,
                warm=state.warm,
            )
        self._whole |= state.day != before.day or state.plan != before.plan

    def put(self, changes: dict[Pair, WarmupState]) -> None:
        """What an operator says holds from now on; on disk when it returns."""
        states = {**self.states, **changes}
        if len(states) > self._pairs_max:
            raise ValueError(
                f"no more than relay.pairs_max = {self._pairs_max} pairs can be warmed"
            )
        self._file.save(states)
        self.states = states
        self._changed()

    def _room(self) -> bool:
        """Forget a pair whose source is not warmed any more."""
        policies = self._policies()
        gone = next((pair for pair in self.states if policies.warmup(pair[0]) is None), None)
        if gone is not None:
            del self.states[gone]
        return gone is not None

    def _save_whole(self) -> None:
        """Where it was not since something changed that the small file has not."""
        if self._whole:
            self._file.save(self.states)
            self._whole = False

    def _save_today(self) -> None:
        self._file.save_today(self.states)
        self._dirty, self._saved_at = False, self._now()

    def _measure(self) -> None:
        policies = self._policies()
        self._pairs.set(len(self.states))
        for pair, state in self.states.items():
            plan = policies.warmup(pair[0])
            if plan is not None:
                stages = plan.stages(pair[1])
                self._stage.set(len(stages) + 1 if state.warm else state.stage + 1, pair)
                self._day.set(float("inf") if state.warm else stages[state.stage], pair)
                self._sent.set(state.sent, pair)


def text_of(plan: Plan, provider: str, state: WarmupState, allowed: Allowance) -> str:
    """Where it stands, for people: ``warm-up day 5 of 29: 2,000 of 2,000 used``."""
    day = plan.day_text(provider, state.stage)
    used = f"warm-up {day}: {state.sent:,} of {allowed.messages:,} used"
    return f"{used}, stopped for today ({state.stopped})" if state.stopped else used


def _part(wanted: int, free: int, parts: int) -> int:
    return min(wanted, GRANT_MAX, ceil(free / parts))


def _named(pair: Pair) -> dict[str, str]:
    return {"source": pair[0], "provider": pair[1]}
