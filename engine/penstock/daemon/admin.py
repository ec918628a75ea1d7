"""Answers to the control socket: one voice for all workers."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import structlog

from penstock import __version__
from penstock.control import ControlError
from penstock.daemon.suspensions import Suspension
from penstock.mail.envelope import id_number
from penstock.policy.difference import difference
from penstock.settings.check import check
from penstock.settings.loader import load_policy_directory, load_settings
from penstock.settings.problems import Problem
from penstock.settings.restart import restart_needed

if TYPE_CHECKING:
    from penstock.daemon.children import Child
    from penstock.daemon.supervisor import Supervisor

log = structlog.get_logger("penstock.admin")
SELECTOR_FIELDS = ("domain", "provider", "tenant", "campaign")
ROWS_MAX = 10_000
_WHILE_UPGRADING = {"status", "metrics", "upgrade"}


class Admin:
    """The methods that the command line calls; the names are the method names on the wire."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._methods: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {
            "status": self.status,
            "metrics": self.metrics,
            "reload": self.reload,
            "upgrade": self.upgrade,
            "queue.list": self.queue_list,
            "queue.show": self.queue_show,
            "queue.suspend": self.queue_suspend,
            "queue.resume": self.queue_resume,
            "queue.retry": self._steer("retry"),
            "queue.bounce": self._steer("bounce"),
        }

    def handle(self, method: str, params: Any) -> Awaitable[Any]:
        found = self._methods.get(method)
        if found is None:
            raise ControlError("unknown-method", f"no method {method!r}")
        if self._supervisor.upgrading and method not in _WHILE_UPGRADING:
            raise ControlError("unavailable", "an upgrade is under way; try again when it is done")
        return found(params or {})

    async def _all(self, method: str, params: Any, timeout_s: float = 30.0) -> list[Any]:
        """The answers of all workers; a worker that is down makes the whole call fail."""
        try:
            return list(
                await asyncio.gather(
                    *(child.call(method, params, timeout_s) for child in self._supervisor.children)
                )
            )
        except ConnectionError as error:
            raise ControlError("unavailable", str(error)) from None

    # seeing

    async def status(self, params: dict[str, Any]) -> dict[str, Any]:
        supervisor = self._supervisor
        ready, reasons = await supervisor.readiness()
        stats = await asyncio.gather(*map(_stats, supervisor.children))
        return {
            "version": __version__,
            "pid": os.getpid(),
            "uptime_s": time.time() - supervisor.started,
            "delivery": supervisor.settings.delivery,
            "ready": ready,
            "reasons": reasons,
            "workers": [
                {
                    "number": c.number,
                    "pid": c.pid,
                    "away_s": c.away_s,
                    "shards": supervisor.shards[c.number],
                    **(s or {}),
                }
                for c, s in zip(supervisor.children, stats, strict=True)
            ],
            "governor": supervisor.governor.stats(),
            "suspensions": [
                {
                    "id": s.id,
                    "selector": s.selector,
                    "until": s.until,
                    "who": s.who,
                    "reason": s.reason,
                }
                for s in supervisor.suspensions.active(time.time())
            ],
        }

    async def metrics(self, params: dict[str, Any]) -> Any:
        return await self._supervisor.collect()

    async def queue_list(self, params: dict[str, Any]) -> dict[str, Any]:
        limit = min(int(params.get("limit") or 50), ROWS_MAX)
        selector = _selector(params, required=False)
        answers = await self._all("queue.list", {"selector": selector, "limit": limit}, 60.0)
        rows = [row for answer in answers for row in answer["rows"]]
        rows.sort(key=lambda row: row["due"])
        return {"rows": rows[:limit], "total": sum(answer["total"] for answer in answers)}

    async def queue_show(self, params: dict[str, Any]) -> Any:
        text = str(params.get("id", ""))
        try:
            number = id_number(text)
        except ValueError as error:
            raise ControlError("bad-id", str(error)) from None
        for answer in await self._all("queue.show", {"ref": number}):
            if answer is not None:
                return answer
        raise ControlError(
            "not-found",
            f"no message {text} in the queue: it was delivered, bounced, or never accepted here",
        )

    # steering

    async def queue_suspend(self, params: dict[str, Any]) -> dict[str, int]:
        selector = _selector(params)
        now = time.time()
        seconds = float(params.get("duration_s") or 0)
        suspension = Suspension(
            f"s{int(now * 1000):x}",
            selector,
            now,
            now + seconds if seconds else 0.0,
            str(params.get("who", "")),
            str(params.get("reason", "")),
        )
        try:
            self._supervisor.suspensions.add(suspension, now)
        except ValueError as error:
            raise ControlError("too-many", str(error)) from None
        log.info(
            "queue suspended",
            **selector,
            until=suspension.until,
            who=suspension.who,
            reason=suspension.reason,
        )
        return await self._tell_suspensions(selector)

    async def queue_resume(self, params: dict[str, Any]) -> dict[str, int]:
        selector = _selector(params, required=False)
        gone = self._supervisor.suspensions.remove(selector)
        if not gone:
            raise ControlError("not-found", "nothing is suspended by exactly this selector")
        log.info("queue resumed", **selector, who=str(params.get("who", "")))
        return await self._tell_suspensions(selector)

    async def _tell_suspensions(self, selector: dict[str, str]) -> dict[str, int]:
        active = {s.id: s.selector for s in self._supervisor.suspensions.active(time.time())}
        answers = await self._all("queue.suspensions", {"active": active, "selector": selector})
        return _sum(answers)

    async def end_suspensions(self) -> None:
        """Tell the workers when one has run out; called every second."""
        suspensions, now = self._supervisor.suspensions, time.time()
        for one in suspensions.expired(now):
            suspensions.drop([one.id])
            log.info("suspension ended", **one.selector)
            await self._tell_suspensions(one.selector)

    def _steer(self, verb: str) -> Callable[[dict[str, Any]], Awaitable[dict[str, int]]]:
        async def steer(params: dict[str, Any]) -> dict[str, int]:
            selector = _selector(params)
            who, reason = str(params.get("who", "")), str(params.get("reason", ""))
            log.info(f"queue {verb}", **selector, who=who, reason=reason)
            asked = {"selector": selector, "reason": reason}
            return _sum(await self._all(f"queue.{verb}", asked, 300.0))

        return steer

    async def upgrade(self, params: dict[str, Any]) -> dict[str, Any]:
        return await self._supervisor.upgrade()

    async def reload(self, params: dict[str, Any]) -> dict[str, Any]:
        """Validate everything first; on any problem nothing changes."""
        supervisor = self._supervisor
        problems = check(supervisor.config_path)
        settings = load_settings(supervisor.config_path)
        if problems or isinstance(settings, list):
            raise ControlError("invalid", _problems(problems))
        policies = load_policy_directory(settings.policies)
        if isinstance(policies, list):
            raise ControlError("invalid", _problems(policies))
        fixed = restart_needed(supervisor.settings, settings)
        if fixed:
            raise ControlError(
                "restart-needed",
                f"nothing was changed: {', '.join(fixed)} can only change with a restart",
            )
        starting = [str(child.number) for child in supervisor.children if not child.ready]
        if starting:  # all or none: one that comes up now would have read the new files alone
            raise ControlError(
                "unavailable", f"worker {', '.join(starting)} is starting; try again"
            )
        changes = difference(supervisor.policies, policies)
        await self._all("reload", {})
        supervisor.settings, supervisor.policies = settings, policies
        log.info("reloaded", changes=len(changes))
        return {"changes": [str(change) for change in changes]}


async def _stats(child: Child) -> dict[str, Any] | None:
    """``None`` for a worker that is not there, or goes while it is asked."""
    try:
        found: dict[str, Any] = await child.call("stats")
    except (ConnectionError, ControlError):
        return None
    return found


def _selector(params: dict[str, Any], required: bool = True) -> dict[str, str]:
    selector = {str(k): str(v) for k, v in (params.get("selector") or {}).items()}
    unknown = sorted(set(selector) - set(SELECTOR_FIELDS))
    if unknown:
        raise ControlError(
            "bad-selector", f"unknown field {unknown[0]!r}; there are {', '.join(SELECTOR_FIELDS)}"
        )
    if required and not selector:
        raise ControlError("bad-selector", "say which mail: domain, provider, tenant or campaign")
    return selector


def _sum(answers: list[dict[str, int]]) -> dict[str, int]:
    return {
        "keys": sum(answer["keys"] for answer in answers),
        "messages": sum(answer["messages"] for answer in answers),
    }


def _problems(problems: list[Problem]) -> str:
    return "\n".join(str(problem) for problem in problems)
