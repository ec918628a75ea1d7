"""Virtual time: days in milliseconds, the same every time, and no silent hanging."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from penstock.sim.clock import Deadlock, VirtualClock, run_virtual


def test_a_clock_moves_when_it_is_moved():
    clock = VirtualClock(100.0)
    assert clock() == 100.0
    assert clock.advance(2.5) == 102.5
    assert clock() == clock.now == 102.5
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)


async def _busy_day(seed: int) -> list[tuple[float, int]]:
    loop = asyncio.get_running_loop()
    rng = random.Random(seed)
    seen: list[tuple[float, int]] = []

    async def worker(number: int) -> None:
        for _ in range(50):
            await asyncio.sleep(rng.uniform(1, 4000))
            seen.append((loop.time(), number))

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(worker(number))
    return seen


def test_a_day_passes_at_once_and_twice_the_same():
    start = time.monotonic()
    first, second = run_virtual(_busy_day(7)), run_virtual(_busy_day(7))
    assert time.monotonic() - start < 5
    assert first == second
    assert first != run_virtual(_busy_day(8))
    assert first[-1][0] > 86_400


def test_timeouts_run_in_virtual_time():
    clock = VirtualClock(1000.0)

    async def main() -> str:
        try:
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return "never"

    assert run_virtual(main(), clock) == "late"
    assert clock.now == pytest.approx(4600.0)


def test_a_deadlock_is_told():
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock):
        run_virtual(main())


def test_sockets_work_in_virtual_time():
    async def main() -> bytes:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(600)
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer

    assert run_virtual(main()) == b"hello\n"
