"""The limits of one queue, and the values that cross its edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

OFFSET_MAX = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """Every bound of a queue.

    ``segment_bytes``: a segment is closed when it has reached this. ``cache_bytes``: fresh bodies
    kept in memory. ``uncommitted_bytes_max``: what may wait for the disk. ``compact_dead_share``:
    a closed segment with this share dead is rewritten, with ``compact_bytes_per_s`` of reading.
    ``gather_s``: how long a group of messages waits for more, where the one before had more than
    one; ``settle_delay_s``: how long a settlement waits for company. ``inflight_slots``: deliveries
    that can be marked at once. ``keys_max``: distinct keys. ``open_files_max``: segments kept
    open for reading. ``direct_io``: groups go past the page cache where the system can.
    """

    segment_bytes: int = 128 << 20
    cache_bytes: int = 64 << 20
    uncommitted_bytes_max: int = 64 << 20
    compact_dead_share: float = 0.5
    compact_bytes_per_s: int = 16 << 20
    gather_s: float = 0.002
    settle_delay_s: float = 0.01
    inflight_slots: int = 8192
    keys_max: int = 1 << 20
    open_files_max: int = 64
    direct_io: bool = True

    def __post_init__(self) -> None:
        if self.segment_bytes + 2 * self.uncommitted_bytes_max > OFFSET_MAX:
            raise ValueError("segment_bytes + 2 * uncommitted_bytes_max must stay below 4 GiB")
        if not 0.0 < self.compact_dead_share <= 1.0:
            raise ValueError("compact_dead_share must be in (0, 1]")
        for name in ("segment_bytes", "uncommitted_bytes_max", "compact_bytes_per_s"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive")
        for name in ("inflight_slots", "keys_max", "open_files_max"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive")


class NewEntry(NamedTuple):
    """One recipient-like unit of a message. ``due`` and ``expires`` are seconds since the epoch;
    ``due`` 0 means at once, ``expires`` 0 means never."""

    key: bytes
    due: float
    expires: float
    meta: bytes


class Loaded(NamedTuple):
    """A message as one of its entries needs it; ``note`` is that of the last deferral."""

    meta: bytes
    entry_meta: bytes
    body: bytes
    note: bytes
