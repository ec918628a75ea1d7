"""The governor's own doors: odd input, bounds, what a worker's end frees."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.limits.governor import Governor, GovernorConfig
from penstock.limits.lines import Lines


def test_an_unknown_method_is_refused(clock) -> None:
    with pytest.raises(ValueError, match="no method 'send'"):
        Governor(clock).handle(0, "send", [])


def test_workers_are_bounded_and_replaced(clock) -> None:
    governor = Governor(clock, GovernorConfig(workers_max=2))
    governor.handle(0, "connect", [])
    governor.handle(1, "connect", [])
    with pytest.raises(ValueError, match="more than 2 workers"):
        governor.handle(2, "connect", [])
    governor.worker_gone(0)
    governor.handle(2, "connect", [])


def test_the_epoch_changes_when_a_worker_was_forgotten(clock) -> None:
    governor = Governor(clock)
    (first, _), (again, _) = (governor.handle(0, "batch", []) for _ in range(2))
    governor.worker_gone(0)
    after, _ = governor.handle(0, "batch", [])
    assert first == again != after


def test_a_full_table_refuses_new_keys_and_keeps_the_old_limits(clock) -> None:
    governor = Governor(clock, GovernorConfig(keys_max=2))

    def ask(key: str) -> list:
        return governor.handle(0, "messages", [[[key, 1, 60.0, 1, 0]], 1])

    assert [ask(key)[0] for key in "ab"] == [1, 1]
    granted, wait_s, each = ask("c")
    assert (granted, wait_s, each) == (0, 0.25, [0.25])
    assert ask("a")[0] == 0
    assert governor.stats()["keys_refused"] == 1
    clock.now += 60
    assert ask("c")[0] == 1


def test_tokens_of_an_unknown_key_cannot_be_given_back(clock) -> None:
    governor = Governor(clock)
    assert governor.handle(0, "give_back", [["nobody", 5]]) is None
    assert governor.stats()["keys"] == 0


def test_a_stale_rate_cache_changes_nothing(clock) -> None:
    governor = Governor(clock)
    for n in range(5000):
        governor.handle(0, "messages", [[["site", 20, 60.0 + n % 4500, 1, 0]], 1])
    assert governor.stats()["granted"] == 1


def test_lines_are_swept_of_those_who_never_came_back() -> None:
    lines = Lines()
    for n in range(1023):
        lines.join(f"k{n}", 1, until=10.0, now=0.0)
    lines.join("k", 1, until=100.0, now=50.0)
    lines.join("j", 1, until=100.0, now=50.0)
    assert len(lines) == 2

    def ahead(worker: int, now: float, enough: tuple[int, ...] = ()) -> int:
        return lines.ahead("j", worker, now, lambda one: one in enough)

    assert ahead(2, 60.0) == 1
    lines.join("j", 2, until=100.0, now=60.0)
    assert [ahead(worker, 60.0) for worker in (1, 2)] == [0, 1]
    assert [ahead(worker, 60.0, enough=(1,)) for worker in (1, 2)] == [1, 0]
    assert [ahead(worker, 60.0, enough=(1, 2)) for worker in (1, 2)] == [0, 1]
    assert ahead(2, 200.0) == 0
    lines.leave("nobody", 1)
    lines.gone(1)
    assert len(lines) == 0


def test_those_who_let_others_pass_hold_no_seat_back_from_them(clock) -> None:
    """Four workers, eight seats: two that have their share stand first in line, and the two behind
    them, who have not, take what is free."""
    governor = Governor(clock)

    def ask(worker: int) -> int:
        return governor.handle(worker, "connect", [["site", 8]])[0]

    for worker in (0, 0, 0, 1, 1, 2, 2, 3):
        assert ask(worker)
    for worker in (0, 1, 2, 3):
        assert not ask(worker)
    governor.handle(0, "disconnect", [["site", 1]])
    governor.handle(2, "disconnect", [["site", 1]])
    clock.now += 0.5
    assert [ask(worker) for worker in (0, 1, 2, 3)] == [0, 0, 1, 1]
    governor.handle(3, "disconnect", [["site", 1]])
    clock.now += 0.5
    assert [ask(worker) for worker in (3, 0, 1)] == [1, 0, 0]


def test_promises_are_swept_of_those_who_never_came_back(clock) -> None:
    governor = Governor(clock)
    for n in range(1100):
        for _ in range(2):
            governor.handle(0, "messages", [[[f"k{n}", 20, 60.0, 1, 0]], 1])
        clock.now += 1.0
    assert governor.stats()["waiting"] < 1100


def test_one_that_dies_again_with_nothing_does_not_keep_its_seats_for_longer(clock) -> None:
    governor = Governor(clock)
    assert governor.handle(2, "connect", [["a", 2]])[0]
    governor.worker_gone(2)
    clock.now += 0.25
    assert governor.handle(2, "connect", [["b", 2]])[0]
    governor.handle(2, "disconnect", [["b", 1]])
    governor.worker_gone(2)
    clock.now += 0.25
    assert governor.stats()["seats"] == 0


class Seats(RuleBasedStateMachine):
    """Any history of connections, deaths and restatements: the limit, and nothing leaks. What a
    dead worker had counts for half a second more, or until it says anew what it has."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.governor = Governor(lambda: self.now)
        self.held: dict[int, Counter[str]] = {worker: Counter() for worker in range(3)}
        self.left: dict[int, tuple[float, Counter[str]]] = {}

    def used(self) -> Counter[str]:
        left = [seats for until, seats in self.left.values() if until > self.now]
        return sum([*self.held.values(), *left], Counter())

    @rule(worker=st.integers(0, 2), keys=st.sets(st.sampled_from("abc"), min_size=1))
    def connect(self, worker: int, keys: set[str]) -> None:
        used = self.used()
        granted, wait_s, _ = self.governor.handle(worker, "connect", [[k, 2] for k in sorted(keys)])
        if granted:
            assert all(used[key] < 2 for key in keys)
            self.held[worker].update(keys)
        else:
            assert wait_s > 0

    @rule(worker=st.integers(0, 2), key=st.sampled_from("abc"), n=st.integers(1, 2))
    def disconnect(self, worker: int, key: str, n: int) -> None:
        freed = self.governor.handle(worker, "disconnect", [[key, n]])
        assert freed == min(n, self.held[worker][key])
        self.held[worker][key] -= freed

    @rule(worker=st.integers(0, 2))
    def die(self, worker: int) -> None:
        self.governor.worker_gone(worker)
        if self.held[worker].total():
            until, left = self.left.get(worker, (0.0, Counter()))
            had = left if until > self.now else Counter()
            self.left[worker] = self.now + 0.5, had + self.held[worker]
        self.held[worker] = Counter()

    @rule(worker=st.integers(0, 2))
    def restate(self, worker: int) -> None:
        self.left.pop(worker, None)
        seats = [[key, n] for key, n in self.held[worker].items() if n]
        self.governor.handle(worker, "restate", seats)

    @rule(seconds=st.sampled_from([0.125, 0.25, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(worker=st.integers(0, 2), key=st.sampled_from("abc"))
    def a_free_seat_is_had_after_a_while(self, worker: int, key: str) -> None:
        self.now += 10
        if sum(held[key] for held in self.held.values()) < 2:
            assert self.governor.handle(worker, "connect", [[key, 2]])[0] == 1
            self.held[worker][key] += 1

    @invariant()
    def counted(self) -> None:
        assert self.governor.stats()["seats"] == self.used().total()


Seats.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestSeats = Seats.TestCase
