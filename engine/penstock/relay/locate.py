"""Finds the destination of each lane and keeps it fresh.

A lane whose domain was never resolved holds its mail back; one that was goes on with the old answer
while a new one is fetched, so that an expired TTL costs no message any time. When DNS gives no
answer for now, one delivery is deferred to say why and the rest wait with the lane, untouched,
until its pause is over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.relay.lane import Lane
from penstock.relay.ports import Destination
from penstock.smtp.reply import Reply

Find = Callable[[str], Awaitable[Destination | Outcome]]


class Owner(Protocol):
    """The dispatcher, as far as it is needed here."""

    stopping: bool

    def assign(self, lane: Lane, destination: Destination) -> None: ...
    def unassign(self, lane: Lane) -> None: ...
    def fail(self, refs: Sequence[int], lane: Lane, outcome: Outcome) -> None: ...
    def live(self, ref: int) -> bool: ...
    def backoff(self, failures: int) -> float: ...


class Locator:
    """At most ``resolves_max`` look-ups at once; the rest stand in line. ``now`` is wall time."""

    def __init__(
        self, find: Find, owner: Owner, resolves_max: int, now: Callable[[], float]
    ) -> None:
        self._find, self._owner, self._max, self._now = find, owner, resolves_max, now
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Lane] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> int:
        return len(self._queue) + len(self._tasks)

    def want(self, lane: Lane) -> None:
        if not lane.resolving and lane.blocked_until <= self._loop.time():
            lane.resolving = True
            self._queue.append(lane)
            self._start()

    async def identify(self, lane: Lane) -> None:
        """Find out the lane's provider without giving it a site."""
        found = await self._find(lane.key.domain)
        lane.provider = found.provider if isinstance(found, Destination) else ""

    async def place(self, lane: Lane) -> None:
        """Give the lane its destination, if there is one, without touching its mail."""
        found = await self._find(lane.key.domain)
        if isinstance(found, Destination) and lane.destination is None:
            self._owner.assign(lane, found)
        elif not isinstance(found, Destination):
            lane.provider = ""

    def retry(self, lane: Lane) -> None:
        """Look again now, whatever pause the lane had."""
        lane.blocked_until = 0.0
        if lane.waiting and not self._owner.stopping:
            self.want(lane)

    def _start(self) -> None:
        while self._queue and len(self._tasks) < self._max:
            task = asyncio.ensure_future(self._resolve(self._queue.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()
        self._start()

    async def _resolve(self, lane: Lane) -> None:
        try:
            found = await self._find(lane.key.domain)
        except Exception as error:  # a bug must not leave mail behind a lane that nobody looks at
            self._loop.call_exception_handler({"message": "resolving failed", "exception": error})
            reply = Reply.of(451, "4.3.0 Local error while looking up the domain")
            found = Outcome(Kind.DEFERRED, Phase.RESOLVE, reply)
        finally:
            lane.resolving = False
        if isinstance(found, Destination):
            lane.failures, lane.last_failure = 0, None
            self._owner.assign(lane, found)
        elif found.kind is Kind.BOUNCED:
            await self._fail_all(lane, found)
        else:
            self._pause(lane, found)

    async def _fail_all(self, lane: Lane, outcome: Outcome) -> None:
        self._owner.unassign(lane)
        while refs := self._some(lane, 100):
            self._owner.fail(refs, lane, outcome)
            await asyncio.sleep(0)  # others get their turn between batches

    def _pause(self, lane: Lane, outcome: Outcome) -> None:
        lane.failures += 1
        lane.last_failure = outcome
        pause = self._owner.backoff(lane.failures)
        if lane.destination is not None:
            lane.fresh_until = self._now() + pause
            return
        refs = self._some(lane, 1)
        if refs:
            self._owner.fail(refs, lane, outcome)
        lane.blocked_until = self._loop.time() + pause
        self._loop.call_later(pause, self.retry, lane)

    def _some(self, lane: Lane, limit: int) -> list[int]:
        refs: list[int] = []
        while lane.waiting and len(refs) < limit:
            ref = lane.waiting.pop()
            if self._owner.live(ref):
                refs.append(ref)
        return refs

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
