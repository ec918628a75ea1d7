"""What operators ask of warming: where each source stands, begin, hold, go on, set.

An answer to an order is given when it is on disk; the workers ask again at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from math import ceil, inf
from typing import Any

import structlog

from penstock.control import ControlError
from penstock.daemon.selector import check_name
from penstock.daemon.told import operator_did
from penstock.daemon.warmup import Warmups, text_of
from penstock.daemon.warmup_file import Pair
from penstock.events.journal import Recorder
from penstock.events.no_journal import NoJournal
from penstock.policy.policies import Policies
from penstock.policy.problem import suggestion
from penstock.policy.warmup import OTHER, Plan
from penstock.schedule.warmup import (
    WarmupState,
    again,
    allowance,
    count,
    forecast,
    pace,
    place,
    turn,
)
from penstock.schedule.warmup_day import RESULT_NAMES, Results

log = structlog.get_logger("penstock.admin")
TEXT_CHARS_MAX = 500
_EPOCH = date(1970, 1, 1).toordinal()


class WarmupOrders:
    """The ``warmup.*`` methods of the control socket. ``policies()`` are those in force."""

    def __init__(
        self,
        book: Warmups,
        policies: Callable[[], Policies],
        now: Callable[[], float],
        events: Recorder | None = None,
    ) -> None:
        self._book, self._policies, self._now = book, policies, now
        self._events = events or NoJournal()

    async def show(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """``{"rows": [...], "unused": [source, ...]}``: every pair of a source that has a plan;
        those of whose sources nothing is known yet are ``unused``."""
        source, provider = self._named(params, needed=False)
        policies = self._policies()
        rows = []
        for pair, state in sorted(self._book.states.items()):
            plan = policies.warmup(pair[0])
            if plan is None or source not in ("", pair[0]) or provider not in (None, pair[1]):
                continue
            rows.append(self._row(pair, plan, turn(plan, pair[1], state, self._now())))
        known = {row["source"] for row in rows}
        warmed = [name for name in policies.sources if policies.warmup(name) is not None]
        unused = [n for n in warmed if n not in known and source in ("", n) and provider is None]
        return {"rows": rows, "unused": unused}

    async def start(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """From the first stage, with what has gone today."""
        return self._change(
            "start", params, lambda plan, pair, state: replace(again(state), day=-1)
        )

    async def hold(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Stay at the stage until told to go on."""
        reason = str(params.get("reason", ""))[:TEXT_CHARS_MAX] or "by an operator"
        return self._change("hold", params, lambda plan, pair, state: replace(state, held=reason))

    async def resume(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Go on; also today, where a block has stopped it."""
        return self._change(
            "resume", params, lambda plan, pair, state: replace(state, held="", stopped="")
        )

    async def set(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """To ``day`` of the plan, from 1, or ``warm``."""
        warm = bool(params.get("warm"))
        try:
            day = int(params.get("day") or 0)
        except (TypeError, ValueError):
            day = 0
        if not warm and day < 1:
            raise ControlError("bad-value", "say which day of the plan, from 1, or that it is warm")

        def put(plan: Plan, pair: Pair, state: WarmupState) -> WarmupState:
            days = len(plan.stages(pair[1]))
            if not warm and day > days:
                text = f"plan {plan.name} has {days} days for {pair[1] or OTHER}"
                raise ControlError("bad-value", f"{text}; after them it is warm")
            return place(plan, pair[1], state, days if warm else day - 1)

        return self._change("set", params, put)

    async def complained(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """``count`` complaints came, as feedback reports say."""
        more = Results(complaints=max(0, int(params.get("count") or 0)))
        return self._change(
            "complained", params, lambda plan, pair, state: count(plan, state, more)
        )

    def _change(
        self,
        verb: str,
        params: Mapping[str, Any],
        change: Callable[[Plan, Pair, WarmupState], WarmupState],
    ) -> dict[str, Any]:
        source, provider = self._named(params)
        policies, now = self._policies(), self._now()
        plan = policies.warmup(source)
        if plan is None:
            hint = suggestion(source, list(policies.warmups), "plans") or "plans are in warmup/"
            raise ControlError(
                "not-warmed",
                f"source {source} has no plan: name one as warmup in [source.{source}] of "
                f"sources.toml and reload; {hint}",
            )
        providers = ["", *policies.providers] if provider is None else [provider]
        changed: dict[Pair, WarmupState] = {}
        for name in providers:
            pair = source, name
            state = turn(plan, name, self._book.states.get(pair, WarmupState()), now)
            changed[pair] = turn(plan, name, change(plan, pair, state), now)
        try:
            self._book.put(changed)
        except ValueError as error:
            raise ControlError("too-many", str(error)) from None
        except OSError as error:
            raise ControlError("failed", f"not written down, nothing changed: {error}") from None
        who, reason = (str(params.get(name, ""))[:TEXT_CHARS_MAX] for name in ("who", "reason"))
        at = "all" if provider is None else provider or OTHER
        log.info(f"warm-up {verb}", source=source, provider=at, who=who, reason=reason)
        about = {"source": source, "provider": at}
        operator_did(self._events, f"warmup.{verb}", about, who=who, reason=reason)
        return {"rows": [self._row(pair, plan, state) for pair, state in changed.items()]}

    def _named(self, params: Mapping[str, Any], *, needed: bool = True) -> tuple[str, str | None]:
        """The source, and the provider; ``None`` where all are meant, ``""`` for other domains."""
        source, provider = str(params.get("source", "")), params.get("provider")
        if source or needed:
            check_name("source", source, self._policies())
        if provider is None or provider == "":
            return source, None
        if provider == OTHER:
            return source, ""
        check_name("provider", str(provider), self._policies())
        return source, str(provider)

    def _row(self, pair: Pair, plan: Plan, state: WarmupState) -> dict[str, Any]:
        provider, now = pair[1], self._now()
        stages = plan.stages(provider)
        row: dict[str, Any] = {
            "source": pair[0],
            "provider": provider,
            "plan": plan.name,
            "plan_where": str(plan.at),
            "warm": state.warm,
            "day": state.stage + 1,
            "days": len(stages),
            "held": state.held,
            "stopped": state.stopped,
            "sent": state.sent,
            "results": {name: getattr(state.results, name) for name in RESULT_NAMES},
            "history": [
                {
                    "date": date_text(day.day),
                    "day": day.stage + 1,
                    "messages": day.messages,
                    "sent": day.sent,
                    "verdict": day.verdict,
                    "reason": day.reason,
                }
                for day in state.history
            ],
            "warm_on": None,
            "warm_on_at_pace": None,
        }
        if state.warm:
            return {**row, "messages": None, "text": "warm", "now": None, "next_at": None}
        allowed = allowance(plan, provider, state, now)
        best = forecast(plan, provider, state)
        if best is not None:
            row["warm_on"] = date_text(int(best))
            lately = pace(state)
            if 0 < lately < inf:
                left = ceil((best - state.day) / lately)
                row["warm_on_at_pace"] = date_text(state.day + left)
        return {
            **row,
            "messages": allowed.messages,
            "text": text_of(plan, provider, state, allowed),
            "now": allowed.rest,
            "next_at": allowed.next_at,
        }


def date_text(day: int) -> str:
    """A day counted from the epoch as ``2026-12-01``."""
    return date.fromordinal(_EPOCH + day).isoformat()
