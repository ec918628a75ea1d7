"""A durable queue in append-only segments. It knows nothing of mail; see ``queue/FORMAT.md``."""

from penstock_queue.batch import Batch
from penstock_queue.committer import Committer
from penstock_queue.compact import Chore
from penstock_queue.config import Loaded, NewEntry, QueueConfig
from penstock_queue.disk import Disk, RealDisk, Space
from penstock_queue.errors import CommitFailed, FormatTooNew, QueueError, QueueFull, QueueLocked
from penstock_queue.queue import Queue
from penstock_queue.recovery import Cut, Recovery
from penstock_queue.simdisk import PowerCut, SimDisk
from penstock_queue.tools import Report, check, dump

__all__ = [
    "Batch",
    "Chore",
    "CommitFailed",
    "Committer",
    "Cut",
    "Disk",
    "FormatTooNew",
    "Loaded",
    "NewEntry",
    "PowerCut",
    "Queue",
    "QueueConfig",
    "QueueError",
    "QueueFull",
    "QueueLocked",
    "RealDisk",
    "Recovery",
    "Report",
    "SimDisk",
    "Space",
    "check",
    "dump",
]
