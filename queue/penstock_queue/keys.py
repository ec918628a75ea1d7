"""Keys as small numbers, so that an entry holds four bytes for its key.

A number is never given to another key, so callers may keep it. Keys without entries are
forgotten only when ``keys_max`` is reached, all at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from penstock_queue.errors import QueueFull


class Keys:
    def __init__(self, keys_max: int) -> None:
        self._max = keys_max
        self._ids: dict[bytes, int] = {}
        self._keys: dict[int, bytes] = {}
        self._entries: dict[int, int] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._ids)

    def intern(self, key: bytes) -> int:
        """The number of ``key``; raises ``QueueFull`` where ``keys_max`` keys have entries."""
        number = self._ids.get(key)
        if number is not None:
            return number
        if len(self._ids) >= self._max:
            self._forget_unused()
            if len(self._ids) >= self._max:
                raise QueueFull(f"{self._max} different keys have entries")
        return self._new(key)

    def find(self, key: bytes) -> int | None:
        """Its number, where it has one."""
        return self._ids.get(key)

    def load(self, key: bytes) -> int:
        """As ``intern`` for a key found on disk: there is no refusing it."""
        number = self._ids.get(key)
        return self._new(key) if number is None else number

    def _new(self, key: bytes) -> int:
        number = self._ids[key] = self._next
        self._keys[number] = key
        self._next += 1
        return number

    def key(self, number: int) -> bytes:
        """Raises ``KeyError`` for a number never given, or forgotten."""
        return self._keys[number]

    def counts(self) -> list[tuple[bytes, int]]:
        """Every key that has entries, with how many."""
        keys = self._keys
        return [(keys[number], entries) for number, entries in self._entries.items()]

    def counts_of(self, prefixes: tuple[bytes, ...]) -> list[tuple[bytes, int]]:
        """The same for keys that begin with one of ``prefixes``."""
        found = [key for key in self._ids if key.startswith(prefixes)]
        counts = [(key, self._entries.get(self._ids[key], 0)) for key in found]
        return [(key, entries) for key, entries in counts if entries]

    def hold(self, number: int) -> None:
        """One more entry has this key."""
        entries = self._entries
        entries[number] = entries.get(number, 0) + 1

    def count(self, numbers: Iterable[int]) -> None:
        """``hold`` for many."""
        for number, entries in Counter(numbers).items():
            self._entries[number] = self._entries.get(number, 0) + entries

    def release(self, number: int) -> None:
        entries = self._entries
        left = entries[number] - 1
        if left:
            entries[number] = left
        else:
            del entries[number]

    def _forget_unused(self) -> None:
        for key in [key for key, number in self._ids.items() if number not in self._entries]:
            del self._keys[self._ids.pop(key)]
