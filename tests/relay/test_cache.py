"""Answers are kept for their TTL, within a bound, and looked up once at a time."""

from __future__ import annotations

import asyncio

import pytest

from penstock.relay.cache import AnswerCache


class Source:
    def __init__(self, ttl_s=10.0):
        self.asked = []
        self.ttl_s = ttl_s
        self.gate = asyncio.Event()
        self.gate.set()
        self.now = 0.0

    async def fetch(self, key):
        self.asked.append(key)
        await self.gate.wait()
        if key == "bad":
            raise ZeroDivisionError
        return key.upper(), self.ttl_s


@pytest.fixture
async def source():
    return Source()


@pytest.fixture
def cache(source):
    return AnswerCache(source.fetch, lambda: source.now, entries_max=2)


async def test_kept_for_its_ttl(source, cache):
    assert cache.cached("a") is None
    assert await cache.get("a") == "A"
    source.now = 9.9
    assert await cache.get("a") == "A"
    assert source.asked == ["a"]
    source.now = 10.0
    assert cache.cached("a") is None
    assert await cache.get("a") == "A"
    assert source.asked == ["a", "a"]


async def test_zero_is_not_kept(source, cache):
    source.ttl_s = 0
    await cache.get("a")
    assert cache.cached("a") is None


async def test_least_recently_used_goes_first(source, cache):
    for key in ("a", "b", "a", "c"):
        await cache.get(key)
    assert cache.cached("b") is None
    assert cache.cached("a") == "A"
    assert cache.stats() == {
        "entries": 2, "entries_max": 2, "pending": 0, "hits": 2, "misses": 3,
    }  # fmt: skip


async def test_one_look_up_for_all_who_ask(source, cache):
    source.gate.clear()
    askers = [asyncio.create_task(cache.get("a")) for _ in range(5)]
    await asyncio.sleep(0)
    askers[0].cancel()
    await asyncio.sleep(0)
    source.gate.set()
    results = await asyncio.gather(*askers, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == ["A"] * 4
    assert source.asked == ["a"]


async def test_a_failing_look_up_is_everybodys_and_not_kept(source, cache):
    results = await asyncio.gather(cache.get("bad"), cache.get("bad"), return_exceptions=True)
    assert [type(result) for result in results] == [ZeroDivisionError] * 2
    with pytest.raises(ZeroDivisionError):
        await cache.get("bad")


async def test_forget_and_close(source, cache):
    await cache.get("a")
    cache.forget()
    assert cache.cached("a") is None
    source.gate.clear()
    waiting = asyncio.create_task(cache.get("b"))
    await asyncio.sleep(0)
    await cache.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert cache.stats()["pending"] == 0
