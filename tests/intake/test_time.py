"""Patience: silent and slow clients, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]
TIMES: dict[str, Any] = {
    "command_timeout_s": 50.0,
    "idle_timeout_s": 100.0,
    "data_timeout_s": 30.0,
    "slow_window_s": 20.0,
    "slow_bytes_per_s": 10,
    "linger_s": 5.0,
}


@pytest.mark.parametrize(
    ("commands", "limit"),
    [("NOOP", 100), ("MAIL FROM:<a@b>", 50), ("MAIL FROM:<a@b>\nRCPT TO:<a@b>\nDATA", 30)],
)
async def test_silence(connect: Run, observer: Any, commands: str, limit: int) -> None:
    line = connect(**TIMES)
    await line.greet()
    await line.ask(commands)
    line.session.sweep(1000.0)
    line.session.sweep(1000.0 + min(limit - 1, 19))
    assert await line.said() == []
    line.session.sweep(1000.0 + limit)
    said = await line.said(1)
    assert said[0].startswith("421 4.4.2")
    assert line.transport.closed
    assert observer.of("close") == [("close", "127.0.0.1", "timeout")]
    assert line.shared.stats()["timeouts_total"] == 1


async def test_commands_keep_a_session(connect: Run) -> None:
    line = connect(**TIMES)
    await line.greet()
    for second in range(0, 1000, 90):
        line.session.sweep(float(second))
        assert await line.ask("NOOP") == ["250 2.0.0 Ok"]


async def test_dripping_bytes_does_not(connect: Run) -> None:
    line = connect(**TIMES)
    await line.greet()
    for second in range(0, 101, 10):
        line.session.sweep(float(second))
        line.send(b"x")
    assert (await line.said(1))[0].startswith("421 4.4.2 Timed out")


@pytest.mark.parametrize(("rate", "slow"), [(9, True), (11, False)])
async def test_slow_senders(connect: Run, rate: int, slow: bool) -> None:
    line = connect(**TIMES)
    await line.greet()
    await line.ask("MAIL FROM:<a@b>\nRCPT TO:<a@b>\nDATA")
    for second in range(50):
        line.session.sweep(float(second))
        line.send(b"x" * rate)
    said = await line.said()
    assert bool(said) is slow
    assert said == ["421 4.4.2 Too slow"] or not slow


async def test_waiting_for_us_is_not_held_against_a_client(connect: Run, sink: Any) -> None:
    sink.held = True
    line = connect(**TIMES)
    await line.greet()
    await line.ask("MAIL FROM:<a@b>\nRCPT TO:<a@b>\nDATA\n.")
    for second in range(0, 1000, 20):
        line.session.sweep(float(second))
    sink.commit()
    assert (await line.said(1))[0].startswith("250 2.6.0")


async def test_a_last_reply_that_does_not_leave(connect: Run) -> None:
    line = connect(**TIMES)
    await line.greet()
    line.session._reason = "quit"  # closed, and the transport does not get rid of its buffer
    line.session.sweep(0.0)
    line.session.sweep(4.0)
    assert not line.transport.aborted
    line.session.sweep(5.0)
    assert line.transport.aborted


@pytest.mark.parametrize(
    "commands",
    ["NOOP", "MAIL FROM:<a@b>", "MAIL FROM:<a@b>\nRCPT TO:<a@b>\nDATA"],
    ids=["idle", "transaction", "content"],
)
@pytest.mark.parametrize("drip", [b"", b"x"], ids=["silent", "dripping"])
async def test_patience_is_short_in_a_crowd(connect: Run, commands: str, drip: bytes) -> None:
    line = connect(**TIMES, connections_max=4, crowded_timeout_s=10.0)
    others = [connect() for _ in range(3)]
    for one in (line, *others):
        await one.greet()
    await line.ask(commands)
    for second in range(0, 11, 5):
        line.send(drip)
        others[0].send(b"NOOP\r\n")
        for one in (line, others[0]):
            one.session.sweep(float(second))
    assert (await line.said(1))[0].startswith("421 4.4.2")
    assert not others[0].transport.closed


async def test_three_quarters_are_no_crowd(connect: Run) -> None:
    line = connect(**TIMES, connections_max=4, crowded_timeout_s=10.0)
    others = [connect() for _ in range(2)]
    await line.greet()
    line.session.sweep(0.0)
    line.session.sweep(99.0)
    assert await line.said() == []
    others.append(connect())
    line.session.sweep(99.5)
    assert (await line.said(1))[0].startswith("421 4.4.2")
