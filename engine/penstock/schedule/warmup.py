"""Warming one source up at one provider: how many messages may go now, and what a day leads to.

The state is a value and everything here a function of (plan, state, now). Messages are *granted*
before they are sent and a grant is never taken twice, so whoever writes the new state down before
he uses the grant can crash, and be one of many, and never sends more than the plan allows in a day.
A clock that goes back opens no day and no hour a second time.

Within a day: transactional mail may take all that is left, at any hour. Other mail goes in the
plan's hours, an even part of what is left in each, and leaves what is kept for transactional mail
in the rest of the day.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil, inf
from typing import Any, NamedTuple

from penstock.policy.warmup import Plan
from penstock.schedule.hours import Moment, moment
from penstock.schedule.warmup_day import Day, Results, is_blocked, judge

HISTORY_DAYS_MAX = 60


@dataclass(frozen=True, slots=True)
class WarmupState:
    """``stage`` counts from 0; ``day`` is the one that is being counted, from the epoch, -1 before
    the first. ``sent``: granted today and not given back, ``hour_sent`` of those that are not
    transactional in hour ``hour``. ``held``: an operator's reason not to go on; ``stopped``: why
    nothing more goes today; ``used``: the last day on which something was sent, -1 for none."""

    plan: str = ""
    stage: int = 0
    warm: bool = False
    day: int = -1
    hour: int = 0
    sent: int = 0
    sent_first: int = 0
    hour_sent: int = 0
    results: Results = field(default_factory=Results)
    held: str = ""
    stopped: str = ""
    used: int = -1
    history: tuple[Day, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Fit for JSON."""
        row = {name: getattr(self, name) for name in self.__slots__}
        row["results"] = {name: getattr(self.results, name) for name in Results.__slots__}
        return {**row, "history": [day.to_dict() for day in self.history]}

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> WarmupState:
        history = tuple(Day.from_dict(day) for day in row["history"])
        return cls(**{**row, "results": Results(**row["results"]), "history": history})


class Allowance(NamedTuple):
    """What may be granted now: ``first`` to transactional mail, ``rest`` to other, which may have
    ``later`` more in the hours that come. ``messages`` is the whole day's. ``next_at``: when there
    may be more for other mail, ``first_at`` for transactional; ``ends_at``: when what is granted
    now must have been used."""

    messages: int
    first: int
    rest: int
    later: int
    next_at: float
    first_at: float
    ends_at: float


def turn(plan: Plan, provider: str, state: WarmupState, now: float) -> WarmupState:
    """The state with all that the clock changes: hours and days that are over."""
    at = moment(plan.hours, now)
    if state.plan != plan.name:
        state = _adopt(plan, provider, state)
    if state.day < 0:
        return replace(state, day=at.day, hour=at.hour)
    state = replace(state, stage=min(state.stage, len(plan.stages(provider)) - 1))
    if at.day > state.day:
        state = _close(plan, provider, state)
        idle = at.day - state.used
        if state.used >= 0 and idle >= plan.idle_days and (state.warm or state.stage):
            reason = f"no mail for {idle} days: warmed again"
            over = Day(at.day - 1, state.stage, 0, 0, Results(), "back", reason)
            state = again(replace(state, history=_kept(state, over)))
        return replace(state, day=at.day, hour=at.hour)
    if at.day == state.day and at.hour > state.hour:
        return replace(state, hour=at.hour, hour_sent=0)
    return state


def allowance(plan: Plan, provider: str, state: WarmupState, now: float) -> Allowance:
    """For a ``state`` that was turned to ``now``, and is not warm."""
    at = moment(plan.hours, now)
    messages = plan.stages(provider)[state.stage]
    left = 0 if state.stopped else max(0, messages - state.sent)
    rest, later = _rest(plan, state, at, messages, left)
    tomorrow = plan.hours.next_open(at.day_end)
    day_over = left == 0 or at.day != state.day
    return Allowance(
        messages, left, rest, later, tomorrow if day_over else at.next_at, at.day_end, at.day_end
    )


def _rest(plan: Plan, state: WarmupState, at: Moment, messages: int, left: int) -> tuple[int, int]:
    """What mail that is not transactional may have of ``left`` now, and later today."""
    hours = at.hours - at.hour
    if at.day != state.day or at.hour != state.hour or hours <= 0:
        return 0, 0
    kept = int(plan.transactional * messages * hours / at.hours)
    free = left - max(0, min(kept, int(plan.transactional * messages) - state.sent_first))
    # what transactional mail does not use until then is for other mail too
    last = max(0, left - int(plan.transactional * messages / at.hours))
    if not at.open:
        return 0, last
    even = ceil((free + state.hour_sent) / hours)
    now = max(0, min(free, min(even, ceil(plan.hour_max * messages)) - state.hour_sent))
    return now, max(0, last - now) if hours > 1 else 0


