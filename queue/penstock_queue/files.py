"""Segments open for reading: bounded in number, safe to use from several threads."""

from __future__ import annotations

from threading import Lock

from penstock_queue.disk import Disk, File


class Files:
    def __init__(self, disk: Disk, files_max: int) -> None:
        self._disk = disk
        self._max = files_max
        self._open: dict[str, File] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._open)

    def read(self, path: str, offset: int, size: int) -> bytes:
        """As ``File.read``. The lock also keeps a file from being closed under a reader."""
        with self._lock:
            file = self._open.pop(path, None)
            if file is None:
                while len(self._open) >= self._max:
                    self._open.pop(next(iter(self._open))).close()
                file = self._disk.open(path)
            self._open[path] = file
            return file.read(offset, size)

    def drop(self, path: str) -> None:
        with self._lock:
            file = self._open.pop(path, None)
            if file is not None:
                file.close()

    def close(self) -> None:
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()
