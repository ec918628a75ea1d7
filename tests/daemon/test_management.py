"""The supervisor's API comes with the first who asks. Where it cannot, that is said, and whoever is
next may fare better."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from penstock.cli_http import Refused, ask_unix
from penstock.daemon.api import Management
from penstock.events.metrics import Registry


@pytest.fixture
def bound(tmp_path: Path) -> Any:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "api.sock"))
        one.listen()
        yield one


async def test_what_cannot_be_loaded_is_said_and_tried_again(
    bound: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = MagicMock()
    owner.registry = Registry()

    async def handle(method: str, params: dict[str, Any]) -> Any:
        return {"asked": method}

    owner.admin.handle = handle
    owner.settings.api_socket = bound.getsockname()
    one = Management(owner, bound)
    make, failures = one._make, [ImportError("no module"), ImportError("no module")]

    def made() -> Any:
        if failures:
            raise failures.pop()
        return make()

    monkeypatch.setattr(one, "_make", made)
    one.start()

    def ask() -> Any:
        return ask_unix(bound.getsockname(), "status", {}, 20.0)

    for _ in range(2):
        with pytest.raises(Refused, match="could not be loaded; see the log"):
            await asyncio.to_thread(ask)
    assert await asyncio.to_thread(ask) == {"asked": "status"}
    await one.stop(handed_over=True)


async def test_it_may_be_stopped_while_it_fails(
    bound: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Management(MagicMock(), bound)
    monkeypatch.setattr(one, "_make", MagicMock(side_effect=ImportError("no module")))
    one.start()
    assert one.sockets == [bound]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(bound.getsockname())
        one._asked()
        await one.stop(handed_over=True)
        loop = asyncio.get_running_loop()
        assert not loop.remove_reader(bound), "nobody listens any more"
        client.settimeout(5)
        assert client.recv(100).startswith(b"HTTP/1.1 503 ")
