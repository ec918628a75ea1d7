"""The example in docs/examples takes what we send, each event once."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from penstock.intake.http import HttpServer

EXAMPLE = Path(__file__).parents[2] / "docs/examples/receiver.py"


async def test_the_example(stage: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("receiver", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    inbox = example.Inbox(str(tmp_path / "inbox.sqlite"))
    secret = stage.secret_file.read_text().strip()
    bound = socket.create_server(("127.0.0.1", 0))
    server = HttpServer(example.make_app(secret, inbox), bound)
    await server.start()
    url = f"http://127.0.0.1:{bound.getsockname()[1]}/penstock"
    hooks = stage.open(stage.endpoint(url=url))
    stage.happen(stage.event(), stage.event())
    await stage.deliver()
    assert hooks.couriers["shop"].last.text == "2 new of 2"
    assert capsys.readouterr().out.count("delivered to") == 2
    batch = b'[{"id":"e000001","at":"","type":"delivered"},{"id":"e9","at":"","type":"bounced"}]'
    assert (await hooks.posters["shop"].post("msg_1", batch)).text == "1 new of 2"
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.post(url, content=b"[]")).status_code == 401
    await server.stop()
    inbox._base.close()
