"""When entries are due, as buckets of sequence numbers.

Near deadlines have a bucket for each tick, farther ones share coarser buckets that are dealt out
to finer ones when their time begins. Nothing is removed early: an entry that moved or went away
is noticed when its bucket opens, by asking the index. Costs 8 bytes an armed entry.

Expiry needs no bucket at all: each chunk of the index knows its earliest expiry, and
``Expiries`` is the heap of those.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

# Ticks in a bucket are 1 << shift: 1/16 s, 64 s and about 18 hours.
SHIFTS: Final = (0, 10, 20)
# How many numbers one call may move from a coarse bucket to finer ones.
DEAL_MAX: Final = 32768


class Timers:
    def __init__(self) -> None:
        self._buckets: tuple[dict[int, array[int]], ...] = ({}, {}, {})
        self._heap: list[int] = []  # start tick << 2 | level
        self.entries = 0

    def add(self, tick: int, seq: int, now: int) -> None:
        """``tick``: when it is due; ``now``: the present tick, which decides how coarse."""
        ahead = tick - now
        level = 0 if ahead < 1 << SHIFTS[1] else 1 if ahead < 1 << SHIFTS[2] else 2
        shift = SHIFTS[level]
        buckets = self._buckets[level]
        number = tick >> shift
        bucket = buckets.get(number)
        if bucket is None:
            bucket = buckets[number] = array("Q")
            heapq.heappush(self._heap, number << shift + 2 | level)
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
        return self._heap[0] >> 2 if self._heap else None

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
        while self._heap and self._heap[0] >> 2 <= now and len(out) < limit and deals > 0:
            level = self._heap[0] & 3
            start = self._heap[0] >> 2
            number = start >> SHIFTS[level]
            bucket = self._buckets[level][number]
            if level == 0:
                taken = self._fire(bucket, start, limit, ready, out)
            else:
                taken = min(len(bucket), deals)
                deals -= taken
            if taken == len(bucket):
                heapq.heappop(self._heap)
                del self._buckets[level][number]
            else:
                self._buckets[level][number] = bucket[taken:]
            self.entries -= taken
            if level:
                self._deal(bucket, taken, level, number, armed_tick)

    @staticmethod
    def _fire(
        bucket: array[int],
        tick: int,
        limit: int,
        ready: Callable[[int, int], bool],
        out: list[int],
    ) -> int:
        taken = 0
        for seq in bucket:
            if len(out) >= limit:
                break
            taken += 1
            if ready(seq, tick):
                out.append(seq)
        return taken

    def _deal(
        self,
        bucket: array[int],
        taken: int,
        level: int,
        number: int,
        armed_tick: Callable[[int], int | None],
    ) -> None:
        shift = SHIFTS[level]
        for seq in bucket[:taken]:
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
