"""Fresh messages in memory, so that most are delivered without reading the disk.

Bounded in bytes; the oldest go first. Holds the very buffers that were appended, joined when
first asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from penstock_queue.config import Loaded, NewEntry

# What the Python objects of one cached message take besides its bytes.
OVERHEAD_BYTES = 600


class Cached:
    __slots__ = ("body", "entries", "meta", "size")

    def __init__(
        self, meta: bytes, body: Sequence[bytes], entries: Sequence[NewEntry], size: int
    ) -> None:
        self.meta = meta
        self.body = body
        self.entries = entries
        self.size = size


class Cache:
    def __init__(self, bytes_max: int) -> None:
        self._max = bytes_max
        self._items: OrderedDict[int, Cached] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(
        self,
        seq: int,
        meta: bytes,
        body: Sequence[bytes],
        entries: Sequence[NewEntry],
        size: int,
    ) -> None:
        size += OVERHEAD_BYTES
        if size > self._max:
            return
        self._items[seq] = Cached(meta, body, entries, size)
        self.bytes += size
        while self.bytes > self._max:
            self.bytes -= self._items.popitem(last=False)[1].size

    def drop(self, seq: int) -> None:
        item = self._items.pop(seq, None)
        if item is not None:
            self.bytes -= item.size

    def get(self, seq: int, position: int) -> Loaded | None:
        """Entry number ``position`` of the message ``seq``."""
        item = self._items.get(seq)
        if item is None:
            return None
        body = item.body
        if len(body) != 1:
            item.body = body = (b"".join(body),)
        return Loaded(item.meta, item.entries[position].meta, body[0], b"")
