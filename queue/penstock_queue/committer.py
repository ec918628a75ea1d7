"""Group commit for asyncio.

While one group is written, what arrives is gathered for the next, so the cost of a sync is shared
by more as the load rises. Everybody who waits for a group holds the same future. A group that
goes behind others into room that is there already is handed to the kernel (``direct``); a
thread of the queue's own writes all others, and whatever the kernel will not take. A second thread
deletes and compacts within its budget; the event loop alone decides.
"""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from time import perf_counter
from typing import Final, Protocol

from penstock_queue.batch import Batch
from penstock_queue.compact import Chore
from penstock_queue.direct import BYTES_MAX, Direct, KernelDirect
from penstock_queue.errors import CommitFailed
from penstock_queue.queue import Queue

BACKOFF_S: Final = 0.1
BACKOFF_S_MAX: Final = 5.0
IDLE_S: Final = 0.5
STOP_TRIES: Final = 3

Observer = Callable[[int, int, float, bool], None]


# Work that holds up the loop is none for the loop: a file system may wait where others queue.
BLOCKED_S: Final = 0.005
BLOCKED_TIMES: Final = 3
DIRECT_AGAIN_S: Final = 60.0
# What a kernel or a file system says that has no such writes.
NOT_SO: Final = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


def nothing(patient: bool) -> bool:
    """Where nobody has anything to do before a group is written."""
    return True


class GroupFuture(asyncio.Future[None]):
    """Shared by all waiters of a group: one that is cancelled must not cancel the others, so it
    hears of its cancellation when the group is done."""

    def cancel(self, msg: object = None) -> bool:
        return False


class Jobs(Protocol):
    """Runs what it is given, one after the other, beside the event loop."""

    def put(self, job: Callable[[], None]) -> None: ...

    def join(self) -> None:
        """No more will come; returns when all is done."""
        ...


