"""The ready queue: order within a key, turns between keys, holds and sleep that cost nothing."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.schedule.ready import Place, ReadyQueue

KEYS = st.integers(0, 5)


def message(ref: int) -> int:
    """Three recipients a message."""
    return ref // 3


def alone(ref: int) -> int:
    return ref


class Model(RuleBasedStateMachine):
    """Against a dict of lists: nothing lost, nothing doubled, order kept, holds obeyed."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = ReadyQueue()
        self.lanes: dict[int, list[int]] = {}
        self.held: set[int] = set()
        self.ref = 0

    @rule(key=KEYS, n=st.integers(1, 5))
    def push(self, key: int, n: int) -> None:
        for _ in range(n):
            self.queue.push(key, self.ref)
            self.lanes.setdefault(key, []).append(self.ref)
            self.ref += 1

    @rule(key=KEYS)
    def push_front(self, key: int) -> None:
        self.queue.push_front(key, self.ref)
        self.lanes.setdefault(key, []).insert(0, self.ref)
        self.ref += 1

    @rule(limit=st.integers(1, 4))
    def take(self, limit: int) -> None:
        refs = self.queue.take(message, limit)
        if not refs:
            assert all(key in self.held for key in self.lanes)
            return
        (key,) = [key for key, lane in self.lanes.items() if lane[0] == refs[0]]
        assert key not in self.held
        lane = self.lanes[key]
        assert lane[: len(refs)] == refs
        assert len(refs) <= limit
        assert {message(ref) for ref in refs} == {message(refs[0])}
        assert (
            len(refs) == limit
            or len(lane) == len(refs)
            or message(lane[len(refs)]) != message(refs[0])
        )
        self.set(key, lane[len(refs) :])

    @rule(key=KEYS)
    def hold(self, key: int) -> None:
        self.queue.hold(key)
        self.held.add(key)

    @rule(key=KEYS)
    def release(self, key: int) -> None:
        self.queue.release(key)
        self.held.discard(key)

    @rule(key=KEYS)
    def drop(self, key: int) -> None:
        assert list(self.queue.drop(key)) == self.lanes.pop(key, [])

    @rule()
    def a_round(self) -> None:
        """Every key that is ready has one turn in as many takes as there are such keys."""
        ready = [key for key in self.lanes if key not in self.held]
        seen = []
        for _ in ready:
            (ref,) = self.queue.take(alone, 1)
            (key,) = [key for key, lane in self.lanes.items() if lane[0] == ref]
            seen.append(key)
            self.set(key, self.lanes[key][1:])
        assert sorted(seen) == sorted(ready)

    def set(self, key: int, lane: list[int]) -> None:
        if lane:
            self.lanes[key] = lane
        else:
            del self.lanes[key]

    @invariant()
    def counts(self) -> None:
        assert len(self.queue) == sum(map(len, self.lanes.values()))
        assert self.queue.ready == sum(
            len(lane) for key, lane in self.lanes.items() if key not in self.held
        )
        assert set(self.queue.keys()) == set(self.lanes)
        for key in range(6):
            assert self.queue.held(key) == (key in self.held)
            assert self.queue.count(key) == len(self.lanes.get(key, []))
            assert list(self.queue.refs(key)) == self.lanes.get(key, [])


Model.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestModel = Model.TestCase


def filled(**lanes: str) -> ReadyQueue:
    queue = ReadyQueue()
    for name, refs in lanes.items():
        for ref in refs.split():
            queue.push(ord(name), int(ref))
    return queue


def drained(queue: ReadyQueue, limit: int = 1) -> list[list[int]]:
    taken = []
    while refs := queue.take(lambda ref: ref // 10, limit):
        taken.append(refs)
    return taken


def test_keys_take_turns() -> None:
    queue = filled(a="1 2 3 4", b="5 6", c="7")
    assert drained(queue) == [[1], [5], [7], [2], [6], [3], [4]]


def test_recipients_of_one_message_go_together_up_to_the_limit() -> None:
    queue = filled(a="10 11 12 13 20 14", b="30")
    assert drained(queue, 3) == [[10, 11, 12], [30], [13], [20], [14]]


def test_a_held_key_waits_and_keeps_its_order() -> None:
    queue = filled(a="1 2", b="3 4")
    queue.hold(ord("a"))
    queue.hold(ord("a"))
    assert (len(queue), queue.ready) == (4, 2)
    assert drained(queue) == [[3], [4]]
    queue.push(ord("a"), 5)
    queue.push_front(ord("a"), 0)
    assert queue.take(alone, 1) == []
    queue.release(ord("a"))
    assert drained(queue) == [[0], [1], [2], [5]]


def test_a_hold_outlasts_an_empty_key_and_a_drop() -> None:
    queue = ReadyQueue()
    queue.hold(7)
    queue.push(7, 1)
    assert queue.ready == 0
    assert list(queue.drop(7)) == [1]
    queue.push(7, 2)
    assert queue.take(alone, 1) == []
    queue.release(7)
    queue.release(7)
    assert queue.take(alone, 1) == [2]


def test_what_was_not_offered_goes_back_to_the_front() -> None:
    queue = filled(a="10 11 12")
    for ref in reversed(queue.take(lambda ref: ref // 10, 2)):
        queue.push_front(ord("a"), ref)
    assert drained(queue, 5) == [[10, 11, 12]]


def test_dropped_then_used_again_a_key_has_one_turn() -> None:
    queue = filled(a="1 2", b="3 4")
    assert list(queue.drop(ord("a"))) == [1, 2]
    queue.push(ord("a"), 5)
    queue.push(ord("a"), 6)
    assert drained(queue) == [[3], [5], [4], [6]]


def test_the_group_is_not_asked_for_where_one_is_all_there_is() -> None:
    queue = filled(a="1", b="2 3")
    assert queue.take(lambda ref: 1 // 0, 100) == [1]
    assert queue.take(lambda ref: 1 // 0, 1) == [2]


def test_a_thousand_held_keys_are_passed_over_once() -> None:
    queue = ReadyQueue()
    for key in range(1000):
        queue.push(key, key)
        queue.hold(key)
    queue.push(5000, 1)
    assert queue.take(alone, 1) == [1]
    asked = 0
    for _ in range(100):
        asked += len(queue.take(alone, 1))
    assert asked == 0
    assert queue.ready == 0
    queue.release(3)
    assert queue.take(alone, 1) == [3]


def test_empty_keys_cost_nothing_and_a_message_eight_bytes() -> None:
    tracemalloc.start()
    try:
        queue = ReadyQueue()
        before = tracemalloc.get_traced_memory()[0]
        for key in range(2000):
            queue.push(key, key)
        while queue.take(alone, 1):
            pass
        emptied = tracemalloc.get_traced_memory()[0] - before
        for ref in range(50_000):
            queue.push(1, ref)
        full = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # A dict does not shrink when it empties; that is all that may remain.
    assert emptied < 2000 * 60
    assert full - emptied < 50_000 * 9.2


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
    assert list(queue.drop(2)) == []
    queue.place(1, place("a"))
    queue.push(1, 2)
    for node in nodes:
        queue.wake(node)
        assert queue.ready == 1
    assert drained(queue) == [[2]]


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
