"""A lane: one key's messages at one site, fresh ones and those that were tried before.

A lane is the leaf of the tree that shares out turns (:mod:`penstock.schedule.rotation`).

Mail that failed softly is likely to fail again, and after an outage there is much of it: sent in
order of time it would keep fresh mail waiting for hours. So fresh mail goes first. But where fresh
mail never ends, retries would never be sent: hence one transaction of retries for every four.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from penstock.schedule.intqueue import IntQueue
from penstock.schedule.node import Node

FRESH_TURNS = 4  # transactions of fresh mail for one of retries, where both wait


class Lane(Node):
    """``placed``: somebody said where it stands, so it is kept when it has no messages."""

    __slots__ = ("_fresh", "_fresh_turns", "_retries", "held", "key", "placed")

    def __init__(self, key: int) -> None:
        super().__init__("lane")
        self.key = key
        self.held = False
        self.placed = False
        self._fresh = IntQueue()
        self._retries: IntQueue | None = None
        self._fresh_turns = 0

    def __iter__(self) -> Iterator[int]:
        return chain(self._fresh, self._retries or ())

    def put(self, ref: int) -> None:
        """Last of the fresh ones. The caller counts, here and below."""
        self._fresh.push(ref)

    def put_retry(self, ref: int) -> None:
        if self._retries is None:
            self._retries = IntQueue()
        self._retries.push(ref)

    def put_front(self, ref: int, retry: bool, turn: bool = False) -> None:
        """With ``turn`` it is this line's turn again, of the two."""
        if not retry:
            self._fresh.push_front(ref)
            if turn:
                self._fresh_turns = max(0, self._fresh_turns - 1)
            return
        if turn:
            self._fresh_turns = FRESH_TURNS
        if self._retries is None:
            self._retries = IntQueue()
        self._retries.push_front(ref)

    def pop(self, group: Callable[[int], int], limit: int) -> list[int]:
        """One transaction: fresh and retried messages are never mixed in one."""
        line, retries = self._fresh, self._retries
        if retries is not None:
            if line and self._fresh_turns < FRESH_TURNS:
                self._fresh_turns += 1
            else:
                line, self._fresh_turns = retries, 0
        refs = line.pop_group(group, limit) if limit > 1 else [line.pop()]
        if line is retries and not retries:
            self._retries = None
        return refs

    def clear(self) -> IntQueue:
        """Takes everything out, the fresh ones first."""
        line, self._fresh = self._fresh, IntQueue()
        if self._retries is not None:
            line.extend(self._retries)
            self._retries = None
        return line
