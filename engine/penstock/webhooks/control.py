"""What an operator asks of the webhooks: the answers to ``penstock webhooks``.

``handle`` takes ``webhooks.list``, ``webhooks.test``, ``webhooks.enable`` and ``webhooks.replay``;
the process that runs the room mounts it on its control channel.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from penstock.control import ControlError
from penstock.events.records import Admin
from penstock.webhooks.consumer import moment
from penstock.webhooks.line import Line
from penstock.webhooks.post import Answer
from penstock.webhooks.service import Webhooks

METHODS = frozenset({"webhooks.list", "webhooks.test", "webhooks.enable", "webhooks.replay"})


class WebhooksControl:
    """``now`` is the time of day."""

    def __init__(self, webhooks: Webhooks, now: Callable[[], float]) -> None:
        self._webhooks = webhooks
        self._now = now

    async def handle(self, method: str, params: Mapping[str, Any] | None) -> dict[str, Any]:
        """Raises :class:`ControlError` with ``unknown-method``, ``not-found`` or
        ``bad-request``."""
        params = params or {}
        match method:
            case "webhooks.list":
                await self._webhooks.measure()
                return {"endpoints": [self._row(n) for n in self._webhooks.queues.lines]}
            case "webhooks.test":
                return await self._test(self._line(params), str(params.get("who", "")))
            case "webhooks.enable":
                return await self._enable(self._line(params))
            case "webhooks.replay":
                return await self._replay(self._line(params), params.get("since_s"))
        raise ControlError("unknown-method", f"no such method: {method}")

    def _line(self, params: Mapping[str, Any]) -> Line:
        name = str(params.get("name", ""))
        line = self._webhooks.queues.lines.get(name)
        if line is None:
            known = ", ".join(sorted(self._webhooks.queues.lines)) or "none"
            raise ControlError("not-found", f"no webhook is named {name!r}; there are: {known}")
        return line

    def _row(self, name: str) -> dict[str, Any]:
        line = self._webhooks.queues.lines[name]
        courier = self._webhooks.couriers[name]
        standing = self._webhooks.standing(name)
        return {
            "name": name,
            "url": line.endpoint.url,
            "tenant": line.endpoint.tenant,
            "events": sorted(line.endpoint.types),
            "state": _state(line, courier.failures),
            "disabled_at": moment(line.disabled_s) if line.disabled_s else "",
            "disabled_why": line.disabled_why,
            "waiting": standing.events,
            "queue_bytes": standing.queue_bytes,
            "behind": standing.behind,
            "lag_s": round(standing.lag_s, 3),
            "failures": courier.failures,
            "next_try_at": moment(courier.pause_until_s) if courier.failures else "",
            "last": _answer(courier.last) if courier.last else None,
            "last_at": moment(courier.last_s) if courier.last else "",
            "dead": line.dead,
            "missed": line.missed,
        }

    async def _test(self, line: Line, who: str) -> dict[str, Any]:
        """Send one event made for this, past the queue."""
        event = Admin(
            id=f"test-{secrets.token_hex(8)}",
            at=moment(self._now()),
            action="webhooks test",
            who=who,
            tenant="" if line.endpoint.tenant == "*" else line.endpoint.tenant,
        )
        body = b"[%s]" % msgspec.json.encode(event)
        poster = self._webhooks.posters[line.endpoint.name]
        answer = await poster.post(f"msg_{secrets.token_hex(16)}", body)
        return {"name": line.endpoint.name, "event": event.id, **_answer(answer)}

    async def _enable(self, line: Line) -> dict[str, Any]:
        was = bool(line.disabled_s)
        await asyncio.to_thread(self._enable_in_thread, line)
        courier = self._webhooks.couriers[line.endpoint.name]
        courier.failures, courier.pause_until_s = 0, 0.0
        self._webhooks.wake([line.endpoint.name])
        return {"name": line.endpoint.name, "was_disabled": was}

    def _enable_in_thread(self, line: Line) -> None:
        with self._webhooks.queues.lock:
            line.enable()
            self._webhooks.queues.keep(line)

    async def _replay(self, line: Line, since_s: object) -> dict[str, Any]:
        if isinstance(since_s, bool) or not isinstance(since_s, int | float):
            raise ControlError("bad-request", "since_s: expected seconds since 1970")
        if not 0 <= since_s <= self._now():
            raise ControlError("bad-request", "since_s: expected a time that has been")
        await self._webhooks.replay(line, since_s)
        return {
            "name": line.endpoint.name,
            "since": moment(since_s),
            "disabled": bool(line.disabled_s),
        }


def _state(line: Line, failures: int) -> str:
    if line.disabled_s:
        return "disabled"
    if failures:
        return "failing"
    return "behind" if line.backlog is not None else "ok"


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "result": answer.kind,
        "status": answer.status,
        "reply": answer.text,
        "duration_s": round(answer.duration_s, 3),
    }
