"""The web application: ``GET`` shows the button, ``POST`` unsubscribes.

Whoever hosts it gives it two things: ``read``, which knows the token or raises
:class:`~penstock.mail.verp.BadToken`, and ``done``, which makes the wish durable before it returns,
or raises that too where nobody knows any more what the token is about. A 200 is given after that
and not before; where ``done`` fails otherwise the answer is 503, and a machine asks again.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from penstock.events.metrics import Registry
from penstock.mail.verp import BadToken, Token
from penstock.unsubscribe.clients import Limits, client_of
from penstock.unsubscribe.config import UnsubscribeConfig
from penstock.unsubscribe.content import BadContent, fields_of
from penstock.unsubscribe.languages import choose, load_texts
from penstock.unsubscribe.page import HEADERS, page

ONE_CLICK = ("List-Unsubscribe", "One-Click")
_JSON = ("application/json", "application/problem+json")
_log = structlog.get_logger("penstock.unsubscribe")


@dataclass(frozen=True, slots=True)
class UnsubscribeRequest:
    """Somebody wants no more mail. ``via``: a machine's click or the page's button; ``reason``: as
    was written on the page; ``client``: an address, or ``unknown``; ``at``: since the epoch."""

    token: Token
    via: Literal["one-click", "page"]
    reason: str
    client: str
    at: float


Read = Callable[[str], Token]
Done = Callable[[UnsubscribeRequest], Awaitable[None]]


def make_app(
    read: Read,
    done: Done,
    config: UnsubscribeConfig | None = None,
    registry: Registry | None = None,
    *,
    now: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> Starlette:
    """``now`` is the time of day, ``monotonic`` the one that limits count by."""
    config = config or UnsubscribeConfig()
    door = _Door(read, done, config, registry or Registry(), now, monotonic)
    return Starlette(
        routes=[Route(f"{config.path}/{{token}}", door.answer, methods=["GET", "POST"])],
        exception_handlers={HTTPException: door.refused, Exception: door.broken},
    )


class _Door:
    def __init__(
        self,
        read: Read,
        done: Done,
        config: UnsubscribeConfig,
        registry: Registry,
        now: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._read, self._done, self._config = read, done, config
        self._now, self._monotonic = now, monotonic
        self._languages = load_texts()
        self._limits = Limits(config)
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._counter = registry.counter("penstock_unsubscribe_requests_total")
        clients = registry.gauge("penstock_unsubscribe_clients")
        registry.on_snapshot(lambda: clients.set(self._limits.clients))

    async def answer(self, request: Request) -> Response:
        client = self._client(request)
        wait_s = self._limits.wait_s(client, self._monotonic())
        if wait_s:
            self._count("limited")
            return self._say(request, 429, "busy", {"Retry-After": str(math.ceil(wait_s))})
        text = request.path_params["token"]
        try:
            token = self._read(text)
        except BadToken as error:
            self._limits.forged(client, self._monotonic())
            return self._bad(request, error)
        if request.method != "POST":
            self._count("shown")
            return self._say(request, 200, "ask", form=True)
        return await self._post(request, client, text, token)

    async def _post(self, request: Request, client: str, text: str, token: Token) -> Response:
        try:
            async with asyncio.timeout(self._config.body_timeout_s):
                body = await self._body(request)
            fields = fields_of(request.headers.get("content-type", ""), body)
        except (TimeoutError, ClientDisconnect):
            return self._wrong(request, 408)
        except BadContent:
            return self._wrong(request, 400)
        if len(body) > self._config.body_bytes_max:
            return self._wrong(request, 413)
        one_click = fields.get(ONE_CLICK[0]) == ONE_CLICK[1]
        if not one_click and fields.get("from") != "page":
            return self._wrong(request, 400)
        reason = "" if one_click else self._reason(fields)
        if text not in self._recent or reason:
            via: Literal["one-click", "page"] = "one-click" if one_click else "page"
            try:
                await self._done(UnsubscribeRequest(token, via, reason, client, self._now()))
            except BadToken as error:
                return self._bad(request, error)
            except Exception as error:
                _log.error("unsubscribing failed", error=f"{type(error).__name__}: {error}")
                self._count("failed")
                return self._say(request, 503, "failed", {"Retry-After": "60"})
            self._remember(text)
        self._count("one-click" if one_click else "page")
        return self._say(request, 200, "done")

    async def _body(self, request: Request) -> bytes:
        """The content; one byte too many where there is more than is allowed."""
        body = bytearray()
        async for part in request.stream():
            body += part[: self._config.body_bytes_max + 1 - len(body)]
            if len(body) > self._config.body_bytes_max:
                break
        return bytes(body)

    def _reason(self, fields: Mapping[str, str]) -> str:
        """What was written, in one line and without what a terminal would obey."""
        text = fields.get("reason", "")[: self._config.reason_chars_max]
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())

    def _remember(self, text: str) -> None:
        self._recent[text] = None
        self._recent.move_to_end(text)
        if len(self._recent) > self._config.recent_max:
            self._recent.popitem(last=False)

    def _client(self, request: Request) -> str:
        peer = request.client.host if request.client else ""
        forwarded = ",".join(request.headers.getlist(self._config.client_header))
        return client_of(peer, forwarded, self._config.proxies)

    def _bad(self, request: Request, error: BadToken) -> Response:
        if error.reason == "expired":
            self._count("expired")
            return self._say(request, 410, "expired")
        self._count("forged")
        return self._say(request, 404, "bad")

    def _wrong(self, request: Request, status: int) -> Response:
        self._count("wrong")
        return self._say(request, status, "wrong")

    def _count(self, result: str) -> None:
        self._counter.inc((result,))

    def _say(
        self,
        request: Request,
        status: int,
        about: str,
        headers: Mapping[str, str] | None = None,
        *,
        form: bool = False,
    ) -> Response:
        """The page, or a document for a program, in the language that is wanted."""
        language = choose(request.headers.get("accept-language", ""), self._languages)
        texts = self._languages[language]
        said = {**HEADERS, **(headers or {}), "Content-Language": language}
        if _wants_json(request.headers.get("accept", "")):
            return _document(status, texts[f"{about}_text"], about, said)
        html = page(
            texts, language, about, form=form, reason_chars_max=self._config.reason_chars_max
        )
        return HTMLResponse(html, status, said)

    async def refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        about = "bad" if error.status_code == 404 else "wrong"
        return self._say(request, error.status_code, about, error.headers)

    async def broken(self, request: Request, _error: Exception) -> Response:
        return self._say(request, 500, "failed")


def _document(status: int, text: str, about: str, headers: Mapping[str, str]) -> Response:
    """RFC 9457 for what went wrong."""
    if status < 400:
        state = "unsubscribed" if about == "done" else "subscribed"
        return JSONResponse({"status": state, "detail": text}, status, headers)
    content = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": text,
    }
    return JSONResponse(content, status, headers, media_type="application/problem+json")


def _wants_json(accept: str) -> bool:
    """Whether a program asks that takes JSON and no page."""
    kinds = {item.partition(";")[0].strip().lower() for item in accept[:1000].split(",")}
    return not kinds.isdisjoint(_JSON) and "text/html" not in kinds
