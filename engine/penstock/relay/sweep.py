"""Carries standing orders out on every message that they name, a few at a time.

A bounce holds its lanes from the moment it is given, so nothing of it is attempted any more; here
its messages are given up one after the other, without reading their bodies where nobody wants a
report. A moved expiry is written into the index, which a restart forgets: so that order stays until
none of its mail is queued, and begins again after a restart. Both walk the index by queue key, in
slices that let mail flow on between them.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence

import structlog

from penstock.mail.record import BadRecord
from penstock.relay.placing import Placing
from penstock.relay.rules import Rule
from penstock.relay.selection import Named, Selection
from penstock.relay.settle import OutcomeSettler
from penstock.relay.spool import Spool, Stored
from penstock.relay.tasks import Tasks

log = structlog.get_logger("penstock.relay")
SLICE = 250
_PAUSE_S = 1.0  # to what was under way, or could not be read
_PAUSE_S_MAX = 60.0
_REST = 20.0  # times what the last pass took, where passes go on for long


class Sweeper:
    """One worker's. ``in_flight`` are refs that somebody is sending: they are left to it."""

    def __init__(
        self,
        placing: Placing,
        settler: OutcomeSettler,
        spool: Spool,
        in_flight: set[int],
        selection: Selection,
    ) -> None:
        self._placing, self._settler, self._spool = placing, settler, spool
        self._in_flight, self._selection = in_flight, selection
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks()
        self._left: dict[str, int] = {}

    def look(self) -> None:
        """Begin what is ordered and not begun yet; called after every change of the rules."""
        rules = {rule.id: rule for rule in self._placing.rules.all}
        for id_ in self._left.keys() - rules.keys():
            del self._left[id_]
        for rule in rules.values():
            if rule.verb in ("bounce", "expire") and rule.id not in self._left:
                self._left[rule.id] = 1  # nobody has counted yet
                self._tasks.spawn(self._sweep(rule))

    def left(self) -> dict[str, int]:
        """For each bounce or moved expiry how many messages it has still to be applied to, or is
        needed for."""
        return dict(self._left)

    def cancel(self) -> None:
        self._tasks.cancel()

    async def give_up(
        self, refs: Sequence[int], tenant: str, who: str
    ) -> tuple[list[str], list[str]] | None:
        """Cancel these deliveries, which are of one message: whose were given up, and who is being
        sent to at this moment. ``None`` where there are none, or not of ``tenant`` (empty: any)."""
        stored = await self._loop.run_in_executor(None, self._spool.read_heads, refs)
        pairs, under_way = [], []
        for ref, one in zip(refs, stored, strict=True):
            if one is None or not self._spool.exists(ref):
                continue
            if tenant and one.envelope.tenant != tenant:
                return None
            if ref in self._in_flight:
                under_way.append(one.recipient.address)
            else:
                pairs.append((ref, one))
        self._settler.cancel(pairs, who)
        gone = [one.recipient.address for _, one in pairs]
        return (gone, under_way) if gone or under_way else None

    def _in_force(self, rule: Rule) -> bool:
        return rule in self._placing.rules.all

    async def _sweep(self, rule: Rule) -> None:
        """Once through, and again for what was under way meanwhile; one with a duration goes on
        with what comes in."""
        while self._in_force(rule):
            began = self._loop.time()
            busy = await self._once(rule)
            if not busy and not rule.until:
                break
            took_s = self._loop.time() - began
            pause_s = max(_PAUSE_S, _REST * took_s if rule.until else 0.0)
            await asyncio.sleep(min(_PAUSE_S_MAX, pause_s))
        if rule.verb == "expire" and not rule.until:
            await self._outlast(rule)
        if rule.id in self._left:
            self._left[rule.id] = 0

    async def _outlast(self, rule: Rule) -> None:
        """Until nothing is queued of what was given another expiry."""
        pause_s = _PAUSE_S
        while self._in_force(rule):
            keys = await self._selection.keys(rule.selector)
            if next(self._matching(rule, keys), None) is None:
                break
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_S_MAX)

    async def _once(self, rule: Rule) -> bool:
        """Returns whether something was left for another time."""
        keys = await self._selection.keys(rule.selector)
        self._count(rule, sum(named.entries for named in keys.values()))
        refs = self._matching(rule, keys)
        busy = False
        while self._in_force(rule):
            batch = list(itertools.islice(refs, SLICE))
            if not batch:
                break
            try:
                busy = await self._apply(rule, batch) or busy
            except OSError as error:
                log.error("the queue cannot be read, trying again", error=str(error))
                return True
            self._count(rule, self._left.get(rule.id, 0) - len(batch))
            await asyncio.sleep(0)
        return busy

    def _count(self, rule: Rule, left: int) -> None:
        """At least one is left as long as the order goes on."""
        if rule.id in self._left:
            self._left[rule.id] = max(1, left)

    def _matching(self, rule: Rule, keys: dict[bytes, Named]) -> Iterator[int]:
        for ref in self._selection.refs(keys, rule.selector):
            if not rule.before or self._spool.created(ref) <= rule.before:
                yield ref

    async def _apply(self, rule: Rule, refs: list[int]) -> bool:
        """Returns whether some were under way, or are until their senders have been told."""
        if rule.verb == "expire":
            self._move_expiry(rule, refs)
            return False
        return await self._give_up(rule, refs)

    def _move_expiry(self, rule: Rule, refs: list[int]) -> None:
        """But for those that a later order has moved: each order goes through by itself."""
        rules = self._placing.rules.all
        later = [one for one in rules[rules.index(rule) + 1 :] if one.verb == "expire"]
        at = float(rule.args["expires_at"])
        for ref in refs:
            if not any(self._means(one, ref) for one in later):
                self._spool.expire_at(ref, at)

    def _means(self, rule: Rule, ref: int) -> bool:
        placing = self._placing
        lane = placing.lane_of(ref)
        return (
            lane.matches(rule.selector)
            and not (rule.source and placing.source_of(lane, ref) != rule.source)
            and not (rule.before and self._spool.created(ref) > rule.before)
        )

    async def _give_up(self, rule: Rule, refs: list[int]) -> bool:
        tell = bool(rule.args.get("tell"))
        read = self._spool.read if tell else self._spool.read_heads
        free = [ref for ref in refs if ref not in self._in_flight]
        stored: list[Stored | None]
        try:
            stored = await self._loop.run_in_executor(None, read, free)
        except BadRecord as error:
            log.error("a queued message is damaged, see spool check", error=str(error))
            return False
        if not self._in_force(rule):
            return False
        # the index knows the second in which a message came, its envelope the moment
        pairs = [
            (ref, one)
            for ref, one in zip(free, stored, strict=True)
            if one is not None
            and ref not in self._in_flight
            and not (rule.before and one.envelope.received_at > rule.before)
            and (one.envelope.sender or not (tell and rule.until))  # the reports that it makes
        ]
        busy = tell or not self._in_flight.isdisjoint(refs)
        self._settler.bounce(pairs, rule.reason, tell=tell)
        return busy
