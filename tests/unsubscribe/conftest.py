"""The page, its tokens and what it was told, with a clock of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from penstock.events.metrics import Registry
from penstock.mail.verp import BadToken, Token
from penstock.unsubscribe.app import UnsubscribeRequest, make_app
from penstock.unsubscribe.config import UnsubscribeConfig

GOOD = "good0000000000000000000000000000ab"
TOKEN = Token("u", 7, True, 20000)


class Page:
    """``told``: what was done; ``fail``: raised instead."""

    good = GOOD

    def __init__(self, config: UnsubscribeConfig, peer: str) -> None:
        self.told: list[UnsubscribeRequest] = []
        self.fail: Exception | None = None
        self.now = 1000.0
        self.registry = Registry()
        self.app = make_app(
            self.read,
            self.done,
            config,
            self.registry,
            now=lambda: 1.8e9,
            monotonic=lambda: self.now,
        )
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, client=(peer, 1234)),
            base_url="https://mail.example.com",
        )

    def read(self, text: str) -> Token:
        if text in ("forged", "expired", "malformed"):
            raise BadToken(text)
        return TOKEN

    async def done(self, request: UnsubscribeRequest) -> None:
        if self.fail is not None:
            raise self.fail
        self.told.append(request)

    async def get(self, path: str = f"/u/{GOOD}", **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=_names(headers))

    async def click(self, path: str = f"/u/{GOOD}", **headers: str) -> httpx.Response:
        data = {"List-Unsubscribe": "One-Click"}
        return await self.client.post(path, data=data, headers=_names(headers))

    def counted(self, result: str) -> float:
        rows = self.registry.snapshot()["series"].get("penstock_unsubscribe_requests_total", [])
        return next((value for labels, value in rows if labels == [result]), 0)


def _names(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.fixture
async def open_page() -> AsyncIterator[Callable[..., Page]]:
    pages: list[Page] = []

    def open_page(peer: str = "198.51.100.7", **values: Any) -> Page:
        pages.append(Page(UnsubscribeConfig(**values), peer))
        return pages[-1]

    yield open_page
    for page in pages:
        await page.client.aclose()


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()
