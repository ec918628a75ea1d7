"""What stands before every request: who asks, how much, for how long; and behind every error.

Pure ASGI, around the whole application. The caller is known before a byte of the body is read. A
body is counted as it comes, against the listener's and the key's bound and against the memory for
all bodies that come in at once, and has to be there in time. Whatever is raised inside ends here as
a problem document, and what was no problem of the client's as a line in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.api.access import CALLER, Access, Caller
from penstock.api.body import ApiRequest
from penstock.api.forms import said
from penstock.api.measures import Measures
from penstock.api.problem import Problem, problem_of
from penstock.api.routing import DirectRoute
from penstock.control import ControlError
from penstock.policy.units import size_text

log = structlog.get_logger("penstock.api")
_BUSY_S: Final = "5"


@dataclass(frozen=True, slots=True)
class GateConfig:
    """``request_bytes_max``: of one body; ``receiving_bytes_max``: of all bodies that are held at
    once; ``request_timeout_s``: for a body to come. ``public``: paths that need no key."""

    request_bytes_max: int = 40 << 20
    receiving_bytes_max: int = 256 << 20
    request_timeout_s: float = 60.0
    public: frozenset[str] = frozenset()


class Gate:
    """An ASGI application around ``app``; ``direct``: what it answers without that."""

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        config: GateConfig,
        measures: Measures,
        direct: Mapping[tuple[str, str], DirectRoute],
    ) -> None:
        self._app, self._access, self._config = app, access, config
        self._measures, self._direct = measures, direct
        self.receiving_bytes = 0
        measures.receiving(lambda: self.receiving_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        answer = _Answer(send)
        body = _Body(self, receive, self._config)
        began = self._measures.now()
        try:
            await self._pass(scope, body, answer)
        except ClientDisconnect:
            pass
        except Exception as error:
            await self._say(error, answer, scope["path"])
        finally:
            self.receiving_bytes -= body.held
            caller: Caller | None = scope.get(CALLER)
            self._measures.answered(
                scope, answer.status, began, body.size, answer.size, caller.key if caller else ""
            )

    async def _pass(self, scope: Scope, body: _Body, answer: _Answer) -> None:
        if scope["path"] in self._config.public:
            await self._app(scope, body.receive, answer.send)
            return
        caller = await self._access.admit(scope)
        scope[CALLER] = caller
        if 0 < caller.request_bytes_max < body.bytes_max:
            body.bytes_max = caller.request_bytes_max
        known = self._direct.get((scope["method"], scope["path"]))
        if known is not None:
            scope["route"] = known.route
        for name, value in scope["headers"]:
            if name == b"content-length":
                body.announced(int(value))
                break
        if known is None:
            await self._app(scope, body.receive, answer.send)
            return
        for one in known.needs:
            one.check(scope)
        response = await known.endpoint(ApiRequest(scope, body.receive), caller)
        await response(scope, body.receive, answer.send)

    async def _say(self, error: Exception, answer: _Answer, path: str) -> None:
        problem = told(error)
        if problem is None:
            log.error("an API request failed", exc_info=error)
            problem = Problem(500, "failed", "The request failed here; the daemon's log says why.")
        if answer.status:
            raise error  # half an answer is out: the server cuts the connection
        await said(problem, path)({"type": "http"}, _never, answer.send)


class _Answer:
    """What was sent: ``status`` is 0 while nothing was."""

    __slots__ = ("_send", "complete", "size", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = self.size = 0
        self.complete = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.size += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        await self._send(message)


class _Body:
    """One request's body on its way in."""

    __slots__ = ("_config", "_deadline", "_done", "_gate", "_receive", "bytes_max", "held", "size")

    def __init__(self, gate: Gate, receive: Receive, config: GateConfig) -> None:
        self._gate, self._receive, self._config = gate, receive, config
        self._deadline = 0.0
        self._done = False
        self.bytes_max = config.request_bytes_max
        self.size = self.held = 0

    def announced(self, size: int) -> None:
        if size > self.bytes_max:
            raise self._too_large(f"of {size_text(size)}")

    async def receive(self) -> Message:
        if self._done:  # what waits here now waits for the client to go away
            return await self._receive()
        if not self._deadline:
            now = asyncio.get_running_loop().time()
            self._deadline = now + self._config.request_timeout_s
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            limit = f"{self._config.request_timeout_s:g} s"
            raise Problem(
                408, "too-slow", f"The body did not come within {limit}.", headers=_CLOSE
            ) from None
        if message["type"] != "http.request":
            self._done = True
            return message
        self._take(len(message.get("body", b"")))
        self._done = not message.get("more_body", False)
        return message

    def _take(self, size: int) -> None:
        self.size += size
        if self.size > self.bytes_max:
            raise self._too_large("")
        gate = self._gate
        if gate.receiving_bytes + size > self._config.receiving_bytes_max:
            raise Problem(
                503,
                "unavailable",
                "Too many large requests come in at once; nothing was accepted.",
                headers={"Retry-After": _BUSY_S},
            )
        gate.receiving_bytes += size
        self.held += size

    def _too_large(self, what: str) -> Problem:
        limit = size_text(self.bytes_max)
        return Problem(
            413, "too-large", f"The body{' ' if what else ''}{what} has more than {limit}."
        )


_CLOSE = {"Connection": "close"}


def told(error: Exception) -> Problem | None:
    """What of an exception is a problem to tell: ours, and the daemon's refusals."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ControlError):
        return problem_of(error)
    if isinstance(error, ConnectionError):
        return Problem(
            503,
            "unavailable",
            "The daemon does not answer; try again.",
            headers={"Retry-After": _BUSY_S},
        )
    return None


async def _never() -> Any:
    raise RuntimeError("an answer reads nothing")
