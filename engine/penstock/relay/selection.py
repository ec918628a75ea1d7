"""Which queue keys a selector names: compared once a key, whatever number of messages it has.

Tenant, campaign and domain stand in the key; class and pool are what policy makes of it. Provider
and source are known of lanes whose domain was looked up: where one is asked for that was not, it
is looked up now, many at once.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from penstock.mail.record import unpack_key
from penstock.relay.lane import Lane, Selector
from penstock.relay.locate import Locator
from penstock.relay.placing import Placing
from penstock.relay.spool import Spool
from penstock.relay.ways import Way

_SLICE = 500
_LOOKUPS_AT_ONCE = 100
_IN_KEY = ("domain", "tenant", "campaign")


class Named(NamedTuple):
    """Of one key that a selector names: how many deliveries it has, and by which sources they go,
    as far as that is known."""

    entries: int
    way: Way | None


class Selection:
    """Answers for one worker's queue. An answer holds on to no lane: those are forgotten while
    they are idle, however long somebody goes through what is queued."""

    def __init__(self, placing: Placing, locator: Locator, spool: Spool) -> None:
        self._placing, self._locator, self._spool = placing, locator, spool
        self._loop = asyncio.get_running_loop()

    async def keys(self, selector: Selector, patience_s: float = math.inf) -> dict[bytes, Named]:
        """Every key that is named, or has mail that is; all of them by an empty selector. What
        cannot be looked up within ``patience_s`` is not among them."""
        counts: dict[bytes, int] = {}
        wanted = [(name, selector[name]) for name in _IN_KEY if name in selector]
        for number, (key, entries) in enumerate(list(self._spool.key_counts())):
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
            if key in counts:
                counts[key] += entries
            elif not wanted or _fits(key, wanted):
                counts[key] = entries
        if selector.keys() <= set(_IN_KEY):
            return {key: Named(entries, None) for key, entries in counts.items()}
        lanes = {key: self._placing.lane(key) for key in counts}
        if selector.keys() & {"provider", "source"}:
            await self._look_up(lanes.values(), "source" in selector, patience_s)
        return {
            key: Named(counts[key], lane.way)
            for key, lane in lanes.items()
            if lane.matches(selector)
        }

    def refs(self, keys: dict[bytes, Named], selector: Selector) -> Iterator[int]:
        """The deliveries of :meth:`keys`, by the source that each goes by where that is named."""
        spool, source = self._spool, selector.get("source")
        for ref in spool.refs_of(keys.__contains__):
            if not spool.exists(ref):
                continue
            if source is not None:
                lane = self._placing.lane_of(ref)
                way = lane.way or keys[spool.key_bytes(ref)].way
                if way is None or not way.sources or way.source(spool.message(ref)) != source:
                    continue
            yield ref

    async def _look_up(self, lanes: Iterable[Lane], places: bool, patience_s: float) -> None:
        """``places``: by which sources the mail goes must be known too."""
        until = self._loop.time() + patience_s
        unknown = (
            lane for lane in lanes if (lane.destination if places else lane.provider) is None
        )
        while batch := list(itertools.islice(unknown, _LOOKUPS_AT_ONCE)):
            left_s = until - self._loop.time()
            if left_s <= 0:
                return
            tasks = [asyncio.ensure_future(self._one(lane, places)) for lane in batch]
            _, late = await asyncio.wait(tasks, timeout=left_s if left_s < math.inf else None)
            for task in late:
                task.cancel()

    async def _one(self, lane: Lane, places: bool) -> None:
        try:
            await (self._locator.place(lane) if places else self._locator.identify(lane))
        except Exception as error:  # a bug must not leave all the others out
            self._loop.call_exception_handler({"message": "looking up failed", "exception": error})
            return
        self._placing.look_again(lane)


def _fits(key: bytes, wanted: list[tuple[str, str]]) -> bool:
    fields = unpack_key(key)
    return all(getattr(fields, name) == value for name, value in wanted)
