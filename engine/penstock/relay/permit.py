"""Asking the limiter before sending, and leaving a site alone until it may send again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from penstock.limits.ports import Limiter
from penstock.relay.lane import Site

_TOKEN_S = 0.005  # between a grant and the connection that it wakes


class Permits:
    """``pump(site)`` is called when a site may go on; ``waited(provider, seconds)`` counts."""

    def __init__(
        self,
        limiter: Limiter,
        pump: Callable[[Site], None],
        waited: Callable[[str, float], None],
    ) -> None:
        self._limiter, self._pump, self._waited = limiter, pump, waited
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    async def seat(self, site: Site) -> bool:
        """Take a connection's seats, then its place in the connection rate."""
        seats = site.seats
        grant = self._limiter.try_connect(seats)
        if grant is None:
            grant = await self._limiter.connect(seats)
        if not grant.granted:
            self.pause_connects(site, grant.retry_at)
            return False
        if site.connection_claims:
            try:
                grant = await self._limiter.messages(site.connection_claims, 1)
            except BaseException:
                self._limiter.disconnect(seats)
                raise
            if not grant.granted:
                self._limiter.disconnect(seats)
                self.pause_connects(site, grant.retry_at)
                return False
        return True

    def may_send(self, site: Site) -> bool:
        """Have one message granted; False: not now, and what changes that will pump the site."""
        if site.tokens:
            if self._loop.time() <= site.tokens_until:
                return True
            self.give_back(site)
        if site.asking or site.wake is not None:
            return False
        # one, for whoever asks sends it at once: a token that is kept bends the window of its rate
        grant = self._limiter.try_messages(site.claims, 1)
        if grant is None:
            site.asking = True
            task = asyncio.ensure_future(self._ask(site))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return False
        if grant.granted:
            self._granted(site)
            return True
        self.sleep(site, grant.retry_at)
        return False

    async def _ask(self, site: Site) -> None:
        claims = site.claims
        try:
            grant = await self._limiter.messages(claims, 1)
        finally:
            site.asking = False
        if grant.granted:
            self._granted(site)
            self._pump(site)
        else:
            self.sleep(site, grant.retry_at)

    def _granted(self, site: Site) -> None:
        site.tokens += 1
        site.tokens_until = self._loop.time() + _TOKEN_S

    def give_back(self, site: Site) -> None:
        """Nothing can be sent now: what was granted is for others, or for later."""
        if site.tokens and site.claims:
            self._limiter.give_back(site.claims, site.tokens)
            site.tokens = 0

    def sleep(self, site: Site, until: float) -> None:
        """No messages to the site until then (the loop's time); one timer a site."""
        if site.wake is not None:
            site.wake.cancel()
        pause = max(0.001, until - self._loop.time())
        self._waited(site.provider, pause)
        site.wake = self._loop.call_later(pause, self._awake, site)

    def _awake(self, site: Site) -> None:
        site.wake = None
        self._pump(site)

    def pause_connects(self, site: Site, until: float) -> None:
        """No new connections to the site until then; those that are open go on."""
        if site.connect_wake is not None:
            site.connect_wake.cancel()
        pause = max(0.001, until - self._loop.time())
        self._waited(site.provider, pause)
        site.connect_wake = self._loop.call_later(pause, self._may_connect, site)

    def _may_connect(self, site: Site) -> None:
        site.connect_wake = None
        self._pump(site)

    def wake(self, site: Site) -> None:
        """End the site's pauses now."""
        self.forget(site)
        self._pump(site)

    def forget(self, site: Site) -> None:
        for timer in (site.wake, site.connect_wake):
            if timer is not None:
                timer.cancel()
        site.wake = site.connect_wake = None

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
