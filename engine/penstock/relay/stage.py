"""Takes what goes next from a site's ready queue, and reads from disk what is not in memory.

Fresh mail is still in memory. The rest is staged ahead of the connections that send it: read in a
thread, in disk order, for one site at a time; the bytes read and not yet sent are bounded over all
sites.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from penstock.relay.lane import Batch, Lane, Site
from penstock.relay.spool import Spool


@dataclass(frozen=True, slots=True)
class StageConfig:
    """``bytes_max`` bounds what is staged over all sites; one message more may pass it."""

    messages: int = 64
    bytes_each: int = 4 << 20
    bytes_max: int = 64 << 20
    reads_max: int = 4


class Owner(Protocol):
    """The dispatcher, as far as it is needed here."""

    def pump(self, site: Site) -> None: ...
    def lane_of(self, ref: int) -> Lane: ...
    def live(self, ref: int) -> bool: ...


class Stager:
    """``owner.pump`` is called with a site when something was staged for it."""

    def __init__(self, config: StageConfig, spool: Spool, owner: Owner) -> None:
        self._config, self._spool, self._owner = config, spool, owner
        self._waiting: deque[Site] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.staged_bytes = 0

    def take(self, site: Site) -> Batch | None:
        """What one transaction carries; None where nothing is ready, or it must be read first."""
        live = self._owner.live
        while site.staged:
            batch = site.staged.popleft()
            self.staged_bytes -= batch.staged_bytes
            self._start()
            if all(live(ref) for ref in batch.refs):
                return batch
            for ref in filter(live, batch.refs):
                site.ready.push_front(self._owner.lane_of(ref).number, ref)
        refs = self.take_refs(site)
        if not refs:
            return None
        stored = [one for ref in refs if (one := self._spool.cached(ref)) is not None]
        if len(stored) == len(refs):
            return Batch(refs, stored)
        number = self._owner.lane_of(refs[0]).number
        for ref in reversed(refs):
            site.ready.push_front(number, ref)
        self.want(site)
        return None

    def take_refs(self, site: Site) -> list[int]:
        """The refs of one transaction; those settled or taken meanwhile are left out."""
        limit = site.limits.recipients_per_transaction
        while refs := site.ready.take(self._spool.group, limit):
            live = [ref for ref in refs if self._owner.live(ref)]
            if live:
                return live
        return []

    def want(self, site: Site) -> None:
        """Stage the next messages of the site as soon as the bounds allow."""
        if not site.reading:
            site.reading = True
            self._waiting.append(site)
            self._start()

    def _start(self) -> None:
        while (
            self._waiting
            and len(self._tasks) < self._config.reads_max
            and self.staged_bytes < self._config.bytes_max
        ):
            task = asyncio.ensure_future(self._read(self._waiting.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()  # a failure here is a bug or a broken disk: let the loop's handler say so
        self._start()

    async def _read(self, site: Site) -> None:
        groups, size = self._choose(site)
        self.staged_bytes += size
        kept = 0
        try:
            flat = [ref for refs in groups for ref in refs]
            loop = asyncio.get_running_loop()
            stored = iter(await loop.run_in_executor(None, self._spool.read, flat))
            for refs in groups:
                pairs = [(ref, one) for ref in refs if (one := next(stored)) is not None]
                if pairs:
                    got = [one for _, one in pairs]
                    batch = Batch([ref for ref, _ in pairs], got, len(got[0].body))
                    kept += batch.staged_bytes
                    site.staged.append(batch)
        finally:
            self.staged_bytes += kept - size
            site.reading = False
        self._owner.pump(site)

    def _choose(self, site: Site) -> tuple[list[list[int]], int]:
        groups: list[list[int]] = []
        size = 0
        while len(groups) < self._config.messages and size < self._config.bytes_each:
            refs = self.take_refs(site)
            if not refs:
                break
            groups.append(refs)
            size += self._spool.size(refs[0])
        return groups, size

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
