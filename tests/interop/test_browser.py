"""The page for unsubscribing in a real browser: it is shown, its button works, and nothing that the
page's own policy forbids was needed for that."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import pathlib
import socket
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from bench.harness import free_port

from penstock.intake.http import HttpServer
from penstock.mail.verp import BadToken, Token
from penstock.unsubscribe.app import UnsubscribeRequest, make_app

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver, section 12.1


class Browser:
    """One session of a headless Chromium, by the WebDriver protocol."""

    def __init__(self, client: httpx.AsyncClient, session: str) -> None:
        self._client, self._session = client, session

    async def ask(self, method: str, path: str, **body: Any) -> Any:
        answer = await self._client.request(
            method, f"/session/{self._session}{path}", json=body if method == "POST" else None
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    async def element(self, selector: str) -> str:
        found = await self.ask("POST", "/element", using="css selector", value=selector)
        return f"/element/{found[ELEMENT]}"

    async def text(self, selector: str) -> str:
        return str(await self.ask("GET", f"{await self.element(selector)}/text"))

    async def until(self, selector: str, text: str) -> None:
        """The page comes a moment after what led to it; the one before goes away meanwhile."""
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(AssertionError):
                    if await self.text(selector) == text:
                        return
                await asyncio.sleep(0.02)

    async def picture(self) -> bytes:
        return base64.b64decode(await self.ask("GET", "/screenshot"))


def _keep(name: str, picture: bytes) -> None:
    """For whoever wants to look: PENSTOCK_PICTURES names a directory."""
    assert picture.startswith(b"\x89PNG")
    directory = os.environ.get("PENSTOCK_PICTURES")
    if directory:
        pathlib.Path(directory, name).write_bytes(picture)


@pytest.fixture
async def page() -> AsyncIterator[tuple[str, list[UnsubscribeRequest]]]:
    told: list[UnsubscribeRequest] = []

    def read(text: str) -> Token:
        if text != "good":
            raise BadToken("forged")
        return Token("u", 1, True, 20000)

    async def done(request: UnsubscribeRequest) -> None:
        told.append(request)

    bound = socket.create_server(("127.0.0.1", 0))
    server = HttpServer(make_app(read, done), bound)
    await server.start()
    yield f"http://127.0.0.1:{bound.getsockname()[1]}/u/good", told
    await server.stop()


@pytest.fixture
async def driver(need: Any, tmp_path: pathlib.Path) -> AsyncIterator[httpx.AsyncClient]:
    need("chromedriver", "chromium")
    port = free_port("127.0.0.1")
    process = subprocess.Popen(  # noqa: ASYNC220
        ["chromedriver", f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
    )
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False
    ) as client:
        async with asyncio.timeout(30):
            while True:
                try:
                    await client.get("/status")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        yield client
    process.terminate()
    process.wait(20)


@pytest.mark.parametrize(
    ("language", "title", "done"),
    [
        ("en", "Unsubscribe", "You are unsubscribed"),
        ("ru", "Отписаться от рассылки", "Вы отписаны"),
    ],
)
async def test_the_button(
    driver: httpx.AsyncClient,
    page: tuple[str, list[UnsubscribeRequest]],
    language: str,
    title: str,
    done: str,
) -> None:
    url, told = page
    options = {
        "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=390,700"],
        "prefs": {"intl.accept_languages": language},
    }
    wanted = {
        "alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
    }
    answer = await driver.post("/session", json={"capabilities": wanted})
    browser = Browser(driver, answer.json()["value"]["sessionId"])
    try:
        await browser.ask("POST", "/url", url=url)
        await browser.until("h1", title)
        _keep(f"ask-{language}.png", await browser.picture())
        assert told == []
        await browser.ask("POST", f"{await browser.element('textarea')}/value", text="too many")
        await browser.ask("POST", f"{await browser.element('button')}/click")
        await browser.until("h1", done)
        _keep(f"done-{language}.png", await browser.picture())
        complaints = await browser.ask("POST", "/se/log", type="browser")
        assert [entry for entry in complaints if "favicon" not in entry["message"]] == []
    finally:
        await browser.ask("DELETE", "")
    assert [(one.via, one.reason) for one in told] == [("page", "too many")]
