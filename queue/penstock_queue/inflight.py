"""Deliveries under way, in a table that outlives a killed process.

A fixed number of 64-bit slots in a mapped file: to mark is one store into memory, and the kernel
keeps the page when the process dies. After a restart the numbers found there are the entries
that may have been delivered without anybody noting it. A power loss may lose the table; the
entries themselves are safe.
"""

from __future__ import annotations

from penstock_queue.disk import Disk


class Inflight:
    def __init__(self, disk: Disk, path: str, slots: int) -> None:
        self._mapping = disk.map(path, 8 * slots)
        whole = len(self._mapping.view) // 8 * 8
        self._table = self._mapping.view[:whole].cast("Q")
        self._free = list(range(min(slots, len(self._table)) - 1, -1, -1))
        self._slots: dict[int, int] = {}
        self._again: set[int] = set()
        self.overflows = 0

    def __len__(self) -> int:
        return len(self._slots)

    def found(self) -> list[int]:
        """The numbers that the last process left."""
        return sorted({seq for seq in self._table.tolist() if seq})

    def forget_found(self) -> None:
        """They have been reported; what is marked now stays."""
        used = set(self._slots.values())
        for slot, seq in enumerate(self._table.tolist()):
            if seq and slot not in used:
                self._table[slot] = 0

    def mark(self, seq: int) -> None:
        """Where the table is full the entry goes unmarked, and ``overflows`` says so. An entry
        that is marked while an earlier mark waits for its settlement keeps the mark after that
        one."""
        if seq in self._slots:
            self._again.add(seq)
        elif self._free:
            slot = self._slots[seq] = self._free.pop()
            self._table[slot] = seq
        else:
            self.overflows += 1

    def unmark(self, seq: int) -> None:
        self._again.discard(seq)
        slot = self._slots.pop(seq, None)
        if slot is not None:
            self._table[slot] = 0
            self._free.append(slot)

    def settled(self, seq: int) -> None:
        """A settlement of ``seq`` is on disk."""
        if seq in self._again:
            self._again.discard(seq)
        else:
            self.unmark(seq)

    def close(self) -> None:
        self._table.release()
        self._mapping.close()
