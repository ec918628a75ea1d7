"""The disk as a port, and the real one.

Everything durable goes through ``Disk``: a file's content is on disk after ``File.sync``, a name
(created, renamed, deleted) after ``sync_directory``. Errors are ``OSError``. ``SimDisk`` is the
other implementation; the same tests run against both.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple, Protocol

from penstock_queue.errors import QueueLocked

IOV_MAX = 1024


class Space(NamedTuple):
    """What an unprivileged process may still take; ``inodes`` is -1 where they are not counted."""

    bytes: int
    inodes: int


class File(Protocol):
    def write(self, buffers: Sequence[bytes], offset: int) -> None:
        """All buffers one after the other from ``offset``; raises ``OSError`` if not all fits."""
        ...

    def sync(self) -> None:
        """Content and size are durable when this returns (fdatasync)."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes; shorter only at the end of the file."""
        ...

    def allocate(self, size: int) -> None:
        """Grow to ``size`` bytes with zeros that have their place on the disk; no longer than that
        before. Raises ``OSError`` where there is no room, or no way."""
        ...

    @property
    def direct(self) -> int:
        """A descriptor to write past the page cache, -1 where there is none; known after
        ``allocate``."""
        ...

    def truncate(self, size: int) -> None: ...
    def size(self) -> int: ...
    def close(self) -> None: ...


class Mapping(Protocol):
    """A file mapped into memory: stores survive the death of the process, not a power loss."""

    @property
    def view(self) -> memoryview: ...
    def close(self) -> None: ...


class Lock(Protocol):
    def close(self) -> None: ...


class Disk(Protocol):
    def make_directory(self, directory: str) -> None: ...
    def list(self, directory: str) -> list[str]: ...
    def create(self, path: str) -> File: ...
    def open(self, path: str, *, write: bool = False) -> File: ...
    def delete(self, path: str) -> None: ...
    def rename(self, old: str, new: str) -> None: ...
    def sync_directory(self, directory: str) -> None: ...
    def lock(self, path: str) -> Lock:
        """Exclusive, released by ``close`` or the end of the process; raises ``QueueLocked``."""
        ...

    def map(self, path: str, size: int) -> Mapping:
        """At least ``size`` bytes, all of the file where it is larger; created as zeros."""
        ...

    def free(self, directory: str) -> Space: ...
    def token(self) -> bytes:
        """8 bytes that nobody can foresee."""
        ...


class RealFile:
    def __init__(self, descriptor: int) -> None:
        self._fd = descriptor
        self.direct = -1

    def write(self, buffers: Sequence[bytes], offset: int) -> None:
        pending = iter(buffers)
        while chunk := list(islice(pending, IOV_MAX)):
            offset = self._write_chunk(chunk, offset)

    def _write_chunk(self, chunk: list[bytes], offset: int) -> int:
        wanted = sum(map(len, chunk))
        done = os.pwritev(self._fd, chunk, offset)
        while done < wanted:
            rest = memoryview(b"".join(chunk))[done:]
            written = os.pwrite(self._fd, rest, offset + done)
            done += written
        return offset + wanted

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def read(self, offset: int, size: int) -> bytes:
        data = os.pread(self._fd, size, offset)
        while len(data) < size:
            more = os.pread(self._fd, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def allocate(self, size: int) -> None:
        # from where it ends: where the file system cannot, the C library touches every block
        end = self.size()
        os.posix_fallocate(self._fd, end, size - end)
        if self.direct < 0:
            with suppress(OSError):  # a file system that cannot: the page cache will do
                flags = os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC
                self.direct = os.open(f"/proc/self/fd/{self._fd}", flags)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def close(self) -> None:
        for descriptor in (self._fd, self.direct):
            if descriptor >= 0:
                os.close(descriptor)
        self._fd = self.direct = -1


class RealMapping:
    def __init__(self, path: str, size: int) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = max(size, os.fstat(descriptor).st_size)
            os.ftruncate(descriptor, size)
            # Without blocks behind it, a store into the map of a full disk would be a SIGBUS.
            os.posix_fallocate(descriptor, 0, size)
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        self._view = memoryview(self._map)

    @property
    def view(self) -> memoryview:
        return self._view

    def close(self) -> None:
        self._view.release()
        self._map.close()


class RealDisk:
    """The operating system's files."""

    def make_directory(self, directory: str) -> None:
        missing = []
        at = os.path.abspath(directory)
        while not os.path.isdir(at):
            missing.append(at)
            at = os.path.dirname(at)
        for path in reversed(missing):
            os.mkdir(path, 0o700)
            self.sync_directory(os.path.dirname(path))

    def list(self, directory: str) -> list[str]:
        return sorted(os.listdir(directory))

    def create(self, path: str) -> RealFile:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return RealFile(os.open(path, flags, 0o600))

    def open(self, path: str, *, write: bool = False) -> RealFile:
        flags = os.O_RDWR if write else os.O_RDONLY
        return RealFile(os.open(path, flags | os.O_CLOEXEC))

    def delete(self, path: str) -> None:
        os.unlink(path)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)

    def sync_directory(self, directory: str) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self, path: str) -> RealFile:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise QueueLocked(os.path.dirname(path)) from None
        return RealFile(descriptor)

    def map(self, path: str, size: int) -> RealMapping:
        return RealMapping(path, size)

    def free(self, directory: str) -> Space:
        stat = os.statvfs(directory)
        return Space(stat.f_bavail * stat.f_frsize, stat.f_favail if stat.f_files else -1)

    def token(self) -> bytes:
        return os.urandom(8)
