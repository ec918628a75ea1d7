"""Asking the limiter before sending, and leaving alone until its time who may not send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from penstock.limits.ports import ONE, Claim, Grant, Limiter, Seat
from penstock.mail.waits import Wait
from penstock.relay.gates import Gates
from penstock.relay.lane import Extra
from penstock.relay.site import Asleep, Connecting, Site
from penstock.relay.tasks import Tasks

Waited = Callable[[str, Wait, float], None]
_TOKEN_S = 0.005  # between a grant and the connection that it wakes
_SEAT_STEP_S = 0.5


class Permits:
    """``pump(site)`` is called when a site may go on;
    ``waited(provider, why, seconds)`` counts."""

    def __init__(
        self,
        limiter: Limiter,
        pump: Callable[[Site], None],
        waited: Waited,
    ) -> None:
        self._limiter, self._pump = limiter, pump
        self._loop = asyncio.get_running_loop()
        self.gates = Gates()
        self._waited = waited
        self._tasks = Tasks()

    # connections

    async def seat(self, site: Site) -> bool:
        """Take a connection's seats, then its place in the connection rate."""
        seats = site.seats
        grant = self._limiter.try_connect(seats)
        if grant is None:
            grant = await self._limiter.connect(seats)
        if not grant.granted:
            self._wait_to_connect(site, grant, _SEAT_STEP_S, True)
            return False
        if site.connection_claims:
            try:
                grant = await self._limiter.messages(site.connection_claims, 1)
            except BaseException:
                self.leave(seats)
                raise
            if not grant.granted:
                self.leave(seats)
                step_s = _step_s(site.connection_claims, grant.key)
                self._wait_to_connect(site, grant, step_s, False)
                return False
            self._passed(site.connection_claims)
        if site.connecting is not None:
            site.connecting.turn = ""
        self._passed(seats)
        return True

    def leave(self, seats: Sequence[Seat]) -> None:
        """Give seats back; whoever waits for one of them is next."""
        self._limiter.disconnect(seats)
        self._passed(seats)

    def wanted(self, seats: Sequence[Seat]) -> bool:
        """Whether somebody waits for one of these: another site of the source, or of the provider,
        may have no connection while this one keeps some that do nothing."""
        return bool(len(self.gates)) and any(
            self.gates.waiting(seat.key, seats=True) for seat in seats
        )

    def _wait_to_connect(self, site: Site, grant: Grant, step_s: float, seats: bool) -> None:
        if site.connecting is None:
            site.connecting = Connecting(site)
        self._count(site, Wait.CONNECTION_LIMIT if seats else Wait.CONNECTION_RATE, grant.retry_at)
        if seats and site.tally is not None and why_waited(grant.key) is Wait.PACE:
            site.tally.busy = True
        self.gates.wait(grant.key, site.connecting, grant.retry_at, step_s, seats=seats)

    def pause_connects(self, site: Site, until: float) -> None:
        """The site cannot be reached: no new connections until then; those that are open go on."""
        if site.pause is not None:
            site.pause.cancel()
        pause = max(0.001, until - self._loop.time())
        site.paused_until = until
        self._waited(site.provider, Wait.UNREACHABLE, pause)
        site.pause = self._loop.call_later(pause, self._may_connect, site)

    def _may_connect(self, site: Site) -> None:
        site.pause = None
        self._pump(site)

    # messages

    def may_send(self, site: Site, extra: Extra | None, number: int) -> bool:
        """Have a message granted, of lane ``number`` where that has limits of its own (``extra``).

        False: not now. Either nothing of the site may go (it waits at a gate, or the limiter is
        being asked), or nothing of that lane, and others may be tried.
        """
        claims = site.claims if extra is None else extra.claims
        if site.paced is None:
            if extra is None and not claims:
                return True
        else:
            claims = site.paced.claims(number, claims)
        seats = () if extra is None else extra.seats
        if site.tokens:
            if site.tokens_for is claims and self._loop.time() <= site.tokens_until:
                return True
            self.give_back(site)
        if site.asking or site.gate is not None:
            return False
        # one, for whoever asks sends it at once: a token that is kept bends the window of its rate
        grant: Grant | None = self._limiter.try_messages(claims, 1) if claims else ONE
        by_seat = False
        if grant is not None and grant.granted and seats:
            seated = self._limiter.try_connect(seats)
            if seated is None or not seated.granted:
                if claims:
                    self._limiter.give_back(claims, 1)
                grant, by_seat = seated, True
        if grant is None:
            site.asking = True
            self._tasks.spawn(self._ask(site, claims, seats, extra, number))
            return False
        if grant.granted:
            self._granted(site, claims, seats)
            return True
        self._wait(site, grant, claims, extra, number, by_seat)
        return False

    async def _ask(
        self,
        site: Site,
        claims: tuple[Claim, ...],
        seats: tuple[Seat, ...],
        extra: Extra | None,
        number: int,
    ) -> None:
        by_seat = False
        try:
            grant = await self._limiter.messages(claims, 1) if claims else ONE
            if grant.granted and seats:
                by_seat = True
                grant = await self._limiter.connect(seats)
                if not grant.granted and claims:
                    self._limiter.give_back(claims, 1)
        finally:
            site.asking = False
        if grant.granted:
            self._granted(site, claims, seats)
            self._loop.call_later(2 * _TOKEN_S, self._lapse, site)
        else:
            self._wait(site, grant, claims, extra, number, by_seat)
        self._pump(site)

    def _lapse(self, site: Site) -> None:
        """Nobody came for what was granted: its mail went away while the limiter was asked."""
        if site.tokens and self._loop.time() > site.tokens_until:
            self.give_back(site)

    def _granted(self, site: Site, claims: tuple[Claim, ...], seats: tuple[Seat, ...]) -> None:
        site.tokens, site.tokens_for, site.seated = 1, claims, seats
        site.turn = ""
        if site.woken is not None:
            site.woken.turn, site.woken = "", None
        site.tokens_until = self._loop.time() + _TOKEN_S
        if len(self.gates):
            self._passed(claims)
            self._passed(seats)

    def _passed(self, keys: Sequence[Claim] | Sequence[Seat]) -> None:
        if len(self.gates):
            for one in keys:
                self.gates.passed(one[0], isinstance(one, Seat))

    def _wait(
        self,
        site: Site,
        grant: Grant,
        claims: tuple[Claim, ...],
        extra: Extra | None,
        number: int,
        seats: bool,
    ) -> None:
        """Whoever shares the limit that refused waits for it: the site, or a part of its mail.
        ``seats``: it was one of connections."""
        level = extra.levels.get(grant.key) if extra is not None else None
        step_s = _SEAT_STEP_S if seats else _step_s(claims, grant.key)
        if level is None:
            why = why_waited(grant.key)
            self._count(site, why, grant.retry_at)
            if why is Wait.PACE and site.tally is not None:
                site.tally.busy = True
            self.gates.wait(grant.key, site, grant.retry_at, step_s)
            return
        self.put_to_sleep(site, number, level, grant.key, grant.retry_at, step_s, seats=seats)

    def in_window(self, site: Site, number: int, extra: Extra, wall: float) -> bool:
        """Whether the sending window of lane ``number`` is open; if not it sleeps until then."""
        window = extra.window
        if window is None:
            return True
        opens = window.next_open(wall)
        if opens <= wall:
            return True
        until = self._loop.time() + opens - wall
        self.put_to_sleep(site, number, "lane", f"window:{window}", until, 0.0, everybody=True)
        return False

    def put_to_sleep(
        self,
        site: Site,
        number: int,
        level: str,
        key: str,
        until: float,
        step_s: float,
        *,
        everybody: bool = False,
        seats: bool = False,
    ) -> None:
        """The part of the site's mail that shares ``level`` with lane ``number`` has no turns until
        the gate of ``key`` opens."""
        node = site.ready.sleep(number, level)
        asleep = site.asleep.get(node)
        if asleep is None:
            woken = site.woken  # refused when its turn had come: it keeps its place
            asleep = woken if woken is not None and woken.node is node else Asleep(site, node)
            site.asleep[node] = asleep
        self._count(site, Wait.CONNECTION_LIMIT if seats else why_waited(key), until)
        self.gates.wait(key, asleep, until, step_s, everybody=everybody, seats=seats)

    def _count(self, site: Site, why: Wait, until: float) -> None:
        self._waited(site.provider, why, max(0.0, until - self._loop.time()))

    def more(self, site: Site, wanted: int) -> int:
        """How many of ``wanted`` further recipients of the message just granted may go with it."""
        grant = self._limiter.try_messages(site.tokens_for, wanted)
        return 0 if grant is None else grant.granted

    def spent(self, claims: tuple[Claim, ...], size: int) -> None:
        """A message of so many bytes goes; the first byte was granted with it."""
        if claims and size > 1:
            self._limiter.spend(claims, size - 1)

    def give_back(self, site: Site) -> None:
        """Nothing can be sent now: what was granted is for others, or for later."""
        if site.tokens:
            if site.tokens_for:
                self._limiter.give_back(site.tokens_for, site.tokens)
                self._passed(site.tokens_for)
            if site.seated:
                self.leave(site.seated)
            site.tokens, site.seated = 0, ()

    # upkeep

    def wake(self, site: Site) -> None:
        """End the site's pauses now."""
        self.forget(site)
        self._pump(site)

    def forget(self, site: Site) -> None:
        """It waits for nothing any more."""
        self.gates.leave(site)
        if site.connecting is not None:
            self.gates.leave(site.connecting)
        for asleep in list(site.asleep.values()):
            self.gates.leave(asleep)
            site.ready.wake(asleep.node)
        site.asleep.clear()
        if site.pause is not None:
            site.pause.cancel()
            site.pause = None

    def cancel(self) -> None:
        self.gates.close()
        self._tasks.cancel()


def why_waited(key: str) -> Wait:
    """What the key of a limit of rates, or of a window, makes wait; see ``policy/caps.py``."""
    prefix = key.partition(":")[0]
    return _BY_PREFIX.get(prefix, Wait.MESSAGE_RATE)


_BY_PREFIX = {
    "window": Wait.WINDOW,
    "warmup": Wait.WARM_UP,
    "connect": Wait.CONNECTION_RATE,
    "bytes": Wait.BYTE_RATE,
    "pace": Wait.PACE,
    "pause": Wait.PAUSED,
}


def _step_s(claims: Sequence[Claim], key: str) -> float:
    """How far apart the tokens of ``key`` are."""
    for claim in claims:
        if claim.key == key:
            return claim.rate.period_s / claim.rate.count
    return _SEAT_STEP_S
