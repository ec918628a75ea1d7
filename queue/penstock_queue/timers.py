"""When entries are due, as buckets of sequence numbers.

Near deadlines have a bucket for each tick, farther ones share coarser buckets that are dealt out
to finer ones shortly before their time begins, a few at each call, so that a million entries of one
evening stop nobody. Nothing is removed early: an entry that moved or went away is noticed when its
bucket opens, by asking the index. Costs 8 bytes an armed entry.

Expiry needs no bucket at all: each chunk of the index knows its earliest expiry, and
``Expiries`` is the heap of those.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

# By level. Ticks in a bucket are 1 << shift: 1/16 s, 64 s and about 18 hours. A bucket is opened so
# many ticks before its time: 16 s and 17 minutes, enough for three million entries at 100 calls
# a second.
SHIFTS: Final = (0, 10, 20)
LEADS: Final = (0, 256, 16384)
# How many numbers one call may move from coarse buckets to finer ones, and look at to find those
# that are due.
DEAL_MAX: Final = 2048
LOOK_MAX: Final = 8192


class Timers:
    def __init__(self) -> None:
        self._buckets: tuple[dict[int, array[int]], ...] = ({}, {}, {})
        # by level: when each bucket opens, and how much of an open one was taken out already
        self._heaps: tuple[list[int], ...] = ([], [], [])
        self._taken: tuple[dict[int, int], ...] = ({}, {}, {})
        self.entries = 0

    def add(self, tick: int, seq: int, now: int) -> None:
        """``tick``: when it is due; ``now``: the present tick, which decides how coarse."""
        ahead = tick - now
        level = 0 if ahead < 1 << SHIFTS[1] else 1 if ahead < 1 << SHIFTS[2] else 2
        number = tick >> SHIFTS[level]
        bucket = self._buckets[level].get(number)
        if bucket is None:
            bucket = self._buckets[level][number] = array("Q")
            heapq.heappush(self._heaps[level], number)
        bucket.append(seq)
        self.entries += 1

    def load(self, ticks: Iterable[int], seqs: Sequence[int], now: int) -> None:
        """``add`` for many; quick where neighbours share a bucket."""
        last, append = -1, array("Q").append
        near, far = now + (1 << SHIFTS[1]), now + (1 << SHIFTS[2])
        near_shift, far_shift = SHIFTS[1], SHIFTS[2]
        for tick, seq in zip(ticks, seqs, strict=True):
            if tick < near:
                name = tick << 2
            elif tick < far:
                name = tick >> near_shift << 2 | 1
            else:
                name = tick >> far_shift << 2 | 2
            if name == last:
                append(seq)
                continue
            self.add(tick, seq, now)
            self.entries -= 1
            last, append = name, self._buckets[name & 3][name >> 2].append
        self.entries += len(seqs)

    def next_tick(self) -> int | None:
        """When ``pop`` should be called; may be earlier than the first deadline, never later."""
        opens = [
            (heap[0] << shift) - lead
            for heap, shift, lead in zip(self._heaps, SHIFTS, LEADS, strict=True)
            if heap
        ]
        return max(0, min(opens)) if opens else None

    def pop(
        self,
        now: int,
        limit: int,
        ready: Callable[[int, int], bool],
        armed_tick: Callable[[int], int | None],
        out: list[int],
    ) -> None:
        """Append to ``out`` due entries until it holds ``limit``; what is left comes next time.

        ``ready(seq, tick)`` says whether that timer still counts and disarms it;
        ``armed_tick(seq)`` gives the present deadline of an armed entry."""
        deals = DEAL_MAX
        for level in (1, 2):
            heap, opened = self._heaps[level], now + LEADS[level] >> SHIFTS[level]
            while deals and heap and heap[0] <= opened:
                number = heap[0]
                seqs = self._take(level, deals)
                deals -= len(seqs)
                self._deal(seqs, level, number, armed_tick)
        looks, heap = LOOK_MAX, self._heaps[0]
        while looks and heap and heap[0] <= now and len(out) < limit:
            tick = heap[0]
            seqs = self._take(0, min(looks, limit - len(out)))
            looks -= len(seqs)
            out += [seq for seq in seqs if ready(seq, tick)]

    def _take(self, level: int, count: int) -> array[int]:
        """Up to ``count`` numbers out of the first bucket, in their order."""
        number = self._heaps[level][0]
        bucket, taken = self._buckets[level][number], self._taken[level]
        start = taken.pop(number, 0)
        seqs = bucket[start : start + count]
        start += len(seqs)
        self.entries -= len(seqs)
        if start == len(bucket):
            heapq.heappop(self._heaps[level])
            del self._buckets[level][number]
        elif 2 * start >= len(bucket):  # seldom, so that it costs little for each
            del bucket[:start]
        else:
            taken[number] = start
        return seqs

    def _deal(
        self,
        seqs: Sequence[int],
        level: int,
        number: int,
        armed_tick: Callable[[int], int | None],
    ) -> None:
        shift = SHIFTS[level]
        for seq in seqs:
            tick = armed_tick(seq)
            if tick is not None and tick >> shift == number:
                self.add(tick, seq, number << shift)


class HasEarliest(Protocol):
    expires_min: int


class Expiries:
    """A heap of ``(earliest expiry in seconds, chunk number)``; stale items are dropped lazily."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int]] = []

    def push(self, second: int, number: int) -> None:
        heapq.heappush(self._heap, (second, number))

    def next_second(self) -> int | None:
        return self._heap[0][0] if self._heap else None

    def pop(self, second: int, chunks: Mapping[int, HasEarliest]) -> int | None:
        """The number of a chunk that has an entry which expired by ``second``."""
        while self._heap and self._heap[0][0] <= second:
            earliest, number = heapq.heappop(self._heap)
            chunk = chunks.get(number)
            if chunk is not None and chunk.expires_min == earliest:
                return number
        return None
