"""What can go wrong with a queue, each with one meaning for the caller."""

from __future__ import annotations

import os


class QueueError(Exception):
    """The common ancestor of every error of this library."""


class QueueLocked(QueueError):
    """Another process holds the queue in ``directory``."""

    def __init__(self, directory: str) -> None:
        super().__init__(f"the queue in {directory} is open in another process")
        self.directory = directory


class QueueFull(QueueError):
    """Nothing more is taken now: too much waits for the disk, or the disk is full."""


class CommitFailed(QueueError):
    """A group could not be made durable: its messages are gone, its settlements are kept."""

    def __init__(self, error: OSError) -> None:
        number = error.errno or 0
        super().__init__(f"commit failed: {os.strerror(number) if number else error}")
        self.errno = number


class FormatTooNew(QueueError):
    """A file was written by a newer version of this library; nothing was touched."""

    def __init__(self, path: str, found: int, known: int) -> None:
        super().__init__(f"{path} has format {found}; this version reads up to format {known}")
        self.path = path
        self.found = found
