"""Takes what goes next from a site's ready queue, and reads from disk what is not in memory.

Fresh mail is still in memory. The rest is staged ahead of the connections that send it: read in a
thread, in disk order, for one site at a time; the bytes read and not yet sent are bounded over all
sites. A site that cannot send now gives its share back as soon as another wants it: what it has
staged would hold up everybody else. What is staged goes before what is ready, but not before mail
of a more urgent class, and never if its lane must wait.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from penstock.mail.envelope import id_text
from penstock.policy.tenants import CLASSES
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
    @property
    def by_number(self) -> dict[int, Lane]: ...
    def lane_of(self, ref: int) -> Lane: ...
    def live(self, ref: int) -> bool: ...
    def put_back(self, site: Site, ref: int) -> None: ...


class Stager:
    """``owner.pump`` is called with a site when something was staged for it."""

    def __init__(self, config: StageConfig, spool: Spool, owner: Owner) -> None:
        self._config, self._spool, self._owner = config, spool, owner
        self._waiting: dict[Site, None] = {}  # in line for a read
        self._tasks: set[asyncio.Task[None]] = set()
        self._holding: dict[Site, None] = {}  # sites with something staged, last served last
        self.staged_bytes = 0
        self.reading = 0  # deliveries that are being read at this moment

    def upcoming(self, site: Site) -> int:
        """The number of the lane that :meth:`take` would take from, 0 where there is none."""
        key = site.ready.turn()
        if site.staged and not self._more_urgent(site, key):
            return site.staged[0].lane
        return key or 0

    def _more_urgent(self, site: Site, key: int | None) -> bool:
        """Whether the lane whose turn it is goes before what is staged."""
        rank = site.staged[0].rank
        return bool(rank) and key is not None and self._rank(key) < rank

    def _rank(self, number: int) -> int:
        lane = self._owner.by_number.get(number)
        return len(CLASSES) - 1 if lane is None or lane.place is None else lane.place.class_

    def take(self, site: Site) -> Batch | None:
        """What one transaction carries; None where nothing is ready, or it must be read first. One
        without refs: what was there is settled, look again."""
        live = self._owner.live
        while site.staged:
            if site.staged[0].rank and self._more_urgent(site, site.ready.turn()):
                break
            batch = self._pop(site)
            self._start()
            if all(live(ref) for ref in batch.refs):
                return batch
            self._put_back(site, [ref for ref in batch.refs if live(ref)])
            if site.extra:
                return NOTHING
        limit, spool = site.limits.recipients_per_transaction, self._spool
        while refs := site.ready.take(spool.group, limit):
            # what is in the cache exists and was never attempted: nothing else need be looked up
            stored = [one for ref in refs if (one := spool.cached(ref)) is not None]
            if len(stored) == len(refs) and self._owner.in_flight.isdisjoint(refs):
                return Batch(refs, stored, 0, True)
            refs = [ref for ref in refs if live(ref)]
            if not refs:
                if site.extra:  # another lane may be next, with other limits
                    return NOTHING
                continue
            stored = [one for ref in refs if (one := spool.cached(ref)) is not None]
            if len(stored) == len(refs):
                return Batch(refs, stored, 0, True)
            self._put_back(site, refs)
            self.want(site)
            break
        return None

    def _pop(self, site: Site) -> Batch:
        batch = site.staged.pop(0)
        self.staged_bytes -= batch.staged_bytes
        self._holding.pop(site, None)
        if site.staged:
            self._holding[site] = None
        return batch

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
            self._waiting[site] = None
        self._start()

    def staged(self) -> list[tuple[Site, list[Batch]]]:
        """What is read and waits for a connection, by site."""
        return [(site, list(site.staged)) for site in self._holding]

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
        """What it has staged is not sent soon: it may not send, or something more urgent has to be
        read first, for which there must be room."""
        return site in self._waiting or site.stands(asyncio.get_running_loop().time())

    def _unstage(self, site: Site) -> None:
        del self._holding[site]
        self._give_back(site, lambda batch: True)

    def unstage(self, site: Site) -> None:
        """Give back what was read ahead for lanes that must wait now, or have left the site."""
        if site.staged:
            ready = site.ready
            self._give_back(
                site,
                lambda one: site.out or ready.held(one.lane) or bool(ready.asleep(one.lane)),
            )
            if not site.staged:
                self._holding.pop(site, None)

    def unstage_lane(self, site: Site, number: int) -> None:
        """Give back what was read ahead for this lane."""
        if site.staged:
            self._give_back(site, lambda one: one.lane == number)
            if not site.staged:
                self._holding.pop(site, None)

    def _give_back(self, site: Site, chosen: Callable[[Batch], bool]) -> None:
        kept, back = list[Batch](), list[Batch]()
        for batch in site.staged:
            (back if chosen(batch) else kept).append(batch)
        site.staged = kept
        for batch in reversed(back):
            self.staged_bytes -= batch.staged_bytes
            self._put_back(site, [ref for ref in batch.refs if self._owner.live(ref)])

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()  # a failure here is a bug or a broken disk: let the loop's handler say so
        self._start()

    async def _read(self, site: Site, groups: list[tuple[int, list[int]]], size: int) -> None:
        flat = [ref for _, refs in groups for ref in refs]
        self.reading += len(flat)
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
            self.reading -= len(flat)
            site.reading = False

    def _stage(
        self,
        site: Site,
        groups: list[tuple[int, list[int]]],
        stored: dict[int, Stored | None],
    ) -> None:
        for number, refs in groups:
            pairs = [(ref, one) for ref in refs if (one := stored[ref]) is not None]
            for ref in refs:
                if stored[ref] is None and self._owner.live(ref):
                    log.error("a queued message is damaged, see spool check", id=id_text(ref))
            if pairs:
                got = [one for _, one in pairs]
                live = [ref for ref, _ in pairs]
                batch = Batch(live, got, len(got[0].body), False, number, self._rank(number))
                if site.out or site.ready.held(number) or site.ready.asleep(number):
                    self._put_back(site, live)  # it must wait since it was chosen
                    continue
                self.staged_bytes += batch.staged_bytes
                insort(site.staged, batch, key=lambda one: one.rank)
                self._holding[site] = None

    def _choose(self, site: Site) -> tuple[list[tuple[int, list[int]]], int]:
        """One site's next messages with their lanes, as many as the bounds allow, and their bytes.
        Of a lane with limits of its own only one, which may go; the next has to ask first."""
        groups: list[tuple[int, list[int]]] = []
        size = 0
        room = min(self._config.bytes_each, self._config.bytes_max - self.staged_bytes)
        while len(groups) < self._config.messages and size < room:
            refs = self.take_refs(site)
            if not refs:
                break
            lane = self._owner.lane_of(refs[0])
            groups.append((lane.number, refs))
            size += self._spool.size(refs[0])
            if lane.number in site.extra:
                break
        return groups, size

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
