"""Where lanes of the ready queue stand: sleep of whole levels, moves, and what all that costs."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from penstock.schedule.ready import Place, ReadyQueue


def alone(ref: int) -> int:
    return ref


@pytest.fixture
def undisturbed() -> Iterator[None]:
    """What other tests left may run code when it is collected, and be counted here."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def drained(queue: ReadyQueue) -> list[list[int]]:
    taken = []
    while refs := queue.take(alone, 1):
        taken.append(refs)
    return taken


def place(tenant: str = "t", campaign: str = "c", class_: int = 2) -> Place:
    return Place(class_, tenant, 1, campaign, 1)


def test_who_sleeps_takes_along_all_that_it_contains_and_nobody_else() -> None:
    queue = ReadyQueue()
    queue.place(1, place("a", "x"))
    queue.place(2, place("a", "y"))
    queue.place(3, place("b", "x"))
    for key in (1, 2, 3):
        queue.push(key, key)
    campaign, tenant = queue.sleep(1, "campaign"), queue.sleep(2, "tenant")
    assert queue.sleep(1, "tenant") is tenant
    assert (queue.ready, len(queue)) == (1, 3)
    assert [queue.asleep(key) for key in (1, 2, 3, 4)] == ["campaign", "tenant", "", ""]
    assert drained(queue) == [[3]]
    queue.wake(tenant)
    assert drained(queue) == [[2]]
    queue.wake(campaign)
    queue.wake(campaign)
    assert drained(queue) == [[1]]


def test_a_sleeper_may_be_gone_when_it_is_woken() -> None:
    queue = ReadyQueue()
    queue.place(1, place("a"))
    queue.place(2, place("b"))
    queue.push(1, 1)
    nodes = [queue.sleep(1, level) for level in ("class", "tenant", "campaign", "lane")]
    assert list(queue.drop(1)) == [1]
    assert [node.asleep for node in nodes] == [True, False, False, False]
    assert list(queue.drop(2)) == []
    queue.place(1, place("a"))
    queue.push(1, 2)
    for node in nodes:
        queue.wake(node)
        assert queue.ready == 1
    assert drained(queue) == [[2]]


def test_who_is_held_and_asleep_must_be_released_and_woken() -> None:
    for first in ("release", "wake"):
        queue = ReadyQueue()
        queue.push(1, 1)
        queue.hold(1)
        node = queue.sleep(1, "lane")
        if first == "release":
            queue.release(1)
            assert (queue.ready, queue.turn(), queue.asleep(1)) == (0, None, "lane")
            queue.wake(node)
        else:
            queue.wake(node)
            assert (queue.ready, queue.turn(), queue.held(1)) == (0, None, True)
            queue.release(1)
        assert drained(queue) == [[1]]


def test_a_hold_keeps_the_place_of_what_is_dropped_until_it_ends() -> None:
    queue = ReadyQueue()
    queue.place(1, place())
    queue.place(2, place("other"))
    queue.push(2, 2)
    queue.hold(1)
    queue.drop(1)
    queue.release(1)
    queue.push(1, 1)  # of nobody, so triggered mail, which goes before bulk
    assert drained(queue) == [[1], [2]]


def test_a_lane_moves_with_its_messages_its_hold_and_its_own_sleep() -> None:
    queue = ReadyQueue()
    for key in (1, 2, 3):
        queue.place(key, place(f"t{key}"))
        queue.push(key, key)
    queue.hold(1)
    node = queue.sleep(2, "lane")
    queue.sleep(3, "tenant")
    for key in (1, 2, 3):
        queue.place(key, place("elsewhere", class_=0))
    assert [queue.asleep(key) for key in (1, 2, 3)] == ["", "lane", ""]
    assert drained(queue) == [[3]]  # the sleeping tenant is not where it is any more
    queue.wake(node)
    queue.release(1)
    assert drained(queue) == [[2], [1]]


