"""The ready queue of one (source, site): what may go as soon as a connection asks for it.

Messages wait in one first-in-first-out queue a key (a tenant, a campaign), the keys take turns, and
a held key has none. A message costs 8 bytes and O(1), whatever else waits; a key without messages
and without a hold costs nothing. Which key is next is decided by :class:`Rotation` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from penstock.schedule.intqueue import IntQueue
from penstock.schedule.rotation import Rotation


class ReadyQueue:
    """``key``: any number in ``[0, 2**64)``; ``ref``: a queued delivery's, likewise.

    A ref is not taken out when its message is settled elsewhere (expired, bounced by hand): the
    caller finds out when it takes it. Invariant: a key is in the rotation exactly while it has
    messages and is not held.
    """

    __slots__ = ("_held", "_held_refs", "_lanes", "_refs", "_rotation")

    def __init__(self) -> None:
        self._lanes: dict[int, IntQueue] = {}
        self._rotation = Rotation()
        self._held: set[int] | None = None
        self._refs = 0
        self._held_refs = 0

    def __len__(self) -> int:
        """Messages, held ones included."""
        return self._refs

    @property
    def ready(self) -> int:
        """Messages that :meth:`take` can reach: those not held."""
        return self._refs - self._held_refs

    def keys(self) -> Iterator[int]:
        """The keys that have messages, held or not."""
        return iter(self._lanes)

    def count(self, key: int) -> int:
        lane = self._lanes.get(key)
        return len(lane) if lane is not None else 0

    def refs(self, key: int) -> Iterator[int]:
        """The messages of ``key`` in order; for listings."""
        return iter(self._lanes.get(key, ()))

    def push(self, key: int, ref: int) -> None:
        """Last in the line of ``key``."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._open(key)
        lane.push(ref)
        self._refs += 1
        if self._held and key in self._held:
            self._held_refs += 1

    def push_front(self, key: int, ref: int) -> None:
        """First in the line of ``key``: taken, but never offered to the other side. Several go
        back in reverse order. The key's turn is not moved forward."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._open(key)
        lane.push_front(ref)
        self._refs += 1
        if self._held and key in self._held:
            self._held_refs += 1

    def take(self, group: Callable[[int], int], limit: int) -> list[int]:
        """The refs for one transaction: the first of the key whose turn it is, and those right
        behind it with the same ``group`` (the message that they share), at most ``limit`` >= 1.

        Empty if nothing is ready. ``group`` is not called where one ref is all there is to take;
        it must answer for refs that are settled already.
        """
        key = self._rotation.turn()
        if key is None:
            return []
        lane = self._lanes[key]
        refs = lane.pop_group(group, limit) if limit > 1 else [lane.pop()]
        self._refs -= len(refs)
        if lane:
            self._rotation.add(key)
        else:
            del self._lanes[key]
        return refs

    def hold(self, key: int) -> None:
        """No turns for ``key`` until :meth:`release`; what is pushed meanwhile waits with it."""
        if self._held is None:
            self._held = set()
        if key in self._held:
            return
        self._held.add(key)
        lane = self._lanes.get(key)
        if lane is not None:
            self._rotation.remove(key)
            self._held_refs += len(lane)

    def release(self, key: int) -> None:
        if not self.held(key):
            return
        assert self._held is not None
        self._held.discard(key)
        lane = self._lanes.get(key)
        if lane is not None:
            self._rotation.add(key)
            self._held_refs -= len(lane)

    def held(self, key: int) -> bool:
        return self._held is not None and key in self._held

    def drop(self, key: int) -> IntQueue:
        """Takes out every message of ``key`` and hands them over; O(1). A hold stays."""
        lane = self._lanes.pop(key, None)
        if lane is None:
            return IntQueue()
        self._refs -= len(lane)
        if self.held(key):
            self._held_refs -= len(lane)
        else:
            self._rotation.remove(key)
        return lane

    def _open(self, key: int) -> IntQueue:
        lane = self._lanes[key] = IntQueue()
        if not self._held or key not in self._held:
            self._rotation.add(key)
        return lane
