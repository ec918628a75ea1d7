"""What blocks is done in few threads, with few waiting; lists come in a few at a time."""

from __future__ import annotations

import asyncio
import threading

import pytest

from penstock.api.problem import Problem
from penstock.api.suppression_files import UPLOADS, UPLOADS_MAX
from penstock.api.threads import Threads


async def test_look_ups_are_bounded() -> None:
    held, threads = threading.Event(), Threads(threads=1, waiting_max=3)
    asked = [asyncio.ensure_future(threads.run(held.wait, 10)) for _ in range(3)]
    await asyncio.sleep(0)
    assert threads.waiting == 3
    with pytest.raises(Problem, match="Too much is looked up") as refusal:
        await threads.run(held.wait, 10)
    assert (refusal.value.status, refusal.value.headers) == (503, {"Retry-After": "1"})
    held.set()
    assert await asyncio.gather(*asked) == [True] * 3
    assert threads.waiting == 0


async def test_what_goes_wrong_in_a_thread_is_raised_and_counted_off() -> None:
    threads = Threads()
    with pytest.raises(ZeroDivisionError):
        await threads.run(divmod, 1, 0)
    assert threads.waiting == 0


def test_lists_come_in_a_few_at_a_time() -> None:
    one, two = UPLOADS.one(), UPLOADS.one()
    with one, two:
        assert UPLOADS.open == UPLOADS_MAX == 2
        with pytest.raises(Problem, match="2 lists are imported here already") as refusal:
            UPLOADS.one().__enter__()
        assert (refusal.value.status, refusal.value.headers) == (503, {"Retry-After": "30"})
    assert UPLOADS.open == 0