class QueueThread:
    """``Jobs`` on a thread of their own."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def put(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)

    def join(self) -> None:
        self._jobs.put(None)
        self._thread.join()


class Committer:
    """``observer(messages, bytes, seconds, direct)`` is called after each group that succeeded;
    ``jobs(name)`` makes what blocking work runs on. ``before_write(patient)`` is called before each
    group is written: what it does comes before all that the group records. Where it is not to be
    patient and would have to wait, it returns ``False`` and is asked again in the thread.
    ``direct(loop)`` makes what groups are written with without the thread; ``directly``: groups
    that were. ``clock``: seconds that never jump."""

    def __init__(
        self,
        queue: Queue,
        loop: asyncio.AbstractEventLoop,
        observer: Observer | None = None,
        jobs: Callable[[str], Jobs] = QueueThread,
        before_write: Callable[[bool], bool] = nothing,
        direct: Callable[[asyncio.AbstractEventLoop], Direct] = KernelDirect,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._queue = queue
        self._before_write = before_write
        self._loop = loop
        self._observer = observer
        self._jobs = jobs
        self._current: GroupFuture | None = None
        self._next: GroupFuture | None = None
        self._timer: asyncio.Handle | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._backoff_s = 0.0
        self._chore_done: asyncio.Future[None] | None = None
        self._stopping = False
        self._company = False
        self._make_direct = direct
        self._clock = clock
        self._can_direct = queue.config.direct_io
        self._direct: Direct | None = None
        self._blocked = 0
        self._direct_after = 0.0
        self.directly = 0
        self._writer: Jobs | None = None
        self._keeper: Jobs | None = None

    def start(self) -> None:
        self._writer = self._jobs("queue-commit")
        self._keeper = self._jobs("queue-chores")
        self._pause = self._loop.call_later(IDLE_S, self._keep)
        if self._queue.pending:
            self.nudge()

    def commit(self) -> asyncio.Future[None]:
        """Resolves when all appended and settled so far is on disk; raises ``CommitFailed``, also
        where nobody is there to write (before ``start``, after ``stop``)."""
        if self._writer is None:
            return self._nobody()
        if self._queue.pending:
            if self._next is None:
                self._next = GroupFuture(loop=self._loop)
                if self._current is None:
                    self._schedule(self._gather_s())
            return self._next
        if self._current is not None:
            return self._current
        done = GroupFuture(loop=self._loop)
        done.set_result(None)
        return done

    def _nobody(self) -> GroupFuture:
        future = GroupFuture(loop=self._loop)
        if self._queue.pending:
            future.set_exception(CommitFailed(OSError(errno.ESHUTDOWN, "not running")))
            future.exception()  # it need not be asked for
        else:
            future.set_result(None)
        return future

    def nudge(self) -> None:
        """Settlements wait: they are written within ``settle_delay_s``."""
        if self._current is None and self._timer is None:
            self._schedule(self._queue.config.settle_delay_s)

    async def stop(self) -> None:
        """Flush all, then end the threads. Compaction stops where it is."""
        self._stopping = True
        if self._pause is not None:
            self._pause.cancel()
        if self._chore_done is not None:
            await self._chore_done
        tries = 0
        while self._writer and (self._current or self._queue.pending) and tries < STOP_TRIES:
            try:
                await self.commit()
            except CommitFailed:
                tries += 1
        if self._timer is not None:
            self._timer.cancel()
        for thread in (self._writer, self._keeper):
            if thread is not None:
                thread.join()
        self._writer = self._keeper = None
        if self._direct is not None:
            self._direct.close()
            self._direct = None
        if self._next is not None:
            self._next.set_exception(CommitFailed(OSError(errno.ESHUTDOWN, "not running")))
            self._next.exception()
            self._next = None

    # Groups

    def _gather_s(self) -> float:
        """A moment for company where there was some a group ago; somebody alone is not kept."""
        return self._queue.config.gather_s if self._company else 0.0

    def _schedule(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if delay_s:
            self._timer = self._loop.call_later(delay_s, self._begin)
        else:
            # Not at once: whoever is about to append in this turn of the loop comes along.
            self._timer = self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._timer = None
        if self._current is not None or self._writer is None:
            return
        batch = self._queue.begin_commit()
        if batch is None:
            return
        self._current = self._next or GroupFuture(loop=self._loop)
        self._next = None
        if not self._handed_over(batch):
            self._writer.put(lambda: self._write(batch))

    def _handed_over(self, batch: Batch) -> bool:
        """The kernel has it, and will say when it is durable."""
        started = self._clock()
        if not self._can_direct or started < self._direct_after:
            return False
        if batch.file is None or batch.file.direct < 0:
            return False
        try:
            buffers = batch.encode()
            if batch.direct < 0 or batch.size > BYTES_MAX or not self._before_write(False):
                return False
        except Exception:  # a bug, or what comes before: the thread meets it again, and reports it
            return False
        try:
            if self._direct is None:
                self._direct_after = started + DIRECT_AGAIN_S  # should there be none now
                self._direct = self._make_direct(self._loop)
                self._direct_after = 0.0
            done = partial(self._handed_back, batch, started)
            self._direct.write(batch.direct, buffers, batch.offset, done)
        except OSError as error:
            self._can_direct = error.errno not in NOT_SO
            return False
        except Exception as error:
            self._can_direct = False
            self._unexpected(error)
            return False
        self._watch(started, self._clock())
        return True

    def _watch(self, started: float, now: float) -> None:
        self._blocked = self._blocked + 1 if now - started > BLOCKED_S else 0
        if self._blocked >= BLOCKED_TIMES:
            self._blocked, self._direct_after = 0, now + DIRECT_AGAIN_S

    def _handed_back(self, batch: Batch, started: float, error: OSError | None) -> None:
        if error is None:
            self.directly += 1
            self._ended(batch, self._clock() - started, direct=True)
        elif self._writer is None:
            return  # stopped, and nobody waits
        elif error.errno in NOT_SO:
            self._can_direct = False
            self._writer.put(lambda: self._write(batch))
        else:
            batch.error = error
            self._writer.put(lambda: self._undo(batch))

    def _undo(self, batch: Batch) -> None:
        batch.undo()
        self._post(lambda: self._ended(batch, 0.0))

    def _write(self, batch: Batch) -> None:
        started = self._clock()
        try:
            self._before_write(True)
            batch.run()
        except Exception as error:
            batch.error = self._unexpected(error)
        seconds = self._clock() - started
        self._post(lambda: self._ended(batch, seconds))

    def _post(self, call: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            # The loop is gone, and with it everybody who could hear of this.
            return

    def _unexpected(self, error: Exception) -> OSError:
        """A bug must not leave anybody waiting: it fails the group, and is reported."""
        report = {"message": "unexpected failure in the queue's I/O", "exception": error}
        self._post(lambda: self._loop.call_exception_handler(report))
        return OSError(errno.EIO, f"{type(error).__name__}: {error}")

    def _ended(self, batch: Batch, seconds: float, direct: bool = False) -> None:
        future, self._current = self._current, None
        failed = self._queue.end_commit(batch)
        if future is not None:
            if failed is None:
                future.set_result(None)
            else:
                future.set_exception(failed)
                future.exception()  # a group of settlements only has nobody to tell
        if failed is None:
            self._backoff_s = 0.0
            if self._observer is not None:
                self._observer(batch.messages, batch.size, seconds, direct)
            self._company = batch.messages > 1
            if self._next is not None:
                self._schedule(self._gather_s())
            elif self._queue.pending and self._timer is None:
                self._schedule(self._queue.config.settle_delay_s)
            return
        self._backoff_s = min(max(self._backoff_s * 2, BACKOFF_S), BACKOFF_S_MAX)
        if self._next is not None:
            self._begin()
        elif self._queue.pending or self._queue.full:
            self._schedule(self._backoff_s)

    # Chores

    def _keep(self) -> None:
        if self._stopping or self._keeper is None:
            return
        chore = self._queue.begin_chore()
        if chore is None:
            self._pause = self._loop.call_later(IDLE_S, self._keep)
            return
        self._chore_done = self._loop.create_future()
        self._keeper.put(lambda: self._work(chore))

    def _work(self, chore: Chore) -> None:
        try:
            chore.run()
        except Exception as error:
            chore.error = self._unexpected(error)
        self._post(lambda: self._kept(chore))

    def _kept(self, chore: Chore) -> None:
        read = self._queue.end_chore(chore)
        if self._chore_done is not None:
            self._chore_done.set_result(None)
            self._chore_done = None
        if self._queue.pending:
            self.nudge()
        pause_s = read / self._queue.config.compact_bytes_per_s
        if chore.error is not None:
            pause_s = IDLE_S
        if not self._stopping:
            self._pause = self._loop.call_later(pause_s, self._keep)
