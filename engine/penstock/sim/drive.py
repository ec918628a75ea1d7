"""The disk of a simulated host: ``SimDisk`` with somebody who watches what is asked of it.

What the watcher knows is only what a disk knows: which file was written, which sync came back
well. From that alone follows what an engine may acknowledge, and what must be there after a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from penstock_queue.simdisk import Inode, SimDisk, SimFile


class WatchedFile(SimFile):
    def __init__(self, drive: Drive, inode: Inode, path: str) -> None:
        super().__init__(drive, inode)
        self._drive, self._watched, self._path = drive, inode, path

    def write(self, buffers: Sequence[bytes], offset: int) -> None:
        drive = self._drive
        data = b"".join(buffers)
        # what can be read there may be written in place, byte by byte the same: nothing is added
        same = self._watched.view[offset : offset + len(data)] == data
        if self._watched in drive.distrusted and not same:
            drive.broken_rules.append(f"{self._path} was written again after a failed sync")
        drive.wrote = False
        try:
            super().write(buffers, offset)
        except OSError:
            drive.count("write failed")
            raise
        drive.wrote = offset > 0  # a new file's header is no group

    def sync(self) -> None:
        drive = self._drive
        try:
            super().sync()
        except OSError:
            drive.count("sync failed")
            drive.distrusted.add(self._watched)
            raise
        if drive.wrote and self._watched not in drive.distrusted:
            drive.synced_from = max(drive.synced_from, drive.job_began)


class Drive(SimDisk):
    """``job_began``: when the job that runs now was ordered, on the world's count of events;
    ``synced_from``: the latest such time of a job whose writes are durable. ``broken_rules``: what
    no engine may do. ``cut_in``: the machine stops at that I/O call from now, ``None``: not."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.job_began = 0
        self.synced_from = 0
        self.wrote = False
        self.distrusted: set[Inode] = set()
        self.broken_rules: list[str] = []
        self.counts: dict[str, int] = {}
        self.cut_in: int | None = None

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def run(self, job: Callable[[], None], began: int) -> bool:
        """Do a blocking job; False where the machine stopped in the middle of it."""
        self.job_began, self.wrote = began, False
        before = self.calls
        if self.cut_in is not None:
            self.cut_at = self.calls + self.cut_in
        with suppress(Exception):  # a job reports its own failures
            job()
        if self.dead:
            self.cut_in = None
            return False
        self.cut_at = None
        if self.cut_in is not None:
            self.cut_in = max(1, self.cut_in - (self.calls - before))
        return True

    def create(self, path: str) -> SimFile:
        super().create(path)
        return WatchedFile(self, self.names[path], path)

    def open(self, path: str, *, write: bool = False) -> SimFile:
        super().open(path, write=write)
        return WatchedFile(self, self.names[path], path)

    def leave_to_the_dead(self) -> None:
        """What the dead process still holds of the mapped files is its own copy from now on."""
        for path, content in self._maps.items():
            self._maps[path] = bytearray(content)
