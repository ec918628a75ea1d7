"""The memory of calls on disk: what is claimed once, kept, swept, and found after a crash."""

from __future__ import annotations

import asyncio

import pytest

from penstock.api.idempotency import reconcile
from penstock.api.idempotency_store import DONE, PARTIAL, PENDING, Record, Store, StoreConfig

DAY = 86_400.0
BASE = 5 << 48


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def opened(tmp_path, clock):
    stores = []

    def make(**config) -> Store:
        store = Store(str(tmp_path / "idempotency"), StoreConfig(**config), clock)
        stores.append(store)
        return store

    yield make
    for store in stores:
        store.close()


def record(clock, state=PENDING, digest=b"d", refs=(BASE,), **more):
    return Record(state, digest, clock.now, refs[0] >> 48 if refs else 0, tuple(refs), **more)


def key(number: int) -> bytes:
    return b"%016d" % number


def test_of_many_that_claim_one_key_one_gets_it(opened, clock):
    async def run():
        store = opened()
        claims = [store.claim(key(1), record(clock, digest=b"%d" % n), None) for n in range(50)]
        return await asyncio.gather(*claims)

    answers = asyncio.run(run())
    assert answers.count(None) == 1
    assert {one.digest for one in answers if one is not None} == {b"0"}


def test_what_was_put_is_found_by_another_process(tmp_path, opened, clock):
    async def run():
        store = opened()
        done = record(clock, DONE, status=202, answer=b"{}", headers=(("A", "b"),))
        await store.put(key(1), done)
        return store, done

    store, done = asyncio.run(run())
    assert store.find(key(1)) == done
    assert store.find(key(2)) is None
    store.close()
    assert opened().find(key(1)) == done


def test_a_call_is_forgotten_after_a_day_and_its_key_free_again(opened, clock):
    async def run():
        store = opened(keep_s=DAY)
        await store.put(key(1), record(clock, DONE))
        clock.now += DAY - 1
        assert store.find(key(1)) is not None
        clock.now += 2
        assert store.find(key(1)) is None
        assert await store.claim(key(1), record(clock), None) is None
        await store.put(key(2), record(clock, DONE))
        assert store.usage()[0] == 2

    asyncio.run(run())


def test_more_than_may_be_push_out_the_oldest(opened, clock):
    async def run():
        store = opened(entries_max=1000)
        for number in range(1500):
            clock.now += 1
            change = store.put(key(number), record(clock, DONE))
            if number % 100 == 99:
                await change
        await store.put(key(2000), record(clock, DONE))
        assert store.usage()[0] == 1000
        assert store.forgotten == 501
        assert store.find(key(500)) is None
        assert store.find(key(501)) is not None

    asyncio.run(run())


def test_a_full_file_makes_room(opened, clock):
    async def run():
        store = opened(map_bytes=1 << 20)
        for number in range(300):
            clock.now += 1
            await store.put(key(number), record(clock, DONE, answer=bytes(8000)))
        assert store.forgotten > 0
        assert store.find(key(299)) is not None
        assert store.usage()[1] <= 1 << 20

    asyncio.run(run())


@pytest.mark.parametrize(
    ("committed", "status", "state", "refs"),
    [
        ({BASE, BASE + 1}, 202, DONE, ()),
        ({BASE, BASE + 1}, 0, PARTIAL, (BASE, BASE + 1)),
        ({BASE + 1}, 202, PARTIAL, (0, BASE + 1)),
        (set(), 202, None, ()),
    ],
)
def test_what_a_crash_left_pending_is_settled_by_what_the_queue_has(
    opened, clock, committed, status, state, refs
):
    async def run():
        store = opened()
        left = record(clock, refs=(BASE, BASE + 1), status=status, answer=b"{}")
        await store.put(key(1), left)
        other = record(clock, refs=(7 << 48,))
        await store.put(key(2), other)
        await asyncio.gather(*reconcile(store, {5}, lambda ref: ref in committed))
        found = store.find(key(1))
        assert (found.state if found else None) == state
        assert (found.refs if found else ()) == refs
        assert store.find(key(2)) == other  # of a shard that somebody else owns
        assert store.unfinished({5}) == []

    asyncio.run(run())
