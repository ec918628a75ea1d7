"""What a worker takes from the machine below it, so that all of it can be replaced at once."""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from penstock.relay.ports import Resolver
from penstock_queue import RealDisk
from penstock_queue.committer import Jobs, QueueThread
from penstock_queue.direct import Direct, KernelDirect
from penstock_queue.disk import Disk

# Unlike the loop's time it goes on while the machine sleeps.
boot_time = functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Machine:
    """``now``: seconds since the epoch; ``steady`` never jumps. ``jobs``: where the queue's
    blocking work runs; ``direct``: what writes its groups past the page cache. ``resolver``:
    ``None`` for DNS as the settings say. ``write``: takes log lines and tells how many bytes it
    took; ``None`` for standard output. ``suppressing``: whether there is a suppression list; its
    file is mapped into memory and no other disk can stand for it. The network is the running
    loop's."""

    disk: Disk = field(default_factory=RealDisk)
    now: Callable[[], float] = time.time
    steady: Callable[[], float] = boot_time
    rng: random.Random = field(default_factory=random.Random)
    jobs: Callable[[str], Jobs] = QueueThread
    direct: Callable[[asyncio.AbstractEventLoop], Direct] = KernelDirect
    resolver: Resolver | None = None
    write: Callable[[bytes], int] | None = None
    suppressing: bool = True
