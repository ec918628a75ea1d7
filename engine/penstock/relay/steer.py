"""Steering one worker's queue by selector: list, show, suspend, retry, bounce.

What is ready is reached through its lanes, without looking at single messages. What waits for a
retry is found by walking the index, in slices, so that mail flows on meanwhile.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

from penstock.mail.outcome import Outcome
from penstock.relay.dispatch import Dispatcher
from penstock.relay.lane import Lane, Selector
from penstock.relay.note import Note
from penstock.relay.settle import OutcomeSettler
from penstock.relay.spool import Spool, Stored

_SLICE = 500


class Steering:
    """One worker's side of the ``queue.*`` methods; results are plain values."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        settler: OutcomeSettler,
        spool: Spool,
        now: Callable[[], float],
    ) -> None:
        self._dispatcher, self._settler, self._spool, self._now = dispatcher, settler, spool, now

    async def listing(self, selector: Selector, limit: int) -> dict[str, Any]:
        """The first ``limit`` deliveries that match, and how many match in all."""
        if not selector:
            refs = list(itertools.islice(self._spool.refs(), limit))
            total = int(self._spool.stats()["entries"])
        else:
            refs, total = [], 0
            async for ref, _ in self._matching(selector):
                total += 1
                if len(refs) < limit:
                    refs.append(ref)
        return {"rows": await self._rows(refs), "total": total}

    async def show(self, ref: int) -> dict[str, Any] | None:
        """A message with all its recipients still queued; ``ref`` may be any of them."""
        refs = self._spool.siblings(ref)
        stored = next((one for one in await self._read(refs) if one is not None), None)
        if stored is None:
            return None
        envelope = stored.envelope
        return {
            "message": {
                "id": envelope.id,
                "sender": envelope.sender,
                "tenant": envelope.tenant,
                "campaign": envelope.campaign,
                "account": envelope.account,
                "client": envelope.client,
                "received_at": envelope.received_at,
                "expires_at": envelope.expires_at,
                "size": len(stored.body),
            },
            "recipients": await self._rows(refs),
        }

    async def suspensions(self, active: dict[str, Selector], selector: Selector) -> dict[str, int]:
        """The suspensions in force from now on, at once; then counts what ``selector`` matches."""
        dispatcher = self._dispatcher
        dispatcher.suspensions = active
        for lane in list(dispatcher.lanes.values()):
            held = any(lane.matches(one) for one in active.values())
            if held != lane.held:
                dispatcher.hold(lane, held)
        keys: set[int] = set()
        messages = 0
        async for _, lane in self._matching(selector):
            keys.add(lane.number)
            messages += 1
        return {"keys": len(keys), "messages": messages}

    async def retry(self, selector: Selector) -> dict[str, int]:
        """Send now what waits for its time, and end the pauses of the sites concerned."""
        keys, messages, now = set(), 0, self._now()
        async for ref, lane in self._matching(selector):
            keys.add(lane.number)
            messages += 1
            if self._spool.due(ref) > now:
                self._spool.wake_at(ref, now)
            if lane.site is None:
                self._dispatcher.locator.retry(lane)
            elif lane.site.failures:
                lane.site.failures = 0
                self._dispatcher.permits.wake(lane.site)
        return {"keys": len(keys), "messages": messages}

    async def bounce(self, selector: Selector, reason: str) -> dict[str, int]:
        """Give up everything that matches and is not on its way at this moment."""
        keys: set[int] = set()
        messages = 0
        batch: list[int] = []
        last: Lane | None = None
        async for ref, lane in self._matching(selector):
            if ref in self._dispatcher.in_flight:
                continue
            if batch and (lane is not last or len(batch) >= _SLICE):
                messages += self._settler.bounce(batch, last or lane, reason)
                batch = []
            batch.append(ref)
            keys.add(lane.number)
            last = lane
        if batch and last is not None:
            messages += self._settler.bounce(batch, last, reason)
        return {"keys": len(keys), "messages": messages}

    async def _matching(self, selector: Selector) -> AsyncIterator[tuple[int, Lane]]:
        """All queued deliveries that match; gives way to others every slice."""
        for number, ref in enumerate(self._spool.refs()):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            if not self._spool.exists(ref):
                continue
            lane = self._dispatcher.lane_of(ref)
            if lane.provider is None and "provider" in selector:
                await self._dispatcher.locator.identify(lane)
            if not selector or lane.matches(selector):
                yield ref, lane

    async def _read(self, refs: list[int]) -> list[Stored | None]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self._spool.read, refs)

    async def _rows(self, refs: list[int]) -> list[dict[str, Any]]:
        rows = []
        for ref, stored in zip(refs, await self._read(refs), strict=True):
            if stored is not None and self._spool.exists(ref):
                rows.append(self._row(ref, stored))
        return rows

    def _row(self, ref: int, stored: Stored) -> dict[str, Any]:
        lane = self._dispatcher.lane_of(ref)
        note = Note.unpack(stored.note)
        return {
            "id": stored.envelope.id,
            "recipient": stored.recipient.address,
            "sender": stored.envelope.sender,
            "tenant": lane.key.tenant,
            "campaign": lane.key.campaign,
            "domain": lane.key.domain,
            "provider": lane.site.provider if lane.site is not None else "",
            "state": self._state(ref, lane),
            "due": self._spool.due(ref),
            "expires": self._spool.expires(ref),
            "attempts": self._spool.attempts(ref),
            "last_reply": note.reply or _failure(lane),
        }

    def _state(self, ref: int, lane: Lane) -> str:
        if ref in self._dispatcher.in_flight:
            return "in-flight"
        if lane.held:
            return "suspended"
        return "scheduled" if self._spool.due(ref) > self._now() else "ready"


def _failure(lane: Lane) -> str:
    """Why nothing of this lane could be tried at all, if that is so."""
    last: Outcome | None = lane.site.last_failure if lane.site is not None else None
    return str(last.reply) if last is not None else ""
