"""Connections that are woken again and again and never get anything to carry."""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any

from penstock.relay.feed import SiteFeed


def test_being_woken_for_nothing_makes_no_connection_younger(play: Any) -> None:
    """A site that waits for a rate wakes all its connections for each token. Those that get none
    are still as idle as before, or they would keep their seats from other workers for good."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        work: list[object] = []
        site: Any = SimpleNamespace(idle=deque(), busy=True, tally=None)
        dispatcher: Any = SimpleNamespace(
            stopping=False, starved={}, next=lambda feed: work.pop() if work else None
        )
        feeds = [SiteFeed(dispatcher, site, False) for _ in range(3)]

        async def carry(feed: SiteFeed) -> None:
            while await feed.wait():
                feed.next()

        tasks = [asyncio.ensure_future(carry(feed)) for feed in feeds]
        start = loop.time()
        for _ in range(10):
            await asyncio.sleep(0.1)
            work.append(object())
            while site.idle:
                site.idle.pop().wake(True)
        await asyncio.sleep(0.1)
        ages = [loop.time() - feed.idle_since for feed in site.idle]
        assert [round(age, 3) for age in ages] == [1.1, 1.1, 0.1]
        assert loop.time() - start > 1.0
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    play(scenario)