def grant(
    plan: Plan, provider: str, state: WarmupState, now: float, wanted: int, *, first: bool
) -> tuple[WarmupState, int]:
    """The state in which so many of ``wanted`` messages have gone; write it down before they go.
    ``first``: transactional ones."""
    state = turn(plan, provider, state, now)
    if state.warm:
        return replace(state, used=state.day), wanted
    allowed = allowance(plan, provider, state, now)
    n = max(0, min(wanted, allowed.first if first else allowed.rest))
    if n == 0:
        return state, 0
    return replace(
        state,
        sent=state.sent + n,
        sent_first=state.sent_first + (n if first else 0),
        hour_sent=state.hour_sent + (0 if first else n),
        used=state.day,
    ), n


def give_back(state: WarmupState, day: int, hour: int, n: int, *, first: bool) -> WarmupState:
    """``n`` of those granted on ``day`` in ``hour`` were not sent. A day that is over stays as it
    was: its messages are not for another."""
    if state.warm or day != state.day:
        return state
    n = min(n, state.sent_first if first else state.sent - state.sent_first)
    in_hour = 0 if first or hour != state.hour else min(n, state.hour_sent)
    return replace(
        state,
        sent=state.sent - n,
        sent_first=state.sent_first - (n if first else 0),
        hour_sent=state.hour_sent - in_hour,
    )


def count(plan: Plan, state: WarmupState, results: Results) -> WarmupState:
    """What came of attempts. A block stops the day at once."""
    total = state.results + results
    stopped = state.stopped or ("" if state.warm else is_blocked(plan.gates, total))
    used = state.day if results else state.used
    return replace(state, results=total, stopped=stopped, used=used)


def again(state: WarmupState) -> WarmupState:
    """From the first stage, keeping what went today and what was."""
    return replace(state, stage=0, warm=False, stopped="")


def place(plan: Plan, provider: str, state: WarmupState, stage: int) -> WarmupState:
    """At ``stage`` from now on, counted from 0; one past the last is warm."""
    last = len(plan.stages(provider))
    return replace(
        state, stage=max(0, min(stage, last - 1)), warm=stage >= last, stopped="", plan=plan.name
    )


def forecast(plan: Plan, provider: str, state: WarmupState) -> float | None:
    """The day on which it is warm if every day goes well, counted from the epoch; ``None`` where
    it is held or the plan has no sending day."""
    if state.warm:
        return state.day
    left = len(plan.stages(provider)) - state.stage
    if state.held or not plan.hours.spans:
        return None
    day = state.day
    while left:
        left -= bool(plan.hours.spans_of(day))
        day += 1
    return day


def pace(state: WarmupState, days: int = 7) -> float:
    """The share of the last days that led on; infinity where there were too few to say."""
    last = state.history[-days:]
    if len(last) < 3:
        return inf
    return sum(day.verdict == "advance" for day in last) / len(last)


def _adopt(plan: Plan, provider: str, state: WarmupState) -> WarmupState:
    """Another plan than before: at its last stage that allows no more than the one before did. The
    one before may be gone, so what it allowed is known from its days."""
    if state.plan == "" or state.warm:
        return replace(state, plan=plan.name)
    reached = max(state.sent, state.history[-1].messages if state.history else 0)
    stages = plan.stages(provider)
    stage = max((n for n, one in enumerate(stages) if one <= reached), default=0)
    return replace(state, plan=plan.name, stage=stage)


def _close(plan: Plan, provider: str, state: WarmupState) -> WarmupState:
    """The day is over: what it leads to. One on which nothing went leads nowhere."""
    clean = replace(state, hour=0, sent=0, sent_first=0, hour_sent=0, results=Results(), stopped="")
    if state.warm or not (state.sent or state.results):
        return clean
    stages = plan.stages(provider)
    messages = stages[state.stage]
    verdict, reason = judge(plan.gates, messages, state.sent, state.results, state.stopped)
    if verdict == "advance" and state.held:
        verdict, reason = "hold", f"held: {state.held}"
    stage, warm = state.stage, False
    if verdict == "advance":
        warm = stage + 1 == len(stages)
        stage = min(stage + 1, len(stages) - 1)
    elif verdict == "back":
        stage = max(0, stage - plan.step_back)
    over = Day(state.day, state.stage, messages, state.sent, state.results, verdict, reason)
    return replace(clean, stage=stage, warm=warm, history=_kept(state, over))


def _kept(state: WarmupState, over: Day) -> tuple[Day, ...]:
    return (*state.history, over)[-HISTORY_DAYS_MAX:]
