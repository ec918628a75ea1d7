"""A disk in memory that can lose power.

It keeps what a real one may keep: after ``crash`` every write and truncation that was not synced
is there, missing or torn, every name that was not synced is there or not, each decided by the
given generator. Every I/O call is numbered, so a test can pull the plug (``cut_at``) or make the
call fail (``faults``) at each one.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Sequence
from typing import Final

from penstock_queue.direct import Done
from penstock_queue.disk import Space
from penstock_queue.errors import QueueLocked
from penstock_queue.record import ALIGN

SECTOR: Final = 512
# Numbers of files from here on are none that a real kernel knows.
NO_DESCRIPTOR: Final = 1 << 30


class PowerCut(Exception):
    """The machine is off: nothing works until ``SimDisk.crash``."""


class Inode:
    """``view`` is what a reader sees, ``durable`` what is sure; ``changes`` lie between them:
    ``(offset, data)``, or ``(size, None)`` for a truncation."""

    def __init__(self) -> None:
        self.view = bytearray()
        self.durable = bytearray()
        self.changes: list[tuple[int, bytes | None]] = []

    def change(self, offset: int, data: bytes | None) -> None:
        _apply(self.view, offset, data)
        self.changes.append((offset, data))

    def settle(self, rng: random.Random | None) -> None:
        """All changes become durable, or each as chance has it."""
        for offset, data in self.changes:
            if rng is None:
                _apply(self.durable, offset, data)
            else:
                _apply_perhaps(self.durable, offset, data, rng)
        self.changes.clear()


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        if offset < len(content):
            del content[offset:]
        else:
            content.extend(bytes(offset - len(content)))
        return
    if offset > len(content):
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _apply_perhaps(content: bytearray, offset: int, data: bytes | None, rng: random.Random) -> None:
    fate = rng.randrange(4)
    if fate == 0:
        return
    if data is None or fate == 1:
        _apply(content, offset, data)
    elif fate == 2:
        _apply(content, offset, data[: rng.randrange(len(data) + 1)])
    else:
        at = 0
        while at < len(data):
            end = min(len(data), ((offset + at) // SECTOR + 1) * SECTOR - offset)
            if rng.random() < 0.7:
                _apply(content, offset + at, data[at:end])
            at = end


class SimFile:
    def __init__(self, disk: SimDisk, inode: Inode) -> None:
        self._disk = disk
        self._inode = inode
        self.direct = -1

    def write(self, buffers: Sequence[bytes], offset: int) -> None:
        self._disk.call("write")
        data = b"".join(buffers)
        room = self._disk.room(self._inode, offset + len(data))
        self._inode.change(offset, data[: max(0, len(data) - room)])
        self._disk.survive()
        if room > 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self) -> None:
        try:
            self._disk.call("sync")
        except OSError:
            # As on Linux: what could not be written is forgotten, a later sync will not bring it.
            self._inode.settle(self._disk.rng)
            raise
        self._disk.survive()
        self._inode.settle(None)

    def read(self, offset: int, size: int) -> bytes:
        self._disk.call("read")
        self._disk.survive()
        return bytes(self._inode.view[offset : offset + size])

    def allocate(self, size: int) -> None:
        self._disk.call("allocate")
        if self._disk.room(self._inode, size) > 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._inode.change(size, None)
        self._disk.survive()
        if self.direct < 0:
            self.direct = NO_DESCRIPTOR + len(self._disk.files)
            self._disk.files.append(self)

    def truncate(self, size: int) -> None:
        self._disk.call("truncate")
        self._inode.change(size, None)
        self._disk.survive()

    def size(self) -> int:
        return len(self._inode.view)

    def close(self) -> None:
        pass


class SimDirect:
    """Writes to a ``SimDisk`` in a job, which ``order`` has done some time; ``tell`` calls back."""

    def __init__(
        self,
        disk: SimDisk,
        order: Callable[[Callable[[], None]], None],
        tell: Callable[[Callable[[], None]], object],
    ) -> None:
        self._disk, self._order, self._tell = disk, order, tell

    def write(self, descriptor: int, buffers: Sequence[bytes], offset: int, done: Done) -> None:
        data = b"".join(buffers)
        if len(data) % ALIGN or offset % ALIGN:
            raise ValueError(f"{len(data)} bytes at {offset} are not whole blocks")
        file = self._disk.files[descriptor - NO_DESCRIPTOR]
        self._order(lambda: self._write(file, data, offset, done))

    def _write(self, file: SimFile, data: bytes, offset: int, done: Done) -> None:
        failed: OSError | None = None
        try:
            file.write([data], offset)
            file.sync()
        except OSError as error:
            failed = error
        self._tell(lambda: done(failed))

    def close(self) -> None:
        pass


class SimMapping:
    def __init__(self, content: bytearray) -> None:
        self._view = memoryview(content)

    @property
    def view(self) -> memoryview:
        return self._view

    def close(self) -> None:
        self._view.release()


class SimLock:
    def __init__(self, disk: SimDisk, path: str) -> None:
        self._disk = disk
        self._path = path

    def close(self) -> None:
        self._disk.locks.discard(self._path)


class SimDisk:
    """``calls``: I/O calls so far. ``cut_at``: the call at which the power fails. ``faults``:
    errno by call number. ``failing``: errno by kind of call, until taken out. ``capacity``:
    bytes that fit."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = random.Random(seed)  # noqa: S311  a simulation, replayable by its seed
        self.calls = 0
        self.cut_at: int | None = None
        self.faults: dict[int, int] = {}
        self.failing: dict[str, int] = {}
        self.capacity: int | None = None
        self.dead = False
        self.locks: set[str] = set()
        self.files: list[SimFile] = []  # by their ``direct``
        self.names: dict[str, Inode] = {}
        self._durable_names: dict[str, Inode] = {}
        self._changes: list[list[tuple[str, Inode | None]]] = []
        self._maps: dict[str, bytearray] = {}

    # What happens to it

    def call(self, kind: str) -> None:
        if self.dead:
            raise PowerCut(kind)
        self.calls += 1
        number = self.faults.get(self.calls) or self.failing.get(kind)
        if number:
            raise OSError(number, os.strerror(number))

    def survive(self) -> None:
        """The effect of a call is known to the disk; does its caller still hear of it?"""
        if self.cut_at is not None and self.calls >= self.cut_at:
            self.dead = True
            raise PowerCut(f"call {self.calls}")

    def crash(self, rng: random.Random) -> None:
        """Power is lost and comes back."""
        for change in self._changes:
            if rng.random() < 0.5:
                self._make_durable(change)
        self._changes.clear()
        self.names = dict(self._durable_names)
        for inode in {id(inode): inode for inode in self.names.values()}.values():
            inode.settle(rng)
            inode.view = bytearray(inode.durable)
        for path, content in self._maps.items():
            self._maps[path] = bytearray(content if rng.random() < 0.5 else len(content))
        self.kill()

    def kill(self) -> None:
        """The process dies, the machine goes on."""
        self.dead = False
        self.cut_at = None
        self.locks.clear()

    def room(self, inode: Inode, end: int) -> int:
        """By how many bytes a file that grows to ``end`` would pass the capacity."""
        if self.capacity is None or end <= len(inode.view):
            return 0
        used = sum(len(other.view) for other in self.names.values() if other is not inode)
        return max(0, used + end - max(self.capacity, used + len(inode.view)))

    def _make_durable(self, change: list[tuple[str, Inode | None]]) -> None:
        for path, inode in change:
            if inode is None:
                self._durable_names.pop(path, None)
            else:
                self._durable_names[path] = inode

    def _change(self, *change: tuple[str, Inode | None]) -> None:
        """Names that change together: after a crash all of it happened or nothing."""
        for path, inode in change:
            if inode is None:
                del self.names[path]
            else:
                self.names[path] = inode
        self._changes.append(list(change))

    # The port

    def make_directory(self, directory: str) -> None:
        self.call("make_directory")
        self.survive()

    def list(self, directory: str) -> list[str]:
        prefix = directory + "/"
        paths = [*self.names, *self._maps]
        return sorted(path[len(prefix) :] for path in paths if path.startswith(prefix))

    def create(self, path: str) -> SimFile:
        self.call("create")
        if path in self.names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        inode = Inode()
        self._change((path, inode))
        self.survive()
        return SimFile(self, inode)

    def open(self, path: str, *, write: bool = False) -> SimFile:
        self.call("open")
        self.survive()
        return SimFile(self, self._find(path))

    def _find(self, path: str) -> Inode:
        inode = self.names.get(path)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return inode

    def delete(self, path: str) -> None:
        self.call("delete")
        self._find(path)
        self._change((path, None))
        self.survive()

    def rename(self, old: str, new: str) -> None:
        self.call("rename")
        inode = self._find(old)
        self._change((old, None), (new, inode))
        self.survive()

    def sync_directory(self, directory: str) -> None:
        self.call("sync_directory")
        self.survive()
        for change in self._changes:
            self._make_durable(change)
        self._changes.clear()

    def lock(self, path: str) -> SimLock:
        if path in self.locks:
            raise QueueLocked(path)
        self.locks.add(path)
        return SimLock(self, path)

    def map(self, path: str, size: int) -> SimMapping:
        self.call("map")
        self.survive()
        content = self._maps.get(path, bytearray())
        if len(content) < size:
            content = content + bytearray(size - len(content))
        self._maps[path] = content
        return SimMapping(content)

    def free(self, directory: str) -> Space:
        if self.capacity is None:
            return Space(1 << 40, 1 << 20)
        used = sum(len(inode.view) for inode in self.names.values())
        return Space(max(0, self.capacity - used), 1 << 20)

    def token(self) -> bytes:
        return self.rng.randbytes(8)
