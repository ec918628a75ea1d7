"""The ready queue: order within a key, turns between keys, holds that cost nothing."""

from __future__ import annotations

import tracemalloc

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.schedule.ready import ReadyQueue

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
