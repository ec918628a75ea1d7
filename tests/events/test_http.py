"""The HTTP endpoint over a real socket, in a loop of our own, with no signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncGenerator, Callable

import httpx
import pytest

from penstock.events.metrics import Registry
from penstock.events.process import process_snapshot
from penstock.intake.http import HttpConfig, HttpServer, make_app


class Workers:
    """Two workers whose answers the test decides."""

    def __init__(self) -> None:
        self.registries = {"0": Registry(), "1": Registry()}
        self.state: tuple[bool, list[str]] = (True, [])
        self.gate: asyncio.Event | None = None
        self.waiting = asyncio.Event()
        self.broken = False

    async def collect(self):
        if self.gate is not None:
            self.waiting.set()
            await self.gate.wait()
        if self.broken:
            raise RuntimeError("secret detail")
        found = {name: registry.snapshot() for name, registry in self.registries.items()}
        return {**found, "supervisor": {"process": process_snapshot()}}

    async def ready(self):
        if self.gate is not None:
            await self.gate.wait()
        return self.state


@pytest.fixture
def workers() -> Workers:
    return Workers()


@pytest.fixture
async def serve(workers) -> AsyncGenerator[Callable]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(**settings) -> tuple[HttpServer, httpx.AsyncClient]:
            config = HttpConfig(**settings)
            bound = stack.enter_context(socket.socket())
            bound.bind(("127.0.0.1", 0))
            app = make_app(workers.collect, workers.ready, config)
            server = HttpServer(app, bound, config)
            base = f"http://127.0.0.1:{bound.getsockname()[1]}"
            await server.start()
            stack.push_async_callback(server.stop)
            client = httpx.AsyncClient(base_url=base, trust_env=False)
            return server, await stack.enter_async_context(client)

        yield start


async def test_metrics_of_all_workers(serve, workers):
    for registry in workers.registries.values():
        registry.counter("penstock_delivered_total").inc(("gmail", "2xx", "2.0"), 4)
    server, client = await serve()
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    line = 'penstock_delivered_total{code="2xx",provider="gmail",subject="2.0"} 8.0'
    assert line in answer.text.splitlines()
    assert 'penstock_process_open_fds{process="supervisor"}' in answer.text
    assert "server" not in answer.headers
    assert server.stats()["requests"] == 1


async def test_openmetrics_by_accept(serve):
    _, client = await serve()
    headers = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    answer = await client.get("/metrics", headers=headers)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


async def test_a_replaced_worker_keeps_the_sums(serve, workers):
    _, client = await serve()
    workers.registries["0"].counter("penstock_messages_accepted_total").inc((), 5)
    await client.get("/metrics")
    workers.registries["0"] = Registry()
    workers.registries["0"].counter("penstock_messages_accepted_total").inc()
    text = (await client.get("/metrics")).text
    assert "penstock_messages_accepted_total 6.0" in text.splitlines()


async def test_health_and_readiness(serve, workers):
    _, client = await serve()
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
    workers.state = (False, ["worker 1 is not ready"])
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "reasons": ["worker 1 is not ready"]}


async def test_workers_that_do_not_answer(serve, workers):
    _, client = await serve(collect_timeout_s=0.05)
    workers.gate = asyncio.Event()
    answer = await client.get("/metrics")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert "did not answer in time" in answer.json()["detail"]
    assert (await client.get("/readyz")).json()["reasons"] == ["the workers did not answer in time"]
    assert (await client.get("/healthz")).status_code == 200


async def test_errors_are_problem_documents(serve, workers, caplog):
    _, client = await serve()
    missing = await client.get("/nothing")
    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"
    assert missing.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "There is nothing at /nothing.",
    }
    wrong = await client.post("/metrics")
    assert wrong.status_code == 405
    assert set(wrong.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert wrong.json()["title"] == "Method Not Allowed"
    workers.broken = True
    broken = await client.get("/metrics")
    assert broken.status_code == 500
    assert broken.json()["title"] == "Internal Server Error"
    assert "secret detail" not in broken.text
    assert "secret detail" in caplog.text


async def test_connections_are_bounded(serve, workers):
    _, client = await serve(concurrency_max=1)
    workers.gate = asyncio.Event()
    first = asyncio.create_task(client.get("/metrics"))
    await workers.waiting.wait()
    assert (await client.get("/healthz")).status_code == 503
    workers.gate.set()
    assert (await first).status_code == 200


async def takes_connections(client: httpx.AsyncClient) -> bool:
    try:
        _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    except ConnectionError:  # refused, or reset as the listener closes
        return False
    writer.close()
    return True


async def test_a_stop_lets_requests_end(serve, workers):
    server, client = await serve()
    workers.gate = asyncio.Event()
    asked = asyncio.create_task(client.get("/metrics"))
    await workers.waiting.wait()
    assert server.stats()["connections"] == 1
    stopping = asyncio.create_task(server.stop())
    async with asyncio.timeout(10):
        while await takes_connections(client):
            pass
    workers.gate.set()
    assert (await asked).status_code == 200
    await stopping
    with pytest.raises(httpx.ConnectError):
        await client.get("/healthz")


async def test_a_request_that_never_ends_does_not_keep_the_server(serve, workers):
    server, client = await serve(stop_timeout_s=0, collect_timeout_s=60)
    workers.gate = asyncio.Event()
    asked = asyncio.create_task(client.get("/metrics"))
    await workers.waiting.wait()
    assert server.stats()["connections"] == 1
    await server.stop()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)


async def test_signals_stay_ours(serve):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    server, _ = await serve()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    await server.stop()


async def test_what_keeps_it_from_starting_is_raised(workers):
    with socket.socket() as closed:
        pass
    server = HttpServer(make_app(workers.collect, workers.ready), closed)
    with pytest.raises(OSError, match="Bad file descriptor"):
        await server.start()


async def test_a_server_that_was_never_started_can_be_stopped(workers):
    with socket.socket() as bound:
        server = HttpServer(make_app(workers.collect, workers.ready), bound)
        await server.stop()
        assert server.stats() == {"connections": 0, "requests": 0}