def test_places_that_cannot_be_are_refused() -> None:
    queue = ReadyQueue()
    for wrong in (Place(3, "t", 1, "c", 1), Place(0, "t", 0, "c", 1), Place(0, "t", 1, "c", -1)):
        with pytest.raises(ValueError, match="no such place"):
            queue.place(1, wrong)
    with pytest.raises(ValueError, match="no level"):
        queue.sleep(1, "site")


@pytest.mark.parametrize("level", ["lane", "campaign", "tenant"])
@pytest.mark.usefixtures("undisturbed")
def test_sleepers_are_never_looked_at(level: str) -> None:
    """Counted in lines of code that run, which no other load on the machine changes."""
    costs = []
    for sleepers in (10, 3000):
        queue = ReadyQueue()
        for key in range(sleepers):
            queue.place(key, place(f"t{key % 500}", f"c{key}"))
            queue.push(key, key)
            queue.sleep(key, level)
        queue.place(9999, place("awake"))

        def one_more(queue: ReadyQueue = queue) -> None:
            queue.push(9999, 1)
            assert queue.turn() == 9999
            assert queue.take(alone, 1) == [1]
            assert queue.turn() is None
            queue.wake(queue.sleep(1, level))
            queue.sleep(1, level)

        costs.append(lines_run(one_more))
    assert costs[0] == costs[1]


@pytest.mark.usefixtures("undisturbed")
def test_moving_and_dropping_a_lane_costs_the_same_however_many_messages_it_has() -> None:
    costs = []
    for messages in (10, 10_000):
        queue = ReadyQueue()
        queue.place(1, place("a"))
        queue.place(2, place("b"))
        for ref in range(messages):
            queue.push(1, ref)
            queue.push_retry(1, ref)

        def move_and_drop(queue: ReadyQueue = queue, messages: int = messages) -> None:
            queue.place(1, place("c", class_=0))
            assert len(queue.drop(1)) == 2 * messages

        costs.append(lines_run(move_and_drop))
    assert costs[0] == costs[1]


@pytest.mark.usefixtures("undisturbed")
def test_no_turn_takes_long_though_everybody_owes_much() -> None:
    queue, tenants = ReadyQueue(), 200
    for key in range(tenants):
        queue.place(key, place(f"t{key}"))
        for _ in range(1000):
            queue.push(key, 0)
    lines = 0
    for _ in range(3 * tenants):  # everybody takes three transactions of a hundred recipients
        longest = lines_run(queue.turn)
        assert longest < 25 * tenants
        lines += longest
        assert len(queue.take(lambda ref: 0, 100)) == 100
    assert {queue.count(key) for key in range(tenants)} == {700}
    assert lines / (3 * tenants) < 100


def lines_run(call: Callable[[], object]) -> int:
    lines = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return lines


def bytes_each(build: Callable[[], object]) -> float:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = [build() for _ in range(500)]
        return (tracemalloc.get_traced_memory()[0] - before) / len(kept)
    finally:
        tracemalloc.stop()


def test_a_site_with_one_campaign_has_no_levels_above_it() -> None:
    told = place()

    def one() -> ReadyQueue:
        queue = ReadyQueue()
        queue.place(1, told)
        queue.push(1, 1)
        return queue

    def a_sleeping_lane() -> ReadyQueue:
        queue = one()
        queue.sleep(1, "lane")
        return queue

    def all_levels() -> ReadyQueue:
        queue = one()
        queue.sleep(1, "campaign")
        return queue

    assert bytes_each(one) < 900
    assert bytes_each(a_sleeping_lane) < 900
    assert bytes_each(all_levels) > 1500


def test_with_its_last_lane_a_queue_is_as_small_as_it_was() -> None:
    def used() -> ReadyQueue:
        queue = ReadyQueue()
        for key in range(20):
            queue.place(key, place(f"t{key % 3}", f"c{key % 5}", key % 3))
            queue.push(key, key)
        for key in range(20):
            queue.drop(key)
        return queue

    assert bytes_each(used) < bytes_each(ReadyQueue) + 1400  # a dict does not shrink
