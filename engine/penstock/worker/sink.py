"""Where intake meets the queue: the gate that shuts when there is no room, and the way in."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from penstock.intake.ports import Refused
from penstock.mail.envelope import Envelope
from penstock.relay.spool import Spool
from penstock.smtp.reply import Reply
from penstock_queue import CommitFailed, QueueFull

_DISK = Reply.of(452, "4.3.1 Insufficient system storage, try again later")
_MEMORY = Reply.of(421, "4.3.2 Too much mail waits for the disk here, try again later")
_LATE = Reply.of(421, "4.3.2 This server is too busy now, try again later")
_STOPPING = Reply.of(421, "4.3.2 This server is shutting down")
_REFUSALS = {"stopping": _STOPPING, "disk": _DISK, "memory": _MEMORY, "late": _LATE}
_LATE_S = 1.0  # a loop that was late is given this time to prove that it no longer is


@dataclass(frozen=True, slots=True)
class GateConfig:
    """``free_bytes_min`` and ``free_inodes_min`` of the spool's file system; intake shuts below
    them. ``uncommitted_bytes_max``: intake shuts when three quarters of it wait. ``wait_max_s``: it
    shuts while a message waits for the disk, or the event loop is late, by more than this."""

    free_bytes_min: int
    free_inodes_min: int
    uncommitted_bytes_max: int
    max_age_s: float
    wait_max_s: float


class IntakeSink:
    """The intake's ``Sink``. ``free`` gives (bytes, inodes) free; :meth:`look` asks it.

    ``observe(seconds)`` hears how long each message waited for its commit; ``accepted(messages)``
    of all that one commit has made durable, each with its bytes, before anybody is told so.
    """

    def __init__(
        self,
        config: GateConfig,
        spool: Spool,
        free: Callable[[], tuple[int, int]],
        *,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        observe: Callable[[float], None],
        accepted: Callable[[Sequence[tuple[Envelope, int]]], None],
    ) -> None:
        self._config, self._spool, self._free, self._now = config, spool, free, now
        self._monotonic, self._observe, self._accepted = monotonic, observe, accepted
        self._short = False
        self._mark = config.uncommitted_bytes_max * 3 // 4
        self.stopping = False
        self._group: asyncio.Future[None] | None = None
        self._began: list[float] = []
        self._messages: list[tuple[Envelope, int]] = []
        self._groups: deque[list[float]] = deque()  # those under way: one is written, one gathers
        self._late_until = 0.0

    def look(self) -> bool:
        """Look at the disk again; returns True when the gate opened or shut by that."""
        free_bytes, free_inodes = self._free()
        short = (
            free_bytes < self._config.free_bytes_min
            # a file system without a fixed number of inodes reports 0 of them
            or 0 < free_inodes < self._config.free_inodes_min
        )
        changed, self._short = short != self._short, short
        return changed

    def lag(self, seconds: float) -> None:
        """How late the event loop was just now."""
        if seconds > self._config.wait_max_s:
            self._late_until = self._monotonic() + _LATE_S

    @property
    def late(self) -> bool:
        """Whoever came now would wait for too long: a message has, for its commit or its turn."""
        groups = self._groups
        if not groups and not self._late_until:
            return False
        now = self._monotonic()
        if self._late_until:
            if now < self._late_until:
                return True
            self._late_until = 0.0
        return bool(groups) and now - groups[0][0] > self._config.wait_max_s

    @property
    def short(self) -> bool:
        return self._short

    def refusal(self) -> Reply | None:
        reason = self.reason()
        return _REFUSALS[reason] if reason else None

    def reason(self) -> str:
        """Why no mail is taken now, as the metric names it; empty where it is."""
        if self.stopping:
            return "stopping"
        if self._short or self._spool.full:
            return "disk"
        if self._spool.uncommitted_bytes > self._mark:
            return "memory"
        return "late" if self.late else ""

    def reserve(self, recipients: int) -> int:
        return self._spool.reserve(recipients, self._now())

    def submit(self, envelope: Envelope, body: list[bytes]) -> asyncio.Future[None]:
        """Raises :class:`Refused` when there is no room for it."""
        # its Received field has the machine's date; its age is by the clock that decides
        envelope.received_at = now = self._now()
        due = envelope.deliver_at
        if due <= now:
            due = 0.0  # at once
        latest = (due or now) + self._config.max_age_s
        asked = envelope.expires_at
        envelope.expires_at = asked if 0.0 < asked < latest else latest
        try:
            group = self._spool.append(envelope, body, due)
        except QueueFull:
            raise Refused(_DISK if self._spool.full else _MEMORY) from None
        if group is not self._group:  # one callback for all messages of a commit
            self._group, self._began, self._messages = group, [self._monotonic()], []
            self._groups.append(self._began)
            # before the sessions ask for the same: what they answer is written down first
            ended = functools.partial(self._ended, self._began, self._messages)
            group.add_done_callback(ended)
        else:
            self._began.append(self._monotonic())
        self._messages.append((envelope, sum(map(len, body))))
        return group

    def _ended(
        self,
        began: list[float],
        messages: list[tuple[Envelope, int]],
        group: asyncio.Future[None],
    ) -> None:
        if not group.cancelled() and group.exception() is None:
            self._accepted(messages)
        now = self._monotonic()
        self._groups.remove(began)
        for start in began:
            self._observe(now - start)


def refused(error: BaseException) -> Refused:
    """What submitters hear whose messages could not be committed."""
    if isinstance(error, CommitFailed):
        return Refused(_DISK)
    return Refused(Reply.of(451, "4.3.0 Local error, try again later"))
