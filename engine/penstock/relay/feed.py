"""What one connection sees of the dispatcher: the next transaction, or a wait for one."""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.mail.outcome import Outcome
from penstock.relay.ports import Transaction

if TYPE_CHECKING:
    from penstock.relay.dispatch import Dispatcher
    from penstock.relay.site import Site


class SiteFeed:
    """The ``Feed`` of one connection to one site. The dispatcher's sweep watches its idle time, so
    that waiting costs no timer of its own."""

    __slots__ = (
        "_dispatcher",
        "_unused_since",
        "_waiter",
        "busy_since",
        "idle_since",
        "passes_dsn",
        "site",
    )

    def __init__(self, dispatcher: Dispatcher, site: Site, passes_dsn: bool) -> None:
        self._dispatcher = dispatcher
        self.site = site
        self.idle_since = 0.0
        self._unused_since = 0.0  # being woken for nothing is no use
        self.busy_since = 0.0  # when the last transaction was taken, 0 while there is none
        self.passes_dsn = passes_dsn
        self._waiter: asyncio.Future[bool] | None = None

    def next(self) -> Transaction | None:
        tx = self._dispatcher.next(self)
        if tx is not None:
            self._unused_since = 0.0
        return tx

    async def wait(self) -> bool:
        """True: there may be work. False: idle for too long, other sites need the connection more,
        or the engine stops."""
        if self._dispatcher.stopping or (self._dispatcher.starved and not self.site.busy):
            return False
        if self.site.tally is not None and self.site.tally.sheds():
            return False
        loop = asyncio.get_running_loop()
        self._unused_since = self._unused_since or loop.time()
        self.idle_since = self._unused_since
        self.busy_since = 0.0
        self._waiter = waiter = loop.create_future()
        insort(self.site.idle, self, key=lambda one: one.idle_since)
        try:
            go_on: bool = await waiter
            return go_on
        finally:
            self._waiter = None
            if self.idle_since:
                self.idle_since = 0.0
                self.site.idle.remove(self)

    def wake(self, go_on: bool) -> None:
        """End the wait. The caller has taken this feed out of ``site.idle``."""
        self.idle_since = 0.0
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(go_on)

    def done(self, tx: Transaction, outcomes: Sequence[Outcome]) -> None:
        self._dispatcher.done(self, tx, outcomes)
