"""The ready queue against a slow and obvious model, in any sequence of operations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.schedule.branch import Ring
from penstock.schedule.classes import Classes
from penstock.schedule.ready import Node, Place, ReadyQueue
from penstock.schedule.shares import Shares

KEYS = st.integers(0, 3)
LEVELS = st.sampled_from(["class", "tenant", "campaign", "lane"])
PLACES = st.builds(
    Place,
    st.integers(0, 2),
    st.sampled_from(["a", "b"]),
    st.integers(1, 3),
    st.sampled_from(["x", "y"]),
    st.integers(1, 3),
)
NOWHERE = Place(1, "", 1, "", 1)


def message(ref: int) -> int:
    """Three recipients a message."""
    return ref // 3


@dataclass
class Lane:
    place: Place = NOWHERE
    placed: bool = False
    held: bool = False
    fresh: list[int] = field(default_factory=list)
    retries: list[int] = field(default_factory=list)
    fresh_turns: int = 0

    @property
    def refs(self) -> list[int]:
        return self.fresh + self.retries

    def path(self, key: int, level: str) -> tuple[object, ...]:
        place = self.place
        return {
            "class": ("class", place.class_),
            "tenant": ("tenant", place.class_, place.tenant),
            "campaign": ("campaign", place.class_, place.tenant, place.campaign),
            "lane": ("lane", key),
        }[level]


class Model(RuleBasedStateMachine):
    """Nothing lost, nothing doubled, order kept, holds and sleep obeyed, ``ready`` right."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = ReadyQueue()
        self.lanes: dict[int, Lane] = {}
        self.sleeping: dict[tuple[object, ...], Node] = {}
        self.gone: list[Node] = []
        self.ref = 0

    def asleep(self, key: int) -> str:
        for level in ("lane", "campaign", "tenant", "class"):
            if self.lanes[key].path(key, level) in self.sleeping:
                return level
        return ""

    def reachable(self, key: int) -> bool:
        return not self.lanes[key].held and not self.asleep(key)

    def settle(self, *keys: int) -> None:
        """Those of ``keys`` that nobody needs are forgotten, and what stood above no other."""
        for key in keys:
            lane = self.lanes.get(key)
            if lane is None or lane.refs or lane.placed or lane.held:
                continue
            if ("lane", key) not in self.sleeping:
                del self.lanes[key]
        kept = {
            lane.path(key, level)
            for key, lane in self.lanes.items()
            for level in ("lane", "campaign", "tenant")
        }
        for path in list(self.sleeping):
            if path not in kept and (path[0] != "class" or not self.lanes):
                self.gone.append(self.sleeping.pop(path))

    @rule(key=KEYS, place=PLACES)
    def place(self, key: int, place: Place) -> None:
        self.queue.place(key, place)
        lane = self.lanes.setdefault(key, Lane())
        lane.place, lane.placed = place, True
        self.settle()

    @rule(
        key=KEYS,
        how=st.sampled_from(["push", "retry", "front", "front retry"]),
        n=st.integers(1, 4),
    )
    def push(self, key: int, how: str, n: int) -> None:
        lane = self.lanes.setdefault(key, Lane())
        for _ in range(n):
            if how == "push":
                self.queue.push(key, self.ref)
                lane.fresh.append(self.ref)
            elif how == "retry":
                self.queue.push_retry(key, self.ref)
                lane.retries.append(self.ref)
            else:
                self.queue.push_front(key, self.ref, how == "front retry")
                (lane.retries if how == "front retry" else lane.fresh).insert(0, self.ref)
            self.ref += 1

    @rule(limit=st.integers(1, 4), n=st.integers(1, 6))
    def take(self, limit: int, n: int) -> None:
        for _ in range(n):
            key = self.queue.turn()
            assert self.queue.turn() == key
            refs = self.queue.take(message, limit)
            if key is None:
                assert refs == []
                assert not any(lane.refs and self.reachable(k) for k, lane in self.lanes.items())
                return
            assert self.reachable(key)
            assert refs == self.expected(self.lanes[key], limit)
            self.settle(key)

    def expected(self, lane: Lane, limit: int) -> list[int]:
        line = lane.fresh or lane.retries
        if lane.fresh and lane.retries:
            if lane.fresh_turns == 4:
                line = lane.retries
                lane.fresh_turns = 0
            else:
                lane.fresh_turns += 1
        elif line is lane.retries:
            lane.fresh_turns = 0
        refs = []
        while line and len(refs) < limit and message(line[0]) == message((refs or line)[0]):
            refs.append(line.pop(0))
        return refs

    @rule(key=KEYS)
    def hold(self, key: int) -> None:
        self.queue.hold(key)
        self.lanes.setdefault(key, Lane()).held = True

    @rule(key=KEYS)
    def release(self, key: int) -> None:
        self.queue.release(key)
        if key in self.lanes and self.lanes[key].held:
            self.lanes[key].held = False
            self.settle(key)

    @rule(key=KEYS, level=LEVELS)
    def sleep(self, key: int, level: str) -> None:
        node = self.queue.sleep(key, level)
        lane = self.lanes.setdefault(key, Lane())
        assert self.sleeping.setdefault(lane.path(key, level), node) is node

    @rule(data=st.data())
    def wake(self, data: st.DataObject) -> None:
        if self.sleeping:
            path = data.draw(st.sampled_from(sorted(self.sleeping, key=repr)))
            node = self.sleeping.pop(path)
            self.queue.wake(node)
            self.gone.append(node)
            if path[0] == "lane":
                self.settle(*(key for key in self.lanes.copy() if key == path[1]))

    @rule()
    def wake_what_is_gone(self) -> None:
        for node in self.gone:
            if node not in self.sleeping.values():
                self.queue.wake(node)

    @rule(key=KEYS)
    def drop(self, key: int) -> None:
        lane = self.lanes.get(key, Lane())
        assert list(self.queue.drop(key)) == lane.refs
        lane.fresh, lane.retries, lane.placed = [], [], False
        if not lane.held and ("lane", key) in self.sleeping:
            self.gone.append(self.sleeping.pop(("lane", key)))
        self.settle(key)

    @rule()
    def drain(self) -> None:
        """All that is reachable is reached, in as many takes as there are messages."""
        for _ in range(self.queue.ready):
            key = self.queue.turn()
            assert key is not None
            assert self.queue.take(message, 1) == self.expected(self.lanes[key], 1)
            self.settle(key)
        assert self.queue.turn() is None

    @invariant()
    def sums(self) -> None:
        """What a branch counts is what is below it, and no lane is kept that nobody needs."""
        assert set(self.queue._lanes) == set(self.lanes)
        branches = [self.queue._tree.root]
        while branches:
            node = branches.pop()
            if isinstance(node, Ring):
                children: list[Any] = [
                    lane for lane in self.queue._lanes.values() if lane.parent is node
                ]
            elif isinstance(node, Shares):
                children = list(node.children.values())
                ring = [child for child in children if child.following is not None]
                assert node.weights == sum(child.weight for child in ring)
                assert not children or node.unit <= min(child.weight for child in children)
                branches += children
            else:
                assert isinstance(node, Classes)
                children = list(node._classes)
                branches += children
            if not isinstance(node, Classes):
                assert node.members == len(children)
            assert node.ready == sum(each.ready for each in children if not each.blocked)
            for each in children:
                assert (each.following is not None) == (each.ready > 0 and not each.blocked)

    @invariant()
    def counts(self) -> None:
        queue, lanes = self.queue, self.lanes
        assert len(queue) == sum(len(lane.refs) for lane in lanes.values())
        assert queue.ready == sum(len(lanes[key].refs) for key in lanes if self.reachable(key))
        assert set(queue.keys()) == {key for key, lane in lanes.items() if lane.refs}
        for key in range(4):
            lane = lanes.get(key, Lane())
            assert queue.count(key) == len(lane.refs)
            assert list(queue.refs(key)) == lane.refs
            assert queue.held(key) == lane.held
            assert queue.asleep(key) == (self.asleep(key) if key in lanes else "")


Model.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestModel = Model.TestCase
