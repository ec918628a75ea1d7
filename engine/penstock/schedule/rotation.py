"""Whose turn it is: round robin over keys, apart from what the keys hold.

The keys stand in an :class:`IntQueue`, 8 bytes each. One that is removed stays where it stands and
is passed over when its turn comes, once; added again before that, it has its old place back.
"""

from __future__ import annotations

from penstock.schedule.intqueue import IntQueue


class Rotation:
    """A set of keys in the order of their turns. O(1) amortised in everything."""

    __slots__ = ("_absent", "_turns")

    def __init__(self) -> None:
        self._turns = IntQueue()
        self._absent: set[int] | None = None  # removed, but still standing in _turns

    def __len__(self) -> int:
        return len(self._turns) - (len(self._absent) if self._absent else 0)

    def add(self, key: int) -> None:
        """``key``, which is not in it, gets the last turn."""
        if self._absent and key in self._absent:
            self._absent.discard(key)
        else:
            self._turns.push(key)

    def remove(self, key: int) -> None:
        """``key``, which is in it, has no turn any more."""
        if self._absent is None:
            self._absent = set()
        self._absent.add(key)
        if len(self._absent) == len(self._turns):
            self._turns.clear()
            self._absent = None

    def turn(self) -> int | None:
        """Takes out the key whose turn it is; ``None`` if there is none. It has no further turn
        unless it is added again."""
        absent = self._absent
        while True:
            try:
                key = self._turns.pop()
            except IndexError:
                return None
            if not absent or key not in absent:
                return key
            absent.discard(key)
