"""The number queue behaves like a deque and costs eight bytes an entry."""

from __future__ import annotations

import tracemalloc
from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.schedule.intqueue import IntQueue

NUMBERS = st.integers(0, 2**64 - 1)


class LikeADeque(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.queue = IntQueue()
        self.model: deque[int] = deque()

    @rule(item=NUMBERS)
    def push(self, item: int) -> None:
        self.queue.push(item)
        self.model.append(item)

    @rule(item=NUMBERS)
    def push_front(self, item: int) -> None:
        self.queue.push_front(item)
        self.model.appendleft(item)

    @rule(items=st.lists(NUMBERS, max_size=100))
    def extend(self, items: list[int]) -> None:
        self.queue.extend(items)
        self.model.extend(items)

    @precondition(lambda self: self.model)
    @rule(times=st.integers(1, 60))
    def pop(self, times: int) -> None:
        for _ in range(min(times, len(self.model))):
            assert self.queue.peek() == self.model[0]
            assert self.queue.pop() == self.model.popleft()

    @precondition(lambda self: self.model)
    @rule(limit=st.integers(1, 10), modulus=st.integers(1, 3))
    def pop_group(self, limit: int, modulus: int) -> None:
        first = self.model[0]
        expected = []
        while self.model and len(expected) < limit and self.model[0] % modulus == first % modulus:
            expected.append(self.model.popleft())
        assert self.queue.pop_group(lambda item: item % modulus, limit) == expected

    @rule()
    def clear(self) -> None:
        self.queue.clear()
        self.model.clear()

    @invariant()
    def same(self) -> None:
        assert len(self.queue) == len(self.model)
        assert list(self.queue) == list(self.model)

    @invariant()
    def bounded(self) -> None:
        assert self.queue.bytes_held <= 8 * (2 * len(self.model) + 64)


LikeADeque.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestLikeADeque = LikeADeque.TestCase


def test_an_empty_queue_has_nothing_to_pop() -> None:
    queue = IntQueue([1])
    queue.pop()
    for broken in (queue.pop, queue.peek, lambda: queue.pop_group(abs, 1)):
        with pytest.raises(IndexError):
            broken()
    assert not queue


@pytest.mark.parametrize("item", [-1, 2**64])
def test_only_unsigned_64_bit_numbers(item: int) -> None:
    queue = IntQueue()
    with pytest.raises(OverflowError):
        queue.push(item)
    assert len(queue) == 0


def test_eight_bytes_an_entry_and_all_of_it_given_back() -> None:
    n = 40_000
    tracemalloc.start()
    try:
        queue = IntQueue()
        before = tracemalloc.get_traced_memory()[0]
        for item in range(n):
            queue.push(item)
        full = tracemalloc.get_traced_memory()[0] - before
        for _ in range(n * 3 // 4):
            queue.pop()
        quarter = tracemalloc.get_traced_memory()[0] - before
        while queue:
            queue.pop()
        empty = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 8 * n <= full <= 9.2 * n
    assert quarter <= full / 1.8
    assert empty < 1000


def test_many_steps_to_the_front_cost_a_constant_each() -> None:
    queue = IntQueue()
    for item in range(20_000):
        queue.push_front(item)
    assert queue.bytes_held <= 8 * 2 * 20_000
    assert [queue.pop() for _ in range(3)] == [19_999, 19_998, 19_997]
