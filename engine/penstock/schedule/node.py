"""What leaf and branches of a ready queue's tree have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.schedule.branch import Branch


class Node:
    """Something that has turns among its siblings.

    Invariant: it stands in its parent's ring exactly while it is not ``blocked`` and ``ready`` > 0.
    ``ready`` counts the messages that can be taken once it has a turn: it does not ask whether the
    node itself or one above is blocked, so whoever is blocked need not tell those below.
    """

    __slots__ = ("asleep", "blocked", "following", "level", "parent", "preceding", "ready")

    def __init__(self, level: str) -> None:
        self.level = level
        self.parent: Branch | None = None
        self.ready = 0
        self.asleep = False
        self.blocked = False
        # Neighbours in the parent's ring, of the same kind as this; None while not in it.
        self.preceding: Any = None
        self.following: Any = None
