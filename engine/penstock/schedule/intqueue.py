"""A queue of 64-bit numbers at 8 bytes each: a million waiting messages are no million objects.

An ``array`` with a moving head. What lies before the head is dead; it is cut off when it is half of
the array, so a pop costs a constant on average and memory follows the length down.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator

_DEAD_MIN = 32  # below this, cutting costs more than it frees


class IntQueue:
    """First in, first out, of integers in ``[0, 2**64)``. Everything is amortised O(1)."""

    __slots__ = ("_head", "_items")

    def __init__(self, items: Iterable[int] = ()) -> None:
        self._items = array("Q", items)
        self._head = 0

    def __len__(self) -> int:
        return len(self._items) - self._head

    def __iter__(self) -> Iterator[int]:
        """From the head to the tail; do not change the queue meanwhile."""
        items = self._items
        return (items[at] for at in range(self._head, len(items)))

    def push(self, item: int) -> None:
        self._items.append(item)

    def extend(self, items: Iterable[int]) -> None:
        if isinstance(items, IntQueue):  # as bytes, not number by number
            items = items._items[items._head :]
        self._items.extend(items)

    def push_front(self, item: int) -> None:
        """Makes ``item`` the next to be popped."""
        if self._head == 0:
            room = max(4, len(self._items) // 2)
            self._items[0:0] = array("Q", bytes(8 * room))
            self._head = room
        self._items[self._head - 1] = item
        self._head -= 1

    def peek(self) -> int:
        """The next one; ``IndexError`` if there is none."""
        return self._items[self._head]

    def pop(self) -> int:
        """Removes and returns the next one; ``IndexError`` if there is none."""
        items = self._items
        head = self._head
        item = items[head]
        head += 1
        length = len(items)
        if head == length or (head >= _DEAD_MIN and 2 * head >= length):
            del items[:head]
            head = 0
        self._head = head
        return item

    def pop_group(self, group: Callable[[int], int], limit: int) -> list[int]:
        """Pops the next one and those right behind it of the same ``group``, at most ``limit``."""
        popped = [self.pop()]
        if limit > 1 and self._items:
            items = self._items
            at = self._head
            same = group(popped[0])
            end = min(len(items), at + limit - 1)
            while at < end and group(items[at]) == same:
                popped.append(items[at])
                at += 1
            self._head = at
            if at == len(items) or (at >= _DEAD_MIN and 2 * at >= len(items)):
                del items[:at]
                self._head = 0
        return popped

    def clear(self) -> None:
        del self._items[:]
        self._head = 0

    @property
    def bytes_held(self) -> int:
        """Bytes of the array, dead ones included (its spare room, an eighth, is not)."""
        return len(self._items) * self._items.itemsize
