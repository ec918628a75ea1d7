"""Where intake meets the queue: the gate that shuts when there is no room, and the way in."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass

from penstock.intake.ports import Refused
from penstock.mail.envelope import Envelope
from penstock.relay.spool import Spool
from penstock.smtp.reply import Reply
from penstock_queue import CommitFailed, QueueFull

_DISK = Reply.of(452, "4.3.1 Insufficient system storage, try again later")
_MEMORY = Reply.of(421, "4.3.2 Too much mail waits for the disk here, try again later")
_STOPPING = Reply.of(421, "4.3.2 This server is shutting down")


@dataclass(frozen=True, slots=True)
class GateConfig:
    """``free_bytes_min`` and ``free_inodes_min`` of the spool's file system; intake shuts below
    them. ``uncommitted_bytes_max``: intake shuts when three quarters of it wait."""

    free_bytes_min: int
    free_inodes_min: int
    uncommitted_bytes_max: int
    max_age_s: float


class IntakeSink:
    """The intake's ``Sink``. ``free`` gives (bytes, inodes) free; :meth:`look` asks it.

    ``observe(seconds)`` hears how long each message waited for its commit.
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
    ) -> None:
        self._config, self._spool, self._free, self._now = config, spool, free, now
        self._monotonic, self._observe = monotonic, observe
        self._short = False
        self._mark = config.uncommitted_bytes_max * 3 // 4
        self.stopping = False
        self._group: asyncio.Future[None] | None = None
        self._began: list[float] = []

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

    @property
    def short(self) -> bool:
        return self._short

    def refusal(self) -> Reply | None:
        if self.stopping:
            return _STOPPING
        if self._short or self._spool.full:
            return _DISK
        if self._spool.uncommitted_bytes > self._mark:
            return _MEMORY
        return None

    def reserve(self, recipients: int) -> int:
        return self._spool.reserve(recipients, self._now())

    def submit(self, envelope: Envelope, body: list[bytes]) -> asyncio.Future[None]:
        """Raises :class:`Refused` when there is no room for it."""
        if not envelope.expires_at:
            envelope.expires_at = envelope.received_at + self._config.max_age_s
        try:
            group = self._spool.append(envelope, body)
        except QueueFull:
            raise Refused(_DISK if self._spool.full else _MEMORY) from None
        if group is not self._group:  # one callback for all messages of a commit
            self._group, self._began = group, []
            group.add_done_callback(functools.partial(self._ended, self._began))
        self._began.append(self._monotonic())
        return group

    def _ended(self, began: list[float], group: asyncio.Future[None]) -> None:
        now = self._monotonic()
        for start in began:
            self._observe(now - start)


def refused(error: BaseException) -> Refused:
    """What submitters hear whose messages could not be committed."""
    if isinstance(error, CommitFailed):
        return Refused(_DISK)
    return Refused(Reply.of(451, "4.3.0 Local error, try again later"))
