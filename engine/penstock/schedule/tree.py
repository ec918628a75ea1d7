"""Where the lanes of a ready queue stand: class, tenant, campaign; built only as far as needed.

Most sites have mail of one campaign only, so at first there is nothing but that campaign's ring.
The levels above it come when a lane elsewhere does, or when somebody puts one of them to sleep, and
they go when the last lane is closed. A tenant or campaign without lanes is forgotten.
"""

from __future__ import annotations

from typing import NamedTuple

from penstock.schedule.branch import Branch, Ring
from penstock.schedule.classes import Classes
from penstock.schedule.lane import Lane
from penstock.schedule.node import Node
from penstock.schedule.rotation import gain, lose
from penstock.schedule.shares import Shares


class Place(NamedTuple):
    """Where a lane stands. ``class_``: 0 transactional, 1 triggered, 2 bulk; weights are >= 1."""

    class_: int
    tenant: str
    tenant_weight: int
    campaign: str
    campaign_weight: int


ANYWHERE = Place(1, "", 1, "", 1)


class Tree:
    """``root``: what to ask for the lane whose turn it is; its ``ready`` is the site's."""

    __slots__ = ("_floors", "_only", "root")

    def __init__(self, floors: tuple[float, float, float]) -> None:
        self._floors = floors
        self._only = ANYWHERE  # where root stands while it is a lone ring
        self.root: Branch = Ring("campaign")

    def set_floors(self, floors: tuple[float, float, float]) -> None:
        self._floors = floors
        if isinstance(self.root, Classes):
            self.root.set_floors(floors)

    def open(self, lane: Lane, place: Place) -> None:
        """A lane that stands nowhere yet."""
        self._attach(lane, self._ring(place))

    def _attach(self, lane: Lane, ring: Ring) -> None:
        lane.parent = ring
        ring.members += 1
        if lane.ready and not lane.blocked:
            ring.link(lane)
            gain(ring, lane.ready)

    def close(self, lane: Lane) -> None:
        """The lane stands nowhere any more."""
        ring = lane.parent
        assert ring is not None
        if lane.following is not None:
            ring.unlink(lane)
            lose(ring, lane.ready)
        lane.parent = None
        ring.members -= 1
        node = ring
        while not node.members and isinstance(node.parent, Shares):
            above = node.parent
            above.remove(node)
            node = above

    def move(self, lane: Lane, place: Place) -> None:
        """Somewhere else, or the same with other weights; O(1) in its messages."""
        root = self.root
        if isinstance(root, Ring) and root.members == 1:
            self._only = place
            return
        ring = self._ring(place)
        if ring is not lane.parent:
            self.close(lane)
            self._attach(lane, ring)

    def reset(self) -> None:
        """There are no lanes any more."""
        if not isinstance(self.root, Ring):
            self.root = Ring("campaign")

    def above(self, lane: Lane, level: str) -> Node:
        """The node of ``level`` that contains ``lane``."""
        if level == "lane":
            return lane
        self._grow()
        node: Node | None = lane.parent
        while node is not None and node.level != level:
            node = node.parent
        if node is None or level == "site":
            raise ValueError(f"no level {level!r}")
        return node

    def _ring(self, place: Place) -> Ring:
        """The campaign of ``place``, made where it is missing; its weights are those told last."""
        root = self.root
        if isinstance(root, Ring) and (not root.members or _path(place) == _path(self._only)):
            self._only = place
            return root
        klass = self._grow().of(place.class_)
        tenant = klass.children.get(place.tenant)
        if tenant is None:
            tenant = Shares("tenant", place.tenant, place.tenant_weight)
            klass.add(tenant)
        klass.weigh(tenant, place.tenant_weight)
        ring: Ring | None = tenant.children.get(place.campaign)
        if ring is None:
            ring = Ring("campaign", place.campaign, place.campaign_weight)
            tenant.add(ring)
        tenant.weigh(ring, place.campaign_weight)
        return ring

    def _grow(self) -> Classes:
        """All levels, around the lone ring."""
        ring = self.root
        if isinstance(ring, Classes):
            return ring
        place = self._only
        root = Classes(self._floors)
        klass = root.of(place.class_)
        tenant = Shares("tenant", place.tenant, place.tenant_weight)
        klass.add(tenant)
        ring.name, ring.weight = place.campaign, place.campaign_weight
        tenant.add(ring)
        if ring.ready:
            tenant.link(ring)
            gain(tenant, ring.ready)
        self.root = root
        return root


def _path(place: Place) -> tuple[int, str, str]:
    return place.class_, place.tenant, place.campaign
