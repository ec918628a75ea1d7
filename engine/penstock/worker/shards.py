"""How a worker comes by its shards: by recovering them, once nobody else has them open.

Another worker may still be there: in an upgrade the one before it, which ends what it has begun and
then lets go. A shard's own lock says when.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

import structlog

from penstock_queue import Queue, QueueConfig, QueueLocked
from penstock_queue.disk import Disk

log = structlog.get_logger("penstock.worker")
POLL_S = 0.02
TELL_S = 10.0


async def take_over(
    directory: str,
    config: QueueConfig,
    disk: Disk,
    now: Callable[[], float],
    waiting: Callable[[], None],
    poll_s: float = POLL_S,
) -> Queue:
    """The recovered queue in ``directory``. ``waiting()`` is called once if somebody has it open;
    that is waited for without end, and the log says so."""
    loop = asyncio.get_running_loop()
    began, told = loop.time(), 0.0
    while True:
        recover = functools.partial(Queue.open, directory, config, disk=disk, now=now())
        try:
            return await loop.run_in_executor(None, recover)
        except QueueLocked:
            if not told:
                waiting()
        waited = loop.time() - began
        if not told or waited - told >= TELL_S:
            told = max(waited, 0.001)
            log.warning("waiting for a shard", directory=directory, seconds=round(waited, 1))
        await asyncio.sleep(poll_s)
