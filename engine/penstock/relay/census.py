"""How many deliveries wait for what: counted by walking lanes and index, a little every second.

A round goes through everything and then replaces the figures of the one before, so they are as old
as a round takes: seconds for a thousand lanes, three minutes for a hundred thousand. What is
counted is what an explanation would say. A step takes some milliseconds: it is what a worker with
nothing to send does all day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from penstock.mail.waits import Wait
from penstock.relay.dispatch import Dispatcher
from penstock.relay.explain import Explainer
from penstock.relay.settle import OutcomeSettler
from penstock.relay.spool import Spool

LANES = 800
KEYS = 4000
CHUNKS = 20


class Census:
    """``counts``: by reason, as of the last round that was finished; ``queued``: of what leaves by
    each provider and source, whatever it waits for."""

    def __init__(
        self, dispatcher: Dispatcher, settler: OutcomeSettler, explainer: Explainer, spool: Spool
    ) -> None:
        self._dispatcher, self._settler = dispatcher, settler
        self._explainer, self._spool = explainer, spool
        self.counts: dict[Wait, int] = dict.fromkeys(Wait, 0)
        self.queued: dict[tuple[str, str], float] = {}
        self._walk = self._round()

    def look(self) -> None:
        """One step; called every second."""
        next(self._walk, None)

    def _round(self) -> Iterator[None]:
        while True:
            counts: Counter[Wait] = Counter()
            lanes = list(self._dispatcher.placing.lanes.values())
            for number, lane in enumerate(lanes, 1):
                sites = list(lane.sites())
                for site in sites:
                    if ready := site.ready.count(lane.number):
                        counts[self._explainer.of_lane(lane, site).wait] += ready
                if lane.waiting:
                    counts[self._explainer.of_lane(lane, None).wait] += len(lane.waiting)
                if number % LANES == 0:
                    yield
            counts[Wait.READING] += self._dispatcher.stager.reading
            for step, (armed, tried) in enumerate(self._spool.armed(), 1):
                counts[Wait.RETRY] += tried
                counts[Wait.SCHEDULED] += armed - tried
                if step % CHUNKS == 0:
                    yield
            queued: Counter[tuple[str, str]] = Counter()
            for number, (key, entries) in enumerate(list(self._spool.key_counts()), 1):
                self._attribute(key, entries, queued)
                if number % KEYS == 0:
                    yield
            self.queued = dict(queued)
            reporting = len(self._settler.reporting)
            counts[Wait.REPORTING] = reporting
            counts[Wait.IN_FLIGHT] = len(self._dispatcher.in_flight) - reporting
            self.counts = {wait: counts[wait] for wait in Wait}
            yield

    def _attribute(self, key: bytes, entries: int, queued: Counter[tuple[str, str]]) -> None:
        """By which source a queue's mail leaves; of several each has its share of it."""
        lane = self._dispatcher.placing.lanes.get(key)
        if lane is None or lane.way is None:
            queued["", ""] += entries
            return
        for source, share in lane.way.shares().items():
            queued[lane.provider or "", source] += round(entries * share)
