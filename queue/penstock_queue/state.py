"""What all parts of one open queue share: its columns, segments, keys, timers and files."""

from __future__ import annotations

from penstock_queue.config import QueueConfig
from penstock_queue.disk import Disk, Lock
from penstock_queue.files import Files
from penstock_queue.index import Index
from penstock_queue.inflight import Inflight
from penstock_queue.keys import Keys
from penstock_queue.reader import Reader
from penstock_queue.segment import Segments, file_name
from penstock_queue.timers import Timers


class State:
    """``next_seq``: the first number never given out. ``group``: the number of the last group.
    ``implied``: settlements that recovery concluded, to be recorded with the next group."""

    def __init__(
        self, directory: str, config: QueueConfig, disk: Disk, lock: Lock, now: float
    ) -> None:
        self.directory = directory
        self.config = config
        self.disk = disk
        self.lock = lock
        self.index = Index(now)
        self.segments = Segments()
        self.keys = Keys(config.keys_max)
        self.timers = Timers()
        self.files = Files(disk, config.open_files_max)
        self.reader = Reader(self.index, self.segments, self.files, self.path)
        self.next_seq = 1
        self.group = 0
        self.implied: list[int] = []
        self.inflight: Inflight

    def path(self, number: int) -> str:
        """The file of segment ``number``."""
        return f"{self.directory}/{file_name(number)}"

    def close(self) -> None:
        self.files.close()
        self.inflight.close()
        self.lock.close()
