"""How fast each source may send to each provider now: found here, from what all workers heard.

About once a second the workers tell what came of their attempts. For each (source, provider) whose
policy wants it the controller takes one step, what reply rules have ordered is added, and the part
of the table that changed goes to every worker. A worker that starts is told all of it. What was
learned is kept on disk, so that a restart does not begin with a storm; it is kept apart from the
path of the mail, and a file that is damaged costs what was learned and no more.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from penstock.control import ControlError
from penstock.daemon.reactions import ON_MAIL, WANTED, Reaction, Reactions
from penstock.daemon.told import engine_did
from penstock.daemon.workers import Worker, ask_those_there
from penstock.events.journal import Recorder
from penstock.events.metrics import Registry
from penstock.mail.verdict import Category
from penstock.policy.limits import AdaptiveMode, Limits
from penstock.policy.models import CONNECTIONS_MAX
from penstock.policy.policies import Policies
from penstock.schedule import adaptive
from penstock.schedule.adaptive import AdaptiveConfig, AdaptiveState, Tally
from penstock.schedule.pace import Pace
from penstock.schedule.strictest import strictest
from penstock.whole_file import read_whole, write_whole

log = structlog.get_logger("penstock.pacing")
STEPS_MAX = 500  # at once: a step takes 50 microseconds, and the governor waits meanwhile
SAVE_S = 10.0
FIRED_MAX = 1000  # of one pair between two steps
FULL_S = 10.0  # all pairs are in use: looked at again so much later
IDLE_S = 600.0  # a pair that is not heard of for so long takes no steps
_RATE_MAX_PER_S = 1e6
_FILE, _VERSION = "pacing.json", 1
_NUMBERS = tuple(name for name in Tally.__dataclass_fields__ if name != "busy")

Pair = tuple[str, str]
Order = Callable[[dict[str, Any]], Any]


class Owner(Protocol):
    """What is needed of the supervisor; a reload replaces its policies."""

    policies: Policies

    @property
    def events(self) -> Recorder: ...

    @property
    def children(self) -> Sequence[Worker]: ...


class Pacing:
    """One for the whole daemon. ``suspend(params)`` orders a suspension as an operator would;
    ``pairs_max`` pairs are kept."""

    def __init__(
        self,
        owner: Owner,
        directory: str,
        registry: Registry,
        suspend: Order,
        now: Callable[[], float] = time.time,
        pairs_max: int = 5000,
    ) -> None:
        self._owner, self._suspend, self._now = owner, suspend, now
        self._pairs_max = pairs_max
        self._path = os.path.join(directory, _FILE)
        self._states: OrderedDict[Pair, AdaptiveState] = OrderedDict()
        self._heard: dict[Pair, dict[str, Any]] = {}
        self._seen: dict[Pair, float] = {}
        self._table: dict[Pair, tuple[AdaptiveMode, Pace]] = {}
        self._reactions = Reactions()
        self._policies = owner.policies
        self._tasks: set[asyncio.Task[Any]] = set()
        self._saved_at, self._changed = 0.0, False
        self._turn, self._full_until = 0, 0.0
        self._disk = threading.Lock()
        self._saves = self._written = 0
        self._rate = registry.gauge("penstock_pace_rate")
        self._connections = registry.gauge("penstock_pace_connections")
        self._suspended = registry.gauge("penstock_pace_suspended")
        self._pairs = registry.gauge("penstock_pace_pairs")
        self._actions = registry.counter("penstock_reply_actions_total")
        self.load()

    # what the workers say

    def take(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """What one worker tallied since it last said something."""
        now = self._now()
        for row in rows:
            pair = str(row["source"]), str(row["provider"])
            if pair not in self._seen and len(self._seen) >= self._pairs_max and not self._room():
                continue
            self._seen[pair] = now
            heard = self._heard.setdefault(pair, {"busy": False, "fired": []})
            for name in _NUMBERS:
                heard[name] = heard.get(name, 0) + int(row.get(name, 0))
            heard["busy"] = heard["busy"] or bool(row["busy"])
            if len(heard["fired"]) < FIRED_MAX:
                heard["fired"] += row.get("fired", ())

    def _room(self) -> bool:
        """Forget the pair that was heard of longest ago, unless all are in use."""
        now = self._now()
        if now < self._full_until:
            return False
        pair = min(self._seen, key=self._seen.__getitem__)
        if self._seen[pair] > now - IDLE_S:
            self._full_until = now + FULL_S
            return False
        for table in (self._seen, self._states, self._heard):
            table.pop(pair, None)
        return True

    # every second

    def tick(self) -> None:
        """One step of every pair that was heard of lately; tells the workers what changed."""
        now = self._now()
        if self._policies is not self._owner.policies:
            self._policies = self._owner.policies
            self._reactions.keep_rules(self._policies.replies.by_name)
        self._reactions.forget(now)
        orders = self._reactions.paces(now)
        changed = []
        for pair in self._next():
            before, heard = self._table.get(pair), self._heard.pop(pair, None)
            if heard is None and before is None and self._seen[pair] < now - IDLE_S:
                continue
            mode, pace = self._step(pair, heard, orders.get(pair, []), now)
            if self._tells(pair, before, mode, pace):
                changed.append(_row(pair, mode, pace))
        for pair in [pair for pair in self._table if pair not in self._seen]:
            self._tells(pair, self._table[pair], "off", Pace())
            changed.append(_row(pair, "off", Pace()))
        self._pairs.set(len(self._states))
        if changed:
            self._changed = True
            self._tell(self._owner.children, changed)
        blocked = any(row["pace"]["not_before"] > now for row in changed)
        if blocked or (self._changed and now >= self._saved_at + SAVE_S):
            self._save_aside(now)

    def _next(self) -> list[Pair]:
        """Those whose turn it is; what others are heard of is kept for theirs."""
        pairs = [*self._seen]
        if len(pairs) <= STEPS_MAX:
            return pairs
        first = self._turn % len(pairs)
        self._turn = first + STEPS_MAX
        return [*pairs[first:], *pairs[:first]][:STEPS_MAX]

    def _step(
        self, pair: Pair, heard: dict[str, Any] | None, orders: list[Pace], now: float
    ) -> tuple[AdaptiveMode, Pace]:
        source, provider = pair
        limits = self._policies.limits(provider, "", "", source)
        mode = limits.adaptive
        if mode == "off":
            self._states.pop(pair, None)
            return mode, Pace()
        config = adaptive_config(limits)
        state = self._states.get(pair, AdaptiveState())
        if heard is not None or self._seen[pair] > now - IDLE_S:
            counts = {name: heard[name] for name in _NUMBERS} if heard else {}
            tally = Tally(**counts, busy=bool(heard and heard["busy"]))
            was = adaptive.pace(config, state, now).not_before
            state = adaptive.step(config, state, tally, now)
            self._states[pair] = state
            found = adaptive.pace(config, state, now)
            if mode == "on" and found.not_before > now and found.not_before != was:
                self._did("pace", "suspend", pair, reason=found.reason, until=found.not_before)
            for rule, about, n in heard["fired"] if heard else ():
                orders = [*orders, *self._react(pair, mode, rule, about, n, tally.in_use, now)]
        return mode, strictest([adaptive.pace(config, state, now), *orders])

    def _tells(
        self, pair: Pair, before: tuple[AdaptiveMode, Pace] | None, mode: AdaptiveMode, pace: Pace
    ) -> bool:
        """Whether the workers must hear of it; keeps what they were told."""
        pace = _rounded(pace)
        if before == (mode, pace) or (before is None and mode == "off"):
            return False
        if mode == "off":
            del self._table[pair]
        else:
            self._table[pair] = mode, pace
        self._shown(pair, mode, pace)
        if before is None or before[0] != mode or before[1].reason != pace.reason:
            said = _row(pair, mode, pace)["pace"]
            log.info("pace", source=pair[0], provider=pair[1], mode=mode, **said)
        return True

    def _shown(self, pair: Pair, mode: AdaptiveMode, pace: Pace) -> None:
        infinite = float("inf")
        off = mode == "off"
        rate, connections = pace.rate_per_s, pace.connections
        self._rate.set(infinite if off or rate is None else rate, pair)
        self._connections.set(infinite if off or connections is None else connections, pair)
        self._suspended.set(0 if off else pace.not_before > self._now(), pair)

    # what rules order

    def _react(
        self,
        pair: Pair,
        mode: AdaptiveMode,
        name: str,
        about: str,
        n: int,
        in_use: int,
        now: float,
    ) -> list[Pace]:
        rule = self._policies.replies.by_name.get(name)
        if rule is None or rule.action not in WANTED:
            return []
        if rule.action == "fewer-connections" and rule.category is Category.THROTTLED:
            return []  # the tally said so to the controller, which finds how many
        if rule.action.startswith("suspend-") and not about.partition("/")[0]:
            return []  # mail of no tenant
        if not self._reactions.heard(rule, pair, about, n, now):
            return []
        reaction = self._reactions.fire(rule, pair, about, in_use, now)
        self._changed = True
        self._actions.inc((reaction.action,))
        log.info(
            "reply rule",
            rule=reaction.rule,
            action=reaction.action if mode == "on" else f"{reaction.action}, only observed",
            source=pair[0],
            provider=pair[1],
            about=about,
            until=reaction.until,
        )
        if mode == "on":
            where, until = reaction.where, reaction.until
            self._did(reaction.rule, reaction.action, pair, about=about, where=where, until=until)
        if reaction.action not in ON_MAIL:
            return [reaction.pace()]
        if mode == "on":
            self._spawn(self._order(reaction, now))
        return []

    def _did(self, rule: str, action: str, pair: Pair, **more: Any) -> None:
        engine_did(self._owner.events, rule, action, source=pair[0], provider=pair[1], **more)

    async def _order(self, reaction: Reaction, now: float) -> None:
        params = {
            "selector": reaction.selector(),
            "duration_s": reaction.until - now,
            "who": reaction.where,
            "reason": f"rule {reaction.rule}: {reaction.action}",
        }
        try:
            await self._suspend(params)
        except (ControlError, OSError) as error:
            log.error("a reply rule cannot suspend", rule=reaction.rule, reason=str(error))

    # what the workers hear

    def rows(self) -> list[dict[str, Any]]:
        """All of the table."""
        return [_row(pair, mode, pace) for pair, (mode, pace) in self._table.items()]

    def greet(self, worker: Worker) -> None:
        """It serves from now on, and may have missed what changed since it was greeted."""
        self._tell([worker], self.rows())

    def _tell(self, workers: Sequence[Worker], rows: list[dict[str, Any]]) -> None:
        self._spawn(ask_those_there(workers, "pacing.paces", {"rows": rows}))

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("the pace cannot be told or kept", reason=str(task.exception()))

    # what is kept

    def load(self) -> None:
        """What the last daemon knew."""
        try:
            found = read_whole(self._path)
            if found is None:
                return
            if found["version"] != _VERSION:
                raise ValueError(f"version {found['version']!r}, this is {_VERSION}")
            for row in found["pairs"][: self._pairs_max]:
                pair = str(row["source"]), str(row["provider"])
                self._states[pair] = AdaptiveState.from_dict(row["state"])
                self._seen[pair] = float(row["seen"])
            self._reactions.load(found["reactions"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.error("what was learned of paces is lost", file=self._path, reason=str(error))
            return
        now = self._now()
        orders = self._reactions.paces(now)
        for pair in self._states:
            mode, pace = self._step(pair, None, orders.get(pair, []), now)
            if mode != "off":
                self._table[pair] = mode, _rounded(pace)
                self._shown(pair, mode, self._table[pair][1])

    def save(self) -> None:
        """Write it down now."""
        try:
            self._write(*self._taken(self._now()))
        except OSError as error:
            log.error("the pace cannot be told or kept", reason=str(error))

    def _save_aside(self, now: float) -> None:
        """Written by a thread: the governor's answers must not wait for the disk."""
        self._spawn(asyncio.to_thread(self._write, *self._taken(now)))

    def _taken(self, now: float) -> tuple[int, dict[str, Any]]:
        self._saved_at, self._changed = now, False
        self._saves += 1
        return self._saves, self._kept()

    def _write(self, number: int, kept: dict[str, Any]) -> None:
        """One at a time, and nothing over what is newer."""
        with self._disk:
            if number > self._written:
                write_whole(self._path, kept)
                self._written = number

    def _kept(self) -> dict[str, Any]:
        pairs = [
            {"source": s, "provider": p, "seen": self._seen.get((s, p), 0.0), "state": st.to_dict()}
            for (s, p), st in self._states.items()
        ]
        return {"version": _VERSION, "pairs": pairs, "reactions": self._reactions.to_list()}


