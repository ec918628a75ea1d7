"""A real daemon with the HTTP API, and a client of it."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from bench.harness import free_port
from tests.daemon.conftest import Daemon


class ApiDaemon(Daemon):
    """``penstock run`` with an ``[[api]]`` on a free port; ``api`` is more of that table."""

    def __init__(
        self, home: pathlib.Path, api: str = "", extra: str = "", head: str = "", workers: int = 1
    ) -> None:
        self.api_port = free_port()
        self.api_table = f'[[api]]\nlisten = "127.0.0.1:{self.api_port}"\n{api}\n'
        super().__init__(home, self.api_table + extra, head)
        text = self.config.read_text().replace("workers = 2", f"workers = {workers}")
        self.config.write_text(text)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    def client(self, key: str = "", **more: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30.0, **more)

    def end(self) -> None:
        """However it is: nothing of it is left."""
        if self.process is None:
            return
        if self.process.poll() is None:
            with contextlib.suppress(Exception):
                self.stop()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()
        self.process = None


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDaemon]:
    """One daemon for all tests that change nothing which others see."""
    one = ApiDaemon(tmp_path_factory.mktemp("served"))
    try:
        yield one.start()
    finally:
        one.end()


@pytest.fixture
def client(served: ApiDaemon) -> Iterator[httpx.Client]:
    """Without a key: on the machine itself, in the sandbox."""
    with served.client() as found:
        yield found
