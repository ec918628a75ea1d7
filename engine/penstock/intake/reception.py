"""What comes back, taken in: a report is read, written to the event log and synced, then its 250.

Nothing follows from a report here; what it is about is found out by whoever reads the log. Nothing
is ever answered, so that two machines cannot talk to each other. Reading is bounded work; what is
large is read in a thread. One sync serves all reports that came while another ran.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from penstock.events.records import Event, Reported
from penstock.intake.ports import Refused
from penstock.intake.report_addresses import POSTMASTER, Admitted, ReportAddresses, Turned
from penstock.mail.automatic import is_answer
from penstock.mail.envelope import Envelope
from penstock.mail.headers import scan
from penstock.smtp.reply import Reply

log = structlog.get_logger("penstock.intake")
Read = Callable[[bytes], dict[str, Any]]
Count = Callable[[str, str], None]
Forward = Callable[[Envelope, bytes], "asyncio.Future[None]"]
_FULL = Reply.of(452, "4.3.1 Reports cannot be stored now, try again later")


class ReportLog(Protocol):
    """The event log, as far as it is needed here. ``dropped`` counts events for which there was no
    room; ``sync`` may be called in a thread, and raises ``OSError``."""

    dropped: int

    def write(self, make: type[Event], **fields: Any) -> str: ...
    def sync(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ReceptionConfig:
    """``thread_bytes``: what is larger is read in a thread."""

    thread_bytes: int = 32 << 10


class Reception:
    """One worker's. ``read`` makes the fields of a ``Reported`` of a message, and raises nothing;
    ``count(role, result)`` hears of each address and report; ``forward`` takes mail that is for
    people, ``None`` where nobody wants it. ``addresses`` may be replaced at any time (reload)."""

    def __init__(
        self,
        config: ReceptionConfig,
        addresses: ReportAddresses,
        log: ReportLog,
        read: Read,
        count: Count,
        now: Callable[[], float],
        forward: Forward | None = None,
    ) -> None:
        self._config, self.addresses, self._log, self._read = config, addresses, log, read
        self._count, self._now, self.forward = count, now, forward
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(1, "reports")
        self._syncs = ThreadPoolExecutor(1, "reports-sync")
        self._tasks: set[asyncio.Task[None]] = set()
        self._next: asyncio.Future[None] | None = None
        self._syncing = False

    @property
    def pending(self) -> int:
        """Reports between their last byte and their reply."""
        return len(self._tasks)

    def admit(self, address: str, client: str) -> Reply | None:
        """Whether a recipient is one of ours; what its sender is told if not."""
        found = self.addresses.find(address, self._now())
        if isinstance(found, Admitted):
            return None
        self._count(found.role, found.reason)
        if found.reason in ("forged", "expired", "unknown-key"):
            log.info("report refused", client=client, role=found.role, reason=found.reason)
        return found.reply

    def take(self, envelope: Envelope, content: bytes) -> asyncio.Future[None]:
        """Resolves when all of it is on disk, else with :class:`Refused`."""
        task = self._loop.create_task(self._take(envelope, content))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _take(self, envelope: Envelope, content: bytes) -> None:
        # asked again: these are few, and nothing need be carried along with the envelope
        now = self._now()
        found = [self.addresses.find(one.address, now) for one in envelope.recipients]
        wanted = list(dict.fromkeys(one for one in found if isinstance(one, Admitted)))
        turned = [one for one in found if isinstance(one, Turned)]
        for gone in turned:  # good at RCPT and not any more
            self._count(gone.role, gone.reason)
        if not wanted:
            raise Refused(turned[0].reply)
        try:
            results = [await self._result(one, envelope, content) for one in wanted]
            if "accepted" in results:
                await self._synced()
            if "forwarded" in results:
                await self._pass_on(envelope, content)
        except Refused:
            for one in wanted:
                self._count(one.role, "refused")
            raise
        for one, result in zip(wanted, results, strict=True):
            self._count(one.role, result)

    async def _result(self, admitted: Admitted, envelope: Envelope, content: bytes) -> str:
        if admitted.role == POSTMASTER:
            return "forwarded"
        if admitted.role == "unsubscribe":
            return self._unsubscribe(admitted, envelope, content)
        return await self._report(admitted, envelope, content)

    def _unsubscribe(self, admitted: Admitted, envelope: Envelope, content: bytes) -> str:
        if is_answer(content, scan(content).end):
            return "automatic"
        self._write(admitted, envelope, {})
        return "accepted"

    async def _report(self, admitted: Admitted, envelope: Envelope, content: bytes) -> str:
        if len(content) > self._config.thread_bytes:
            fields = await self._loop.run_in_executor(self._threads, self._read, content)
        else:
            fields = self._read(content)
        if not admitted.token and self.forward is not None and fields.get("kind") == "other":
            return "forwarded"  # somebody writes to abuse@ with a pen
        self._write(admitted, envelope, fields)
        return "accepted"

    def _write(self, admitted: Admitted, envelope: Envelope, found: dict[str, Any]) -> None:
        before = self._log.dropped
        self._log.write(
            Reported,
            role=admitted.role,
            token=admitted.token,
            client=envelope.client,
            found=found,
        )
        if self._log.dropped != before:
            raise Refused(_FULL)

    async def _pass_on(self, envelope: Envelope, content: bytes) -> None:
        if self.forward is None:
            log.warning("mail to postmaster, which nobody gets", client=envelope.client)
        else:
            await self.forward(envelope, content)

    # what was written gets on disk

    async def _synced(self) -> None:
        if self._next is None:
            self._next = self._loop.create_future()
        group = self._next
        self._start_sync()
        try:
            await asyncio.shield(group)
        except OSError as error:
            log.error("reports cannot be stored", error=str(error))
            raise Refused(_FULL) from error

    def _start_sync(self) -> None:
        group = self._next
        if self._syncing or group is None:
            return
        self._syncing, self._next = True, None
        done = self._loop.run_in_executor(self._syncs, self._log.sync)
        done.add_done_callback(lambda done: self._sync_ended(done, group))

    def _sync_ended(self, done: asyncio.Future[None], group: asyncio.Future[None]) -> None:
        self._syncing = False
        error = done.exception()
        if error is None:
            group.set_result(None)
        else:
            group.set_exception(error)
            group.exception()  # those who waited may be gone
        self._start_sync()

    def close(self) -> None:
        """After the listeners: nobody waits for anything any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._syncs.shutdown(wait=True)
