"""Takes what goes next from a site's ready queue, and reads from disk what is not in memory.

Fresh mail is still in memory. The rest is staged ahead of the connections that send it: read in a
thread, in disk order, for one site at a time; the bytes read and not yet sent are bounded over all
sites. What is staged keeps its place in the ready queue, so that whose turn it is is decided when a
message goes and not when it was read. A site that cannot send now gives its share back as soon as
another wants it, and so does one that has to read something else first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from penstock.mail.envelope import id_text
from penstock.relay.lane import Batch, Lane
from penstock.relay.site import Site
from penstock.relay.spool import Spool, Stored

log = structlog.get_logger("penstock.relay")
RETRY_S = 1.0
NOTHING = Batch([], [])


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
    def put_back(self, site: Site, ref: int, turn: bool = False) -> None: ...


class Stager:
    """``owner.pump`` is called with a site when something was staged for it."""

    def __init__(self, config: StageConfig, spool: Spool, owner: Owner) -> None:
        self._config, self._spool, self._owner = config, spool, owner
        self._waiting: dict[Site, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._holding: dict[Site, None] = {}  # sites with something staged, last served last
        self.sift: Callable[[Batch], Batch] | None = None  # takes out what must not be sent
        self.staged_bytes = 0
        self.reading = 0  # deliveries that are being read

    def take(self, site: Site) -> Batch | None:
        """What one transaction carries; None where nothing is ready, or it must be read first. One
        without refs: what was there is settled, look again."""
        batch = self._take(site)
        return batch if batch is None or self.sift is None else self.sift(batch)

    def _take(self, site: Site) -> Batch | None:
        live = self._owner.live
        limit, spool = site.limits.recipients_per_transaction, self._spool
        while refs := site.ready.take(spool.group, _limit(site) if site.alone else limit):
            # what is in the cache exists and was never attempted: nothing else need be looked up
            stored = [one for ref in refs if (one := spool.cached(ref)) is not None]
            if len(stored) == len(refs) and self._owner.in_flight.isdisjoint(refs):
                if site.staged:
                    self.drop(site, refs)
                return Batch(refs, stored, True)
            refs = [ref for ref in refs if live(ref)]
            if not refs:
                if site.extra:  # another lane may be next, with other limits
                    return NOTHING
                continue
            found = self._staged(site, refs)
            if found is not None:
                return Batch(refs, found)
            for ref in reversed(refs):
                self._owner.put_back(site, ref, True)
            self.want(site)
            break
        return None

    def _staged(self, site: Site, refs: list[int]) -> list[Stored] | None:
        """The content of all of ``refs``, which leaves the stage; None where some is missing."""
        staged, spool = site.staged, self._spool
        found = [staged[ref][0] if ref in staged else spool.cached(ref) for ref in refs]
        stored = [one for one in found if one is not None]
        if len(stored) < len(refs):
            return None
        for ref in refs:
            if ref in staged:
                self.staged_bytes -= staged.pop(ref)[1]
        self._holding.pop(site, None)
        if staged:
            self._holding[site] = None
        self._start()
        return stored

    def take_refs(self, site: Site) -> list[int]:
        """The refs of one transaction; those settled or taken meanwhile are left out."""
        while refs := site.ready.take(self._spool.group, _limit(site)):
            live = [ref for ref in refs if self._owner.live(ref)]
            if live:
                return live
        return []

    def want(self, site: Site) -> None:
        """Stage the next messages of the site as soon as the bounds allow."""
        if not site.reading:
            site.reading = True
            self._waiting[site] = None
        self._start()

    def look(self) -> None:
        """Called every second: somebody who was served may have come to a stop."""
        self._start()

    def _start(self) -> None:
        while self._waiting and len(self._tasks) < self._config.reads_max and self._has_room():
            site = next(iter(self._waiting))
            del self._waiting[site]
            groups, size = self._choose(site)
            self.staged_bytes += size
            task = asyncio.ensure_future(self._read(site, groups, size))
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def _has_room(self) -> bool:
        while self.staged_bytes >= self._config.bytes_max:
            site = next(iter(self._holding), None)
            if site is None or not self._of_no_use(site):
                return False
            self._unstage(site)
        return True

    def _of_no_use(self, site: Site) -> bool:
        """What it has staged is not sent soon: it may not send, or something else has to be read
        first, for which there must be room."""
        return site in self._waiting or site.stands(asyncio.get_running_loop().time())

    def _unstage(self, site: Site) -> None:
        del self._holding[site]
        self.staged_bytes -= sum(size for _, size in site.staged.values())
        site.staged.clear()

    def drop(self, site: Site, refs: Sequence[int]) -> None:
        """These go elsewhere, or nowhere any more."""
        if site.staged:
            for ref in refs:
                if ref in site.staged:
                    self.staged_bytes -= site.staged.pop(ref)[1]
            if not site.staged:
                self._holding.pop(site, None)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()  # a failure here is a bug or a broken disk: let the loop's handler say so
        self._start()

    async def _read(self, site: Site, groups: list[list[int]], size: int) -> None:
        flat = [ref for refs in groups for ref in refs]
        self.reading += len(flat)
        loop = asyncio.get_running_loop()
        stored: list[Stored | None] = []
        pause_s = 0.0
        try:
            stored = await loop.run_in_executor(None, self._spool.read, flat)
        except OSError as error:
            log.error("the queue cannot be read, trying again", site=site.name, error=str(error))
            pause_s = RETRY_S
        finally:
            self.reading -= len(flat)
            self.staged_bytes -= size
            site.reading = False
        kept = flat if pause_s else self._stage(site, groups, dict(zip(flat, stored, strict=True)))
        for ref in reversed(kept):
            if self._owner.live(ref):
                self._owner.put_back(site, ref, True)
        loop.call_later(pause_s, self._owner.pump, site)

    def _stage(
        self, site: Site, groups: list[list[int]], stored: dict[int, Stored | None]
    ) -> list[int]:
        """Keep what was read; returns the refs that go back into their lines."""
        kept: list[int] = []
        for refs in groups:
            size = -1
            for ref in refs:
                one = stored[ref]
                if one is None:
                    if self._owner.live(ref):
                        log.error("a queued message is damaged, see spool check", id=id_text(ref))
                    continue
                kept.append(ref)
                if not self._owner.live(ref):
                    continue
                share = len(one.body) if size < 0 else 0  # the content is there once
                size = len(one.body)
                if ref in site.staged:  # read again with those beside it that were not there
                    self.staged_bytes -= site.staged[ref][1]
                self.staged_bytes += share
                site.staged[ref] = one, share
        if site.staged:
            self._holding[site] = None
        return kept

    def _choose(self, site: Site) -> tuple[list[list[int]], int]:
        """One site's next messages, as many as the bounds allow, and their bytes. Of a lane with
        limits of its own only one: the next has to ask first."""
        groups: list[list[int]] = []
        size = 0
        room = min(self._config.bytes_each, self._config.bytes_max - self.staged_bytes)
        while len(groups) < self._config.messages and size < room:
            refs = self.take_refs(site)
            if not refs:
                break
            groups.append(refs)
            size += self._spool.size(refs[0])
            if site.extra and self._owner.lane_of(refs[0]).number in site.extra:
                break
        return groups, size

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()


def _limit(site: Site) -> int:
    """Recipients that one transaction of the mail that goes next may have."""
    if site.alone and site.ready.turn() in site.alone:
        return 1
    return site.limits.recipients_per_transaction
