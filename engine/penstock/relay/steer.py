"""Steering one worker's queue by selector: list, show, order, retry.

What is ready is reached through its lanes, without looking at single messages, and so is the number
of those that an order names. What waits for a retry is found by walking the index by queue key, in
slices, so that mail flows on meanwhile.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from penstock.relay.dispatch import Dispatcher
from penstock.relay.explain import Explainer
from penstock.relay.lane import Lane, Selector
from penstock.relay.note import Note
from penstock.relay.selection import Selection
from penstock.relay.spool import Spool, Stored
from penstock.relay.sweep import Sweeper

_SLICE = 500
_LOOKUPS_S_MAX = 10.0  # somebody waits for the answer


class Steering:
    """One worker's side of the ``queue.*`` methods; results are plain values."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        sweeper: Sweeper,
        explainer: Explainer,
        selection: Selection,
        spool: Spool,
        now: Callable[[], float],
    ) -> None:
        self._dispatcher, self._sweeper, self._explainer = dispatcher, sweeper, explainer
        self._selection, self._spool, self._now = selection, spool, now

    async def listing(self, selector: Selector, limit: int) -> dict[str, Any]:
        """The first ``limit`` deliveries that match, and how many match in all."""
        if not selector:
            refs = list(itertools.islice(self._spool.refs(), limit))
            total = int(self._spool.stats()["entries"])
        elif "source" in selector:  # of which no key tells
            refs, total = [], 0
            async for ref, _ in self._matching(selector):
                total += 1
                if len(refs) < limit:
                    refs.append(ref)
        else:
            keys = await self._selection.keys(selector, _LOOKUPS_S_MAX)
            refs = list(itertools.islice(self._selection.refs(keys, selector), limit))
            total = sum(one.entries for one in keys.values())
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
                "class": envelope.class_,
                "pool": envelope.pool,
                "tags": envelope.tags,
                "account": envelope.account,
                "client": envelope.client,
                "received_at": envelope.received_at,
                "deliver_at": envelope.deliver_at,
                "expires_at": envelope.expires_at,
                "size": len(stored.body),
            },
            "recipients": await self._rows(refs),
        }

    async def rules(self, rows: Iterable[Mapping[str, Any]], selector: Selector) -> dict[str, int]:
        """The orders in force from now on, at once; then counts what ``selector`` names."""
        self.order(rows)
        return await self.count(selector)

    def order(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """These orders are in force from now on."""
        self._dispatcher.ordered(rows)
        self._sweeper.look()

    def rules_left(self) -> dict[str, int]:
        """How many messages each order has still to be carried out on."""
        return self._sweeper.left()

    async def count(self, selector: Selector) -> dict[str, int]:
        """How many queues and deliveries the selector names; by queue key, so the same whatever
        number of deliveries there is. A selector by ``source`` counts all of their lanes; domains
        that cannot be looked up soon are not counted by ``provider``."""
        if not selector:
            return {"keys": 0, "messages": 0}
        found = await self._selection.keys(selector, _LOOKUPS_S_MAX)
        return {"keys": len(found), "messages": sum(one.entries for one in found.values())}

    async def cancel(self, ref: int, tenant: str, who: str) -> dict[str, list[str]] | None:
        """Give up what is queued of one message, of which ``ref`` is any delivery. ``None`` where
        nothing is, or where it is not the ``tenant``'s."""
        done = await self._sweeper.give_up(self._spool.siblings(ref), tenant, who)
        return None if done is None else {"cancelled": done[0], "under_way": done[1]}

    async def retry(self, selector: Selector) -> dict[str, int]:
        """Send now what waits for its time, and end the pauses of the sites concerned."""
        keys, messages, now = set(), 0, self._now()
        dispatcher = self._dispatcher
        async for ref, lane in self._matching(selector):
            messages += 1
            if self._spool.due(ref) > now:
                self._spool.wake_at(ref, now)
            if lane.number in keys:
                continue
            keys.add(lane.number)
            if lane.destination is None:
                dispatcher.locator.retry(lane)
            for site in lane.sites():
                if site.failures:
                    site.failures = 0
                    dispatcher.permits.wake(site)
        return {"keys": len(keys), "messages": messages}

    async def _matching(self, selector: Selector) -> AsyncIterator[tuple[int, Lane]]:
        """All queued deliveries that match; gives way to others every slice."""
        placing = self._dispatcher.placing
        keys = await self._selection.keys(selector, _LOOKUPS_S_MAX)
        for number, ref in enumerate(self._selection.refs(keys, selector)):
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
                if not self._spool.exists(ref):
                    continue
            yield ref, placing.lane_of(ref)

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
        reason, site = self._explainer.reason(ref)
        failure = site.last_failure if site is not None else None
        return {
            "id": stored.envelope.id,
            "recipient": stored.recipient.address,
            "sender": stored.envelope.sender,
            "tenant": lane.key.tenant,
            "campaign": lane.key.campaign,
            "class": lane.class_,
            "pool": lane.pool,
            "source": self._dispatcher.placing.source_of(lane, ref),
            "domain": lane.key.domain,
            "provider": lane.provider or "",
            "state": self._state(ref, lane, site is not None and site.ready.held(lane.number)),
            "reason": reason.wait.value,
            "due": self._spool.due(ref),
            "expires": self._spool.expires(ref),
            "attempts": self._spool.attempts(ref),
            "last_reply": note.reply or (str(failure.reply) if failure is not None else ""),
        }

    def _state(self, ref: int, lane: Lane, held: bool) -> str:
        if ref in self._dispatcher.in_flight:
            return "in-flight"
        if lane.held is not None or held:
            return "suspended"
        return "scheduled" if self._spool.due(ref) > self._now() else "ready"
