"""``Idempotency-Key``: a call that is repeated sends nothing twice, and gets the same answer.

A client that got no answer knows nothing, and can only ask again. So a call with a key is written
down, with the refs that its messages will have, before the first of them goes to the queue; its
answer is written down too. Whoever repeats it gets that answer, waits while the first is still at
work, or, where a crash came between, has done what is missing and not what was done: at its start
each worker looks which of those refs its queue really took (:func:`reconcile`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import structlog

from penstock.api.idempotency_store import (
    DONE,
    PARTIAL,
    PENDING,
    Record,
    State,
    Store,
    StoreTrouble,
)
from penstock.api.problem import FieldError, Problem, invalid
from penstock.mail.envelope import SEQUENCE_BITS

log = structlog.get_logger("penstock.api")
HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
KEY_CHARS_MAX: Final = 255
_POLL_S = 0.02
Result = Literal["new", "resumed", "replayed", "mismatch", "busy"]


class Answer(NamedTuple):
    """What a client is told. ``headers``: beside those that every answer has."""

    status: int
    content: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Claim:
    """What the work of one call tells of itself. ``known``: the ref of each message that an earlier
    try has brought into the queue, 0 for the others; empty where there was none.

    This one is for calls without a key: nothing is written down."""

    known: Sequence[int] = ()

    @property
    def remembers(self) -> bool:
        """Whether a repetition of this call goes on where it ended."""
        return False

    async def begin(self, refs: Sequence[int], answer: Answer | None = None) -> None:
        """Before anything goes to the queue: the refs of the messages in their order, the known
        ones too, 0 for what will be none. ``answer``: where it is known already."""

    def took(self, index: int) -> None:
        """This message is committed."""


class _Taken(Exception):
    """Somebody else was quicker."""


class _Kept(Claim):
    """Of a call with a key."""

    def __init__(
        self, store: Store, key: bytes, digest: bytes, now: float, found: Record | None
    ) -> None:
        self._store, self._key, self._digest, self._now = store, key, digest, now
        self._found = found
        self.known = found.refs if found is not None else ()
        self.record: Record | None = None
        self.answered = False
        self._refs: list[int] = []
        self._committed: set[int] = set()

    @property
    def remembers(self) -> bool:
        return True

    async def begin(self, refs: Sequence[int], answer: Answer | None = None) -> None:
        self._refs = list(refs)
        self._committed = {index for index, ref in enumerate(self.known) if ref}
        new = (ref for index, ref in enumerate(refs) if ref and index not in self._committed)
        shard = next((ref >> SEQUENCE_BITS for ref in new), 0)
        record = Record(PENDING, self._digest, self._now, shard, tuple(refs))
        if answer is not None:
            record = _answered(record, answer)
            self.answered = True
        if await self._store.claim(self._key, record, self._found) is not None:
            raise _Taken
        self.record = record

    def took(self, index: int) -> None:
        self._committed.add(index)

    def finish(self, answer: Answer) -> asyncio.Future[None] | None:
        """Remember the answer."""
        record = self.record
        if record is None:
            return None
        done = Record(DONE, record.digest, record.at, record.shard)
        return self._store.put(self._key, _answered(done, answer))

    def fail(self) -> asyncio.Future[None] | None:
        """Remember what was done of it."""
        record = self.record
        if record is None:
            return None
        if not self._committed:
            return self._store.drop(self._key)
        kept = (ref if n in self._committed else 0 for n, ref in enumerate(self._refs))
        partial = Record(PARTIAL, record.digest, record.at, record.shard, tuple(kept))
        return self._store.put(self._key, partial)


def _answered(record: Record, answer: Answer) -> Record:
    return Record(
        record.state,
        record.digest,
        record.at,
        record.shard,
        record.refs,
        answer.status,
        answer.headers,
        answer.content,
    )


@dataclass(frozen=True, slots=True)
class Call:
    """One request: by which key of ours, with which header, and what makes it the same again."""

    caller: str
    header: str
    digest: bytes


def digest_of(*parts: bytes) -> bytes:
    """Equal only where all parts are."""
    found = hashlib.sha256()
    for part in parts:
        found.update(b"%d:" % len(part))
        found.update(part)
    return found.digest()


NO_CLAIM: Final = Claim()
Work = Callable[[Claim], Awaitable[Answer]]


class Once:
    """One worker's. ``wait_max_s``: how long a duplicate waits; ``counted(result)`` hears of each
    call with a key."""

    def __init__(
        self,
        store: Store | None,
        now: Callable[[], float],
        wait_max_s: float,
        counted: Callable[[Result], None] = lambda result: None,
    ) -> None:
        self._store, self._now, self._wait_max_s, self._counted = store, now, wait_max_s, counted
        self._loop = asyncio.get_running_loop()
        self._running: dict[bytes, asyncio.Future[None]] = {}

    async def run(self, call: Call, work: Work) -> Answer:
        """Do ``work``, or what is left of it, or nothing where it is done. Raises ``Problem``."""
        if not call.header:
            return await work(NO_CLAIM)
        _check_key(call.header)
        if self._store is None:
            raise _cannot("it is turned off here")
        key = digest_of(call.caller.encode(), call.header.encode())[:16]
        until = self._loop.time() + self._wait_max_s
        while True:
            running = self._running.get(key)
            if running is not None:
                await self._wait(running, until)
                continue
            try:
                found = self._store.find(key)
            except StoreTrouble as error:
                raise _cannot(str(error)) from None
            if found is not None and found.digest != call.digest:
                self._counted("mismatch")
                raise Problem(
                    409,
                    "key-reused",
                    f"This {HEADER} was used for another request; nothing was accepted.",
                )
            if found is not None and found.state == DONE:
                self._counted("replayed")
                return Answer(found.status, found.answer, (*found.headers, (REPLAYED, "true")))
            if found is not None and found.state == PENDING:
                await self._wait(None, until)
                continue
            try:
                # whoever goes away meanwhile leaves nothing half done
                return await asyncio.shield(self._begin(key, call.digest, found, work))
            except _Taken:
                continue

    def _begin(
        self, key: bytes, digest: bytes, found: Record | None, work: Work
    ) -> asyncio.Task[Answer]:
        done = self._running[key] = self._loop.create_future()
        task = self._loop.create_task(self._do(key, digest, found, work))

        def ended(task: asyncio.Task[Answer]) -> None:
            del self._running[key]
            done.set_result(None)
            if not task.cancelled():
                task.exception()  # whoever asked may be gone

        task.add_done_callback(ended)
        return task

    async def _do(self, key: bytes, digest: bytes, found: Record | None, work: Work) -> Answer:
        assert self._store is not None
        claim = _Kept(self._store, key, digest, self._now(), found)
        try:
            answer = await work(claim)
        except _Taken:
            raise
        except StoreTrouble as error:
            await _quietly(claim.fail())
            raise _cannot(str(error)) from None
        except BaseException:
            await _quietly(claim.fail())
            raise
        self._counted("new" if found is None else "resumed")
        finished = claim.finish(answer)
        if finished is not None and not claim.answered:
            try:
                await finished
            except StoreTrouble as error:
                log.error("the answer to a call is not remembered", error=str(error))
        return answer

    async def _wait(self, running: asyncio.Future[None] | None, until: float) -> None:
        """For the call that is being repeated; ``None``: another worker does it."""
        left = until - self._loop.time()
        if left > 0:
            if running is None:
                await asyncio.sleep(min(left, _POLL_S))
            else:
                await asyncio.wait({running}, timeout=left)
            return
        self._counted("busy")
        raise Problem(
            409,
            "in-progress",
            f"The request with this {HEADER} is still at work; ask again for its answer.",
            headers={"Retry-After": "1"},
        )


async def _quietly(change: asyncio.Future[None] | None) -> None:
    if change is not None:
        try:
            await change
        except StoreTrouble as error:
            log.error("what became of a call is not remembered", error=str(error))


def _check_key(header: str) -> None:
    if len(header) > KEY_CHARS_MAX or not header.isascii() or not header.isprintable():
        what = f"1 to {KEY_CHARS_MAX} printable ASCII characters, such as a UUID"
        raise invalid([FieldError(f"header {HEADER}", f"has to be {what}")])


def _cannot(why: str) -> Problem:
    return Problem(
        503,
        "unavailable",
        f"Calls with an {HEADER} cannot be remembered now ({why}); nothing was accepted.",
        headers={"Retry-After": "5"},
    )


def reconcile(
    store: Store, shards: Iterable[int], committed: Callable[[int], bool]
) -> list[asyncio.Future[None]]:
    """At the start of the worker that owns ``shards``, before it takes any mail: what a crash left
    pending is either done, or was done in part, or never was. ``committed(ref)``: whether the queue
    took that message, be it still there or not."""
    changes = []
    for key, record in store.unfinished(shards):
        refs = tuple(ref if ref and committed(ref) else 0 for ref in record.refs)
        whole = refs == record.refs and any(refs)
        state: State = DONE if whole and record.status else PARTIAL
        if not any(refs):
            changes.append(store.drop(key))
        else:
            kept = () if state == DONE else refs
            found = Record(
                state,
                record.digest,
                record.at,
                record.shard,
                kept,
                record.status,
                record.headers,
                record.answer,
            )
            changes.append(store.put(key, found))
    if changes:
        log.info("calls that a crash interrupted", calls=len(changes))
    return changes
