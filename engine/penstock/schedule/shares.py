"""Shares by weight: of a class between its tenants, of a tenant between its campaigns."""

from __future__ import annotations

from typing import Any

from penstock.schedule.branch import Branch


class Shares(Branch):
    """Deficit round robin (Shreedhar and Varghese, 1995), in the variant that pays afterwards: how
    many refs a transaction has is known only when it is taken, so the last one of a turn may take
    more than the child has left, and the child pays for that in its next turns.

    A child that leaves the ring loses what it had left, so nobody saves up turns; but what it took
    too much it still owes when it comes back, or whoever never has more than one large transaction
    waiting would have the largest share. It is forgiven as fast as it would have been paid:
    ``served`` is the refs taken so far for a weight of one, and ``clear_at`` where a child's debt
    ends on that axis. Once nobody waits, nobody owes anything.
    """

    __slots__ = ("_clear_at_most", "children", "granted", "served", "unit", "weights")

    def __init__(self, level: str, name: str = "", weight: int = 1) -> None:
        super().__init__(level, name, weight)
        self.children: dict[str, Any] = {}
        self.unit = 0  # the smallest weight among the children since there have been any
        self.weights = 0  # of the children in the ring
        self.served = 0.0
        self.granted: Any = None  # the child that last had its share, as its turn began
        self._clear_at_most = 0.0

    def add(self, child: Branch) -> None:
        self.unit = min(self.unit, child.weight) if self.children else child.weight
        self.children[child.name] = child
        child.parent = self
        self.members += 1

    def remove(self, child: Branch) -> None:
        """``child``, which has no members any more, is forgotten."""
        del self.children[child.name]
        self.members -= 1
        child.parent = None
        child.asleep = child.blocked = False

    def weigh(self, child: Branch, weight: int) -> None:
        """Another weight from now on."""
        if weight != child.weight:
            if child.following is not None:
                self.weights += weight - child.weight
            child.weight = weight
            self.unit = min(self.unit, weight)

    def skip(self) -> None:
        """All owe something still after a round: gives them at once what they would get in all the
        rounds in which nobody could take anything."""
        first = child = self.head
        rounds = float("inf")
        while True:
            rounds = min(rounds, -child.credit * self.unit // child.weight)
            child = child.following
            if child is first:
                break
        while rounds:
            child.credit += rounds * child.weight / self.unit
            child = child.following
            if child is first:
                break

    def link(self, child: Any) -> None:
        Branch.link(self, child)
        self.weights += child.weight
        owes = child.clear_at > self.served
        child.credit = (self.served - child.clear_at) * child.weight if owes else 0.0

    def unlink(self, child: Any) -> None:
        Branch.unlink(self, child)
        self.weights -= child.weight
        if child.credit < 0:
            child.clear_at = self.served - child.credit / child.weight
            if child.clear_at > self._clear_at_most:
                self._clear_at_most = child.clear_at
        if self.head is None and self.served < self._clear_at_most:
            self.served = self._clear_at_most
