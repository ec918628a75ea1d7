"""Takes what goes next from a site's ready queue, and reads from disk what is not in memory.

Fresh mail is still in memory. The rest is staged ahead of the connections that send it: read in a
thread, in disk order, for one site at a time; the bytes read and not yet sent are bounded over all
sites. A site that cannot send now gives its share back as soon as another wants it: what it has
staged would hold up everybody else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import structlog

from penstock.mail.envelope import id_text
from penstock.relay.lane import Batch, Lane, Site
from penstock.relay.spool import Spool, Stored

log = structlog.get_logger("penstock.relay")
RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class StageConfig:
    """``bytes_max`` bounds what is staged over all sites; one message more may pass it."""

    messages: int = 64
    bytes_each: int = 4 << 20
    bytes_max: int = 64 << 20
    reads_max: int = 4


class Owner(Protocol):
    """The dispatcher, as far as it is needed here."""

    in_flight: set[int]

    def pump(self, site: Site) -> None: ...
    def lane_of(self, ref: int) -> Lane: ...
    def live(self, ref: int) -> bool: ...
    def put_back(self, site: Site, ref: int) -> None: ...


class Stager:
    """``owner.pump`` is called with a site when something was staged for it."""

    def __init__(self, config: StageConfig, spool: Spool, owner: Owner) -> None:
        self._config, self._spool, self._owner = config, spool, owner
        self._waiting: deque[Site] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._holding: dict[Site, None] = {}  # sites with something staged, last served last
        self.staged_bytes = 0

    def take(self, site: Site) -> Batch | None:
        """What one transaction carries; None where nothing is ready, or it must be read first."""
        live = self._owner.live
        while site.staged:
            batch = site.staged.popleft()
            self.staged_bytes -= batch.staged_bytes
            self._holding.pop(site, None)
            if site.staged:
                self._holding[site] = None
            self._start()
            if all(live(ref) for ref in batch.refs):
                return batch
            self._put_back(site, [ref for ref in batch.refs if live(ref)])
        limit, spool = site.limits.recipients_per_transaction, self._spool
        while refs := site.ready.take(spool.group, limit):
            # what is in the cache exists and was never attempted: nothing else need be looked up
            stored = [one for ref in refs if (one := spool.cached(ref)) is not None]
            if len(stored) == len(refs) and self._owner.in_flight.isdisjoint(refs):
                return Batch(refs, stored, 0, True)
            refs = [ref for ref in refs if live(ref)]
            if not refs:
                continue
            stored = [one for ref in refs if (one := spool.cached(ref)) is not None]
            if len(stored) == len(refs):
                return Batch(refs, stored, 0, True)
            self._put_back(site, refs)
            self.want(site)
            break
        return None

    def take_refs(self, site: Site) -> list[int]:
        """The refs of one transaction; those settled or taken meanwhile are left out."""
        limit = site.limits.recipients_per_transaction
        while refs := site.ready.take(self._spool.group, limit):
            live = [ref for ref in refs if self._owner.live(ref)]
            if live:
                return live
        return []

    def _put_back(self, site: Site, refs: list[int]) -> None:
        for ref in reversed(refs):
            self._owner.put_back(site, ref)

    def want(self, site: Site) -> None:
        """Stage the next messages of the site as soon as the bounds allow."""
        if not site.reading:
            site.reading = True
            self._waiting.append(site)
            self._start()

    def look(self) -> None:
        """Called every second: somebody who was served may have come to a stop."""
        self._start()

    def _start(self) -> None:
        while self._waiting and len(self._tasks) < self._config.reads_max and self._has_room():
            site = self._waiting.popleft()
            groups, size = self._choose(site)
            self.staged_bytes += size
            task = asyncio.ensure_future(self._read(site, groups, size))
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def _has_room(self) -> bool:
        while self.staged_bytes >= self._config.bytes_max:
            site = next(iter(self._holding), None)
            if site is None or not site.stands(asyncio.get_running_loop().time()):
                return False
            self._unstage(site)
        return True

    def _unstage(self, site: Site) -> None:
        del self._holding[site]
        while site.staged:
            batch = site.staged.pop()
            self.staged_bytes -= batch.staged_bytes
            self._put_back(site, [ref for ref in batch.refs if self._owner.live(ref)])

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()  # a failure here is a bug or a broken disk: let the loop's handler say so
        self._start()

    async def _read(self, site: Site, groups: list[list[int]], size: int) -> None:
        flat = [ref for refs in groups for ref in refs]
        loop = asyncio.get_running_loop()
        try:
            stored = await loop.run_in_executor(None, self._spool.read, flat)
        except OSError as error:
            log.error("the queue cannot be read, trying again", site=site.name, error=str(error))
            self._put_back(site, flat)
            loop.call_later(RETRY_S, self._owner.pump, site)
        else:
            self._stage(site, groups, dict(zip(flat, stored, strict=True)))
            loop.call_soon(self._owner.pump, site)
        finally:
            self.staged_bytes -= size
            site.reading = False

    def _stage(self, site: Site, groups: list[list[int]], stored: dict[int, Stored | None]) -> None:
        for refs in groups:
            pairs = [(ref, one) for ref in refs if (one := stored[ref]) is not None]
            for ref in refs:
                if stored[ref] is None and self._owner.live(ref):
                    log.error("a queued message is damaged, see spool check", id=id_text(ref))
            if pairs:
                got = [one for _, one in pairs]
                batch = Batch([ref for ref, _ in pairs], got, len(got[0].body))
                self.staged_bytes += batch.staged_bytes
                site.staged.append(batch)
                self._holding[site] = None

    def _choose(self, site: Site) -> tuple[list[list[int]], int]:
        """One site's next messages, as many as the bounds allow, and their bytes."""
        groups: list[list[int]] = []
        size = 0
        room = min(self._config.bytes_each, self._config.bytes_max - self.staged_bytes)
        while len(groups) < self._config.messages and size < room:
            refs = self.take_refs(site)
            if not refs:
                break
            groups.append(refs)
            size += self._spool.size(refs[0])
        return groups, size

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
