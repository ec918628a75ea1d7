"""Carries standing orders out on every message that they name, a few at a time.

A bounce holds its lanes from the moment it is given, so nothing of it is attempted any more; here
its messages are given up one after the other, without reading their bodies where nobody wants a
report. A moved expiry is written into the index. Both walk the index by queue key, in slices that
let mail flow on between them, and begin again after a restart: what was done stays done.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator

import structlog

from penstock.mail.record import BadRecord
from penstock.relay.lane import Lane
from penstock.relay.placing import Placing
from penstock.relay.rules import Rule
from penstock.relay.settle import OutcomeSettler
from penstock.relay.spool import Spool
from penstock.relay.tasks import Tasks

log = structlog.get_logger("penstock.relay")
SLICE = 250
_PAUSE_S = 1.0  # to what was under way, or could not be read


class Sweeper:
    """One worker's. ``in_flight`` are refs that somebody is sending: they are left to it."""

    def __init__(
        self,
        placing: Placing,
        settler: OutcomeSettler,
        spool: Spool,
        in_flight: set[int],
        identify: Callable[[Lane], Awaitable[None]],
    ) -> None:
        self._placing, self._settler, self._spool = placing, settler, spool
        self._in_flight, self._identify = in_flight, identify
        self._tasks = Tasks()
        self._left: dict[str, int] = {}
        self._running: set[str] = set()

    def look(self) -> None:
        """Begin what is ordered and not begun yet; called after every change of the rules."""
        rules = {rule.id: rule for rule in self._placing.rules.all}
        for id_ in self._left.keys() - rules.keys():
            del self._left[id_]
        for rule in rules.values():
            if rule.verb in ("bounce", "expire") and rule.id not in self._left:
                self._left[rule.id] = self._count(rule)
                self._running.add(rule.id)
                self._tasks.spawn(self._sweep(rule))

    def left(self) -> dict[str, int]:
        """For each bounce or moved expiry how many messages it has still to be applied to."""
        return dict(self._left)

    def cancel(self) -> None:
        self._tasks.cancel()

    def _in_force(self, rule: Rule) -> bool:
        return rule in self._placing.rules.all

    def _count(self, rule: Rule) -> int:
        total = 0
        for key, entries in self._spool.key_counts():
            lane = self._placing.lane(key)
            if lane.provider is None or lane.matches(rule.selector):
                total += entries
        return total

    async def _sweep(self, rule: Rule) -> None:
        """Once through, and again for what was under way meanwhile; a bounce with a duration goes
        on with what comes in."""
        while self._in_force(rule):
            busy = await self._once(rule)
            if not busy and not (rule.verb == "bounce" and rule.until):
                break
            await asyncio.sleep(_PAUSE_S)
        if rule.id in self._left:
            self._left[rule.id] = 0
        self._running.discard(rule.id)

    async def _once(self, rule: Rule) -> bool:
        """Returns whether something was left for another time."""
        await self._find_providers(rule)
        refs = self._matching(rule)
        busy = False
        while self._in_force(rule):
            batch = list(itertools.islice(refs, SLICE))
            if not batch:
                break
            free = [ref for ref in batch if ref not in self._in_flight and self._spool.exists(ref)]
            busy = busy or len(free) < len(batch)
            try:
                await self._apply(rule, free)
            except OSError as error:
                log.error("the queue cannot be read, trying again", error=str(error))
                return True
            if rule.id in self._left:
                self._left[rule.id] = max(1, self._left[rule.id] - len(batch))
            await asyncio.sleep(0)
        return busy

    async def _find_providers(self, rule: Rule) -> None:
        """A selector by provider needs to know where each domain goes."""
        if "provider" in rule.selector:
            for key, _ in list(self._spool.key_counts()):
                lane = self._placing.lane(key)
                if lane.provider is None:
                    await self._identify(lane)
                    self._placing.look_again(lane)

    def _matching(self, rule: Rule) -> Iterator[int]:
        placing = self._placing

        def wanted(key: bytes) -> bool:
            return placing.lane(key).matches(rule.selector)

        for ref in self._spool.refs_of(wanted):
            if not self._spool.exists(ref):
                continue
            if rule.before and self._spool.created(ref) > rule.before:
                continue
            if rule.source and placing.source_of(placing.lane_of(ref), ref) != rule.source:
                continue
            yield ref

    async def _apply(self, rule: Rule, refs: list[int]) -> None:
        if rule.verb == "expire":
            at = float(rule.args["expires_at"])
            for ref in refs:
                self._spool.expire_at(ref, at)
            return
        loop = asyncio.get_running_loop()
        read = self._spool.read if rule.args.get("tell") else self._spool.read_heads
        self._in_flight.update(refs)  # nobody else may touch them while they are read
        try:
            stored = await loop.run_in_executor(None, read, refs)
        except BadRecord as error:
            log.error("a queued message is damaged, see spool check", error=str(error))
            stored = [None] * len(refs)
        finally:
            self._in_flight.difference_update(refs)
        pairs = [(ref, one) for ref, one in zip(refs, stored, strict=True) if one is not None]
        self._settler.bounce(pairs, rule.reason, tell=bool(rule.args.get("tell")))
