"""The sink against a real nats-server with JetStream."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import msgspec
import nats
import pytest
from bench.harness import free_port

from penstock.events.metrics import Registry
from penstock.events.reading import Position
from penstock.events.records import AnyEvent, Delivered
from penstock.sinks.config import SinkConfig
from penstock.sinks.ports import SinkError
from penstock.sinks.sink import Sink

AT = "2026-11-28T12:00:00.000Z"


class Server:
    def __init__(self, directory: pathlib.Path) -> None:
        self.port = free_port("127.0.0.1")
        self.url = f"nats://127.0.0.1:{self.port}"
        self._store = str(directory / "jetstream")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["nats-server", "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", self._store],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    async def ask(self, job: Any) -> Any:
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
                    connection = await nats.connect(
                        self.url, allow_reconnect=False, error_cb=_quiet
                    )
                    break
                await asyncio.sleep(0.05)
        try:
            return await job(connection.jetstream())
        finally:
            await connection.close()


async def _quiet(_error: Exception) -> None:
    pass


@pytest.fixture
def server(need: Any, tmp_path: pathlib.Path) -> Iterator[Server]:
    need("nats-server")
    one = Server(tmp_path)
    one.start()
    yield one
    one.stop()


def event(number: int) -> tuple[bytes, AnyEvent]:
    made = Delivered(
        id=f"e{number}", at=AT, tenant="shop", message=f"m{number}", recipient="a@b.example"
    )
    return msgspec.json.encode(made), made


async def test_a_stream_gets_each_event_once_whatever_happens(
    server: Server, tmp_path: pathlib.Path
) -> None:
    config = SinkConfig("bus", "nats", (server.url,), str(tmp_path / "sinks"), timeout_s=2.0)
    sink = await asyncio.to_thread(Sink, config, Registry())

    async def take(numbers: range, upto: int) -> None:
        await asyncio.to_thread(sink.take, "00", [event(n) for n in numbers], Position(1, upto))

    await server.ask(lambda js: js.streams_info())
    with pytest.raises(SinkError, match="no stream"):
        await take(range(1), 1)
    await server.ask(lambda js: js.add_stream(name="mail", subjects=["mail.>"]))
    await take(range(300), 300)
    await take(range(200, 300), 300)  # told again, as after a crash
    server.stop()
    with pytest.raises(SinkError):
        await take(range(300, 310), 310)
    server.start()
    await server.ask(lambda js: js.stream_info("mail"))
    await take(range(300, 310), 310)
    info = await server.ask(lambda js: js.stream_info("mail"))
    assert info.state.messages == 310
    last = await server.ask(lambda js: js.get_last_msg("mail", "mail.shop.delivered"))
    assert last.data == event(309)[0]
    assert last.headers["Nats-Msg-Id"] == "e309"
    assert await asyncio.to_thread(sink.flush) == {"00": Position(1, 310)}
    await asyncio.to_thread(sink.close)
