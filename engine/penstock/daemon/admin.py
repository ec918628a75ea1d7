"""Answers to the control socket: one voice for all workers."""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import structlog

from penstock import __version__
from penstock.control import ControlError
from penstock.daemon.api_keys import ApiKeys
from penstock.daemon.bounces import Bounces
from penstock.daemon.cancel import Cancel
from penstock.daemon.explain import Explain
from penstock.daemon.operations import OPERATIONS_MAX, VERBS
from penstock.daemon.selector import check_names, parse_selector
from penstock.daemon.steer import Steer
from penstock.daemon.tls import Tls
from penstock.daemon.told import operator_did
from penstock.daemon.top import Top
from penstock.daemon.warmup_orders import WarmupOrders
from penstock.daemon.workers import ask_all, ask_those_there
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
ROWS_MAX = 10_000
_LIST_S, _IMPORT_S = 60.0, 3600.0  # of the suppression list
SEND_S = 600.0
_WHILE_UPGRADING = {"status", "metrics", "upgrade", "stats", "guards", "keys.list"}


class Admin:
    """The methods that the command line calls; the names are the method names on the wire."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.steer = Steer(supervisor)
        self._methods: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {
            "status": self.status,
            "metrics": self.metrics,
            "reload": self.reload,
            "upgrade": self.upgrade,
            "queue.list": self.queue_list,
            "queue.show": self.queue_show,
            "queue.operations": self.steer.listed,
            "queue.resume": self.steer.resume,
            "queue.cancel": self.steer.cancel,
            "queue.retry": self.steer.retry,
            "message.cancel": Cancel(supervisor).cancel,
            "explain": Explain(supervisor, supervisor.collecting.trips_of).explain,
            "stats": functools.partial(supervisor.collecting.call, "stats"),
            "guards": functools.partial(supervisor.collecting.call, "guards"),
            "tls.report": functools.partial(supervisor.collecting.call, "tls.report"),
            "tls.send": functools.partial(supervisor.collecting.call, "tls.send", timeout_s=SEND_S),
            "bounces.unmatched": Bounces(supervisor).unmatched,
            "tls.show": Tls(supervisor.children).show,
            "top": Top(supervisor.children, self.steer).top,
        }
        warmup = WarmupOrders(
            supervisor.warmups, lambda: supervisor.policies, time.time, supervisor.events
        )
        for name in ("show", "start", "hold", "resume", "set", "complained"):
            self._methods[f"warmup.{name}"] = getattr(warmup, name)
        for name in ("list", "test", "enable", "replay"):
            method = f"webhooks.{name}"
            self._methods[method] = functools.partial(supervisor.collecting.call, method)
        for name in ("list", "lookup", "statistics", "add", "remove", "import"):
            method, timeout_s = f"suppression.{name}", _IMPORT_S if name == "import" else _LIST_S
            self._methods[method] = functools.partial(
                supervisor.collecting.call, method, timeout_s=timeout_s
            )
        keys = ApiKeys(
            supervisor.settings.spool,
            supervisor.events,
            functools.partial(ask_those_there, supervisor.children, "keys.changed", {}),
        )
        for name in ("create", "list", "revoke"):
            self._methods[f"keys.{name}"] = getattr(keys, name)
        for verb in VERBS:
            self._methods[f"queue.{verb}"] = functools.partial(self.steer.begin, verb)

    @property
    def methods(self) -> frozenset[str]:
        return frozenset(self._methods)

    def handle(self, method: str, params: Any) -> Awaitable[Any]:
        found = self._methods.get(method)
        if found is None:
            raise ControlError("unknown-method", f"no method {method!r}")
        if self._supervisor.upgrading and method not in _WHILE_UPGRADING:
            raise ControlError("unavailable", "an upgrade is under way; try again when it is done")
        return found(params or {})

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
            "collector": await supervisor.collecting.state(),
            "governor": supervisor.governor.stats(),
            "operations": self.steer.rules(),
            "operations_max": OPERATIONS_MAX,
        }

    async def metrics(self, params: dict[str, Any]) -> Any:
        return await self._supervisor.collect()

    async def queue_list(self, params: dict[str, Any]) -> dict[str, Any]:
        limit = min(int(params.get("limit") or 50), ROWS_MAX)
        selector = parse_selector(params, required=False)
        check_names(selector, self._supervisor.policies)
        answers = await ask_all(
            self._supervisor.children, "queue.list", {"selector": selector, "limit": limit}, 60.0
        )
        rows = [row for answer in answers for row in answer["rows"]]
        rows.sort(key=lambda row: row["due"])
        return {"rows": rows[:limit], "total": sum(answer["total"] for answer in answers)}

    async def queue_show(self, params: dict[str, Any]) -> Any:
        text = str(params.get("id", ""))
        try:
            number = id_number(text)
        except ValueError as error:
            raise ControlError("bad-id", str(error)) from None
        for answer in await ask_all(self._supervisor.children, "queue.show", {"ref": number}):
            if answer is not None:
                return answer
        raise ControlError(
            "not-found",
            f"no message {text} in the queue: it was delivered, bounced, or never accepted here",
        )

    async def upgrade(self, params: dict[str, Any]) -> dict[str, Any]:
        return await self._supervisor.upgrade()

    async def reload(self, params: dict[str, Any]) -> dict[str, Any]:
        """Validate everything first; on any problem nothing changes."""
        supervisor = self._supervisor
        problems = check(supervisor.config_path)
        settings = load_settings(supervisor.config_path)
        if isinstance(settings, list) or not all(one.warning for one in problems):
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
        await ask_all(supervisor.children, "reload", {})
        await supervisor.collecting.reload()
        supervisor.settings, supervisor.policies = settings, policies
        log.info("reloaded", changes=len(changes))
        operator_did(supervisor.events, "reload", reason=f"{len(changes)} policy changes")
        return {"changes": [str(change) for change in changes], "warnings": [*map(str, problems)]}


async def _stats(child: Child) -> dict[str, Any] | None:
    """``None`` for a worker that is not there, or goes while it is asked."""
    try:
        found: dict[str, Any] = await child.call("stats")
    except (ConnectionError, ControlError):
        return None
    return found


def _problems(problems: list[Problem]) -> str:
    return "\n".join(str(problem) for problem in problems)
