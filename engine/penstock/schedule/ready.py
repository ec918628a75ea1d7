"""The ready queue of one (source, site): what may go as soon as a connection asks for it.

Messages wait in lanes, one a key. Turns are shared out between classes of mail, then tenants, then
campaigns, then lanes (:mod:`penstock.schedule.rotation`), and a lane or whatever contains it can be
held or put to sleep: then it has no turns and costs nothing. A message costs 8 bytes and O(1),
whatever else waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from penstock.schedule.intqueue import IntQueue
from penstock.schedule.lane import Lane
from penstock.schedule.node import Node
from penstock.schedule.rotation import (
    arrive,
    block,
    give_turn_back,
    lose,
    pay,
    refund,
    turn,
    unblock,
)
from penstock.schedule.tree import ANYWHERE, Place, Tree

__all__ = ["Node", "Place", "ReadyQueue"]

FLOORS = (0.0, 0.10, 0.05)


class ReadyQueue:
    """``key``: any number in ``[0, 2**64)``; ``ref``: a queued delivery's, likewise; ``floors``:
    the share of the refs that each class has at least while it waits, in all less than 1.

    A ref is not taken out when its message is settled elsewhere (expired, bounced by hand): the
    caller finds out when it takes it.
    """

    __slots__ = ("_lanes", "_refs", "_tree")

    def __init__(self, floors: tuple[float, float, float] = FLOORS) -> None:
        self._lanes: dict[int, Lane] = {}
        self._tree = Tree(_checked(floors))
        self._refs = 0

    def set_floors(self, floors: tuple[float, float, float]) -> None:
        """Other floors from now on."""
        self._tree.set_floors(_checked(floors))

    def __len__(self) -> int:
        """Messages, held and sleeping ones included."""
        return self._refs

    @property
    def ready(self) -> int:
        """Messages that :meth:`take` can reach: neither held nor asleep."""
        return self._tree.root.ready

    def keys(self) -> Iterator[int]:
        """The keys that have messages, held or not."""
        return (key for key, lane in self._lanes.items() if lane.ready)

    def count(self, key: int) -> int:
        lane = self._lanes.get(key)
        return lane.ready if lane is not None else 0

    def refs(self, key: int) -> Iterator[int]:
        """The messages of ``key``, fresh ones first, each in order; for listings."""
        return iter(self._lanes.get(key, ()))

    def place(self, key: int, place: Place) -> None:
        """Says where ``key`` stands, before its first message or, on a reload, later: then it moves
        with its messages, its hold and its own sleep. It is remembered until :meth:`drop`. A key
        that nobody placed is triggered mail of a nameless tenant while it has messages."""
        if min(place.tenant_weight, place.campaign_weight) < 1 or not 0 <= place.class_ <= 2:
            raise ValueError(f"no such place: {place}")
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._open(key, place)
        else:
            self._tree.move(lane, place)
        lane.placed = True

    def push(self, key: int, ref: int) -> None:
        """Last in the line of ``key``, among those never tried."""
        lane = self._lanes.get(key) or self._open(key)
        lane.put(ref)
        self._refs += 1
        arrive(lane)

    def push_retry(self, key: int, ref: int) -> None:
        """Last in the line of ``key`` of those that were tried before."""
        lane = self._lanes.get(key) or self._open(key)
        lane.put_retry(ref)
        self._refs += 1
        arrive(lane)

    def push_front(self, key: int, ref: int, retry: bool = False, *, turn: bool = False) -> None:
        """First in its line of ``key``: taken, but never offered to the other side. Several go
        back in reverse order. Nobody pays for it. With ``turn`` it was taken only to be looked at,
        and the key's turn is next again; else it is not moved forward."""
        lane = self._lanes.get(key) or self._open(key)
        lane.put_front(ref, retry, turn)
        self._refs += 1
        arrive(lane)
        refund(lane)
        if turn:
            give_turn_back(lane)

    def turn(self) -> int | None:
        """The key that :meth:`take` would take from; ``None`` if nothing is ready."""
        root = self._tree.root
        return turn(root).key if root.ready else None

    def take(self, group: Callable[[int], int], limit: int) -> list[int]:
        """The refs for one transaction: the first of the key whose turn it is, and those right
        behind it with the same ``group`` (the message that they share), at most ``limit`` >= 1.

        Empty if nothing is ready. ``group`` is not called where one ref is all there is to take;
        it must answer for refs that are settled already.
        """
        root = self._tree.root
        if not root.ready:
            return []
        lane = turn(root)
        refs = lane.pop(group, limit)
        n = len(refs)
        self._refs -= n
        pay(lane, n)
        if not lane.ready:
            self._forget_unplaced(lane)
        return refs

    def hold(self, key: int) -> None:
        """No turns for ``key`` until :meth:`release`; what is pushed meanwhile waits with it."""
        lane = self._lanes.get(key) or self._open(key)
        lane.held = True
        block(lane)

    def release(self, key: int) -> None:
        lane = self._lanes.get(key)
        if lane is not None and lane.held:
            lane.held = False
            self._rouse(lane)

    def held(self, key: int) -> bool:
        lane = self._lanes.get(key)
        return lane is not None and lane.held

    def sleep(self, key: int, level: str) -> Node:
        """No turns for what contains ``key`` on ``level`` (class, tenant, campaign or lane) until
        :meth:`wake` of what this returns. It ends as well when the last lane there is dropped or
        moves away."""
        lane = self._lanes.get(key) or self._open(key)
        node = self._tree.above(lane, level)
        node.asleep = True
        block(node)
        return node

    def wake(self, node: Node) -> None:
        """Harmless where it is awake, or gone."""
        if not node.asleep:
            return
        node.asleep = False
        if isinstance(node, Lane):
            self._rouse(node)
        else:
            unblock(node)

    def asleep(self, key: int) -> str:
        """The lowest level at which ``key`` sleeps; empty if it does not."""
        node = self.sleeping(key)
        return node.level if node is not None else ""

    def sleeping(self, key: int) -> Node | None:
        """What contains ``key`` and sleeps, the lowest such."""
        node: Node | None = self._lanes.get(key)
        while node is not None and not node.asleep:
            node = node.parent
        return node

    def drop(self, key: int) -> IntQueue:
        """Takes out every message of ``key`` and hands them over, fresh ones first; no message is
        looked at. A hold stays, and with it the place until it is released."""
        lane = self._lanes.get(key)
        if lane is None:
            return IntQueue()
        if lane.ready:
            self._refs -= lane.ready
            lose(lane, lane.ready)
        refs = lane.clear()
        lane.placed = False
        if not lane.held:
            self._forget(lane)
        return refs

    def _open(self, key: int, place: Place = ANYWHERE) -> Lane:
        lane = self._lanes[key] = Lane(key)
        self._tree.open(lane, place)
        return lane

    def _rouse(self, lane: Lane) -> None:
        if not lane.held and not lane.asleep:
            unblock(lane)
            if not lane.ready:
                self._forget_unplaced(lane)

    def _forget_unplaced(self, lane: Lane) -> None:
        if not lane.placed and not lane.blocked:
            self._forget(lane)

    def _forget(self, lane: Lane) -> None:
        lane.asleep = lane.blocked = False
        del self._lanes[lane.key]
        self._tree.close(lane)
        if not self._lanes:
            self._tree.reset()


def _checked(floors: tuple[float, float, float]) -> tuple[float, float, float]:
    if min(floors) < 0 or sum(floors) >= 1:
        raise ValueError(f"floors {floors} leave nothing to give by priority")
    return floors
