"""The branches of a ready queue's tree: children that can be taken from stand in a ring.

The ring is linked through the children themselves: to join, to leave and to pass the turn on is
O(1), and who is held, asleep or empty is not in it and is never looked at.
"""

from __future__ import annotations

from typing import Any

from penstock.schedule.node import Node


class Branch(Node):
    """A node with others below it. ``weight``: its share among its siblings; ``credit``: what it
    may still take in this turn, below 0 what it took too much."""

    __slots__ = ("clear_at", "credit", "head", "members", "name", "weight")

    def __init__(self, level: str, name: str = "", weight: int = 1) -> None:
        super().__init__(level)
        self.name = name
        self.weight = weight
        self.credit = 0.0
        self.clear_at = 0.0
        self.members = 0  # children, with and without messages
        self.head: Any = None  # the child whose turn it is, of the kind that belongs below this

    def link(self, child: Any) -> None:
        """``child`` gets the last turn."""
        head = self.head
        if head is None:
            self.head = child.preceding = child.following = child
        else:
            last = head.preceding
            child.preceding, child.following = last, head
            last.following = head.preceding = child

    def unlink(self, child: Any) -> None:
        """``child``, which is in the ring, has no turn any more."""
        following = child.following
        if following is child:
            self.head = None
        else:
            child.preceding.following = following
            following.preceding = child.preceding
            if self.head is child:
                self.head = following
        child.preceding = child.following = None


class Ring(Branch):
    """A campaign: its lanes take turns, a transaction each."""

    __slots__ = ()