def adaptive_config(limits: Limits) -> AdaptiveConfig:
    """The controller's bounds from the policies: it never goes above the limits that hold."""
    rates = (limits.adaptive_ceiling, limits.provider_message_rate)
    most = min((one.per_s for one in rates if one is not None), default=_RATE_MAX_PER_S)
    seats = limits.provider_connections or CONNECTIONS_MAX
    return AdaptiveConfig(
        rate_min_per_s=min(limits.adaptive_floor.per_s, most),
        rate_max_per_s=most,
        rate_start_per_s=min(limits.adaptive_start.per_s, most),
        connections_max=seats,
        connections_start=min(limits.connections, seats),
    )


def _rounded(pace: Pace) -> Pace:
    """To three digits: what is nearer is no news."""
    rate = pace.rate_per_s
    rate = None if rate is None else float(f"{rate:.3g}")
    return Pace(rate, pace.connections, float(round(pace.not_before)), pace.reason)


def _row(pair: Pair, mode: AdaptiveMode, pace: Pace) -> dict[str, Any]:
    rate, connections = pace.rate_per_s, pace.connections
    return {
        "source": pair[0],
        "provider": pair[1],
        "mode": mode,
        "pace": {
            "rate_per_s": None if rate is None else float(f"{rate:.3g}"),
            "connections": connections,
            "not_before": float(round(pace.not_before)),
            "reason": pace.reason,
        },
    }
