"""Operations by selector: begun, told to the workers, listed, ended, each a line in the log.

An operation is written down first and told to the workers then; one that is away or starts at that
moment is told when it comes. So what an operator was told has begun holds for all mail, and goes
on to hold after a crash of anything. What a worker is told is always everything that is active,
never a difference.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Any, Protocol

import structlog

from penstock.control import ControlError
from penstock.daemon.operations import OPERATIONS_MAX, VERBS, Operation, Operations
from penstock.daemon.selector import check_name, check_names, parse_selector
from penstock.daemon.told import operator_did
from penstock.daemon.workers import Worker, ask_all, ask_those_there
from penstock.events.journal import Recorder
from penstock.policy.policies import Policies

log = structlog.get_logger("penstock.admin")
DURATION_S_MAX = 10 * 365 * 86_400.0
TEXT_CHARS_MAX = 500
_COUNT_TIMEOUT_S = 120.0
_RETRY_TIMEOUT_S = 300.0


class Owner(Protocol):
    """What is needed of the supervisor; a reload replaces its policies."""

    operations: Operations
    policies: Policies

    @property
    def events(self) -> Recorder: ...

    @property
    def children(self) -> Sequence[Worker]: ...


class Steer:
    """The ``queue.*`` methods that change something; one for the whole daemon."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._tasks: set[asyncio.Task[Any]] = set()
        self._looking: asyncio.Task[None] | None = None

    @property
    def _operations(self) -> Operations:
        return self._owner.operations

    # what the command line asks

    async def begin(
        self, verb: str, params: dict[str, Any], *, by_itself: bool = False
    ) -> dict[str, Any]:
        """Suspend, bounce, reroute or expire: ``{"id", "keys", "messages", "away"}``.
        ``by_itself``: no operator asked for it, and what did has told of it."""
        if verb not in VERBS:
            raise ControlError("unknown-method", f"no operation {verb!r}")
        selector = parse_selector(params)
        check_names(selector, self._owner.policies)
        now = time.time()
        seconds = _duration(params)
        args = self._args(verb, params, now, lasting=seconds > 0)
        until = now + seconds if seconds else 0.0
        who, reason = _said(params)
        try:
            operation = self._operations.begin(
                verb, selector, now, until=until, who=who, reason=reason, args=args
            )
        except ValueError as error:
            raise ControlError("too-many", str(error)) from None
        if not by_itself:
            self._event("", operation, who=who, reason=reason)
        answer = await self._tell(selector)
        _log("begun", operation, **_counted(answer))
        return {"id": operation.id, **answer}

    async def resume(self, params: dict[str, Any]) -> dict[str, Any]:
        """Cancel the suspensions with exactly this selector."""
        selector = parse_selector(params, required=False)
        gone = self._operations.exactly("suspend", selector)
        if not gone:
            raise ControlError("not-found", "nothing is suspended by exactly this selector")
        return await self._cancel(gone, selector, params)

    async def cancel(self, params: dict[str, Any]) -> dict[str, Any]:
        number = str(params.get("id", ""))
        operation = self._operations.find(number)
        if operation is None:
            raise ControlError("not-found", f"no operation {number!r}: it has ended, or never was")
        return await self._cancel([operation], operation.selector, params)

    async def retry(self, params: dict[str, Any]) -> dict[str, Any]:
        """Once, now: nothing is kept of it."""
        selector = parse_selector(params)
        check_names(selector, self._owner.policies)
        asked = {"selector": selector}
        answers = await ask_all(self._owner.children, "queue.retry", asked, _RETRY_TIMEOUT_S)
        who, reason = _said(params)
        answer = {**_sum(answers), "away": []}
        operator_did(self._owner.events, "queue.retry", selector, who=who, reason=reason)
        log.info("queue retry", **selector, who=who, reason=reason, messages=answer["messages"])
        return answer

    async def listed(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"operations": self.rules(), "max": OPERATIONS_MAX}

    # what the workers hear

    def rules(self) -> list[dict[str, Any]]:
        """All that is active, as plain values."""
        return [_plain(one) for one in self._operations.active(time.time())]

    def greet(self, worker: Worker) -> None:
        """It serves from now on, and may have missed what changed since it was greeted."""
        asked = {"rules": self.rules(), "counted": {}}
        task = asyncio.ensure_future(ask_those_there([worker], "queue.rules", asked))
        self._tasks.add(task)
        task.add_done_callback(self._greeted)

    def _greeted(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a worker does not take the operations", reason=str(task.exception()))

    async def _tell(self, counted: dict[str, str]) -> dict[str, Any]:
        asked = {"rules": self.rules(), "counted": counted}
        found, away = await ask_those_there(
            self._owner.children, "queue.rules", asked, _COUNT_TIMEOUT_S
        )
        return {**_sum(list(found.values())), "away": away}

    # what ends by itself

    def tick(self) -> None:
        """Every second. Never waits: a worker that does not answer holds up nothing else."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self.look())

    async def look(self) -> None:
        """End what has run out or is done. What goes wrong is logged."""
        try:
            await self._end(self._operations.expired(time.time()), "ended")
            await self._end(await self._finished(), "done")
        except (ControlError, OSError) as error:
            log.error("an operation cannot be ended", reason=str(error))

    async def _end(self, over: list[Operation], what: str) -> None:
        if not over:
            return
        self._operations.drop(one.id for one in over)
        for one in over:
            _log(what, one)
            self._event(f".{what}", one)
        await self._tell({})

    async def _finished(self) -> list[Operation]:
        """Those about the mail of one moment of which every worker says that nothing is left."""
        asked = [one for one in self._operations.active(time.time()) if one.ends_by_itself]
        if not asked:
            return []
        found, away = await ask_those_there(self._owner.children, "queue.rules_left", {})
        if away:
            return []
        return [one for one in asked if all(left.get(one.id) == 0 for left in found.values())]

    async def _cancel(
        self, gone: list[Operation], counted: dict[str, str], params: dict[str, Any]
    ) -> dict[str, Any]:
        self._operations.drop(one.id for one in gone)
        answer = await self._tell(counted)
        who, reason = _said(params)
        for one in gone:
            _log("cancelled", one, cancelled_by=who)
            self._event(".cancelled", one, who=who, reason=reason)
        return {"ids": [one.id for one in gone], **answer}

    def _event(self, what: str, operation: Operation, *, who: str = "", reason: str = "") -> None:
        operator_did(
            self._owner.events,
            f"queue.{operation.verb}{what}",
            operation.selector,
            who=who,
            reason=reason,
            operation=operation.id,
        )

    def _args(
        self, verb: str, params: dict[str, Any], now: float, *, lasting: bool
    ) -> dict[str, Any]:
        """What else the workers must know. ``lasting``: it is also about mail that comes."""
        meant: dict[str, Any] = {} if lasting else {"before": now}
        match verb:
            case "bounce":
                return {"tell": bool(params.get("tell")), **meant}
            case "expire":
                at = _number(params, "expires_at")
                if at <= 0:
                    raise ControlError("bad-value", "expires_at: say when the mail expires")
                return {"expires_at": at, **meant}
            case "reroute":
                pool = str(params.get("pool", ""))
                check_name("pool", pool, self._owner.policies)
                return {"pool": pool}
        return {}


def _plain(operation: Operation) -> dict[str, Any]:
    return {name: getattr(operation, name) for name in Operation.__slots__}


def _log(what: str, operation: Operation, **more: Any) -> None:
    args = {f"to_{name}" if name == "pool" else name: v for name, v in operation.args.items()}
    args.pop("before", None)
    said = {"until": operation.until, "who": operation.who, "reason": operation.reason}
    fields = {"id": operation.id, **operation.selector, **said, **args, **more}
    log.info(f"queue {operation.verb} {what}", **fields)


def _counted(answer: dict[str, Any]) -> dict[str, Any]:
    return {"messages": answer["messages"], **({"away": answer["away"]} if answer["away"] else {})}


def _said(params: dict[str, Any]) -> tuple[str, str]:
    """Who, and why."""
    return str(params.get("who", ""))[:TEXT_CHARS_MAX], str(params.get("reason", ""))[
        :TEXT_CHARS_MAX
    ]


def _duration(params: dict[str, Any]) -> float:
    seconds = _number(params, "duration_s")
    if not 0 <= seconds <= DURATION_S_MAX:
        raise ControlError("bad-value", "a duration is between 0 and ten years")
    return seconds


def _number(params: dict[str, Any], name: str) -> float:
    try:
        number = float(params.get(name) or 0)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ControlError("bad-value", f"{name}: not a number")
    return number


def _sum(answers: list[dict[str, int]]) -> dict[str, int]:
    return {
        "keys": sum(answer["keys"] for answer in answers),
        "messages": sum(answer["messages"] for answer in answers),
    }
