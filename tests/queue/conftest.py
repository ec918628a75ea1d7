"""A model of what a queue promises, and small helpers for its tests."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from penstock_queue import CommitFailed, NewEntry, Queue, QueueConfig, QueueFull, SimDisk
from penstock_queue.chunk import ARMED

SMALL = QueueConfig(
    segment_bytes=16384,
    cache_bytes=4096,
    uncommitted_bytes_max=1 << 16,
    inflight_slots=8,
    open_files_max=2,
)
NOW = 1_700_000_000.0


class Model:
    """Random work on a queue, and what must be true of it after any crash.

    ``safe``: acknowledged entries by number, each with the attempt counts that a restart may show.
    ``gone``: settled for good and committed. What is in neither may be there or not."""

    def __init__(self, seed: int, disk: SimDisk, *, config: QueueConfig = SMALL) -> None:
        self.rng = random.Random(seed)
        self.disk = disk
        self.config = config
        self.now = NOW
        self.content: dict[int, tuple[bytes, bytes, bytes]] = {}
        self.attempts: dict[int, set[int]] = {}
        self.notes: dict[tuple[int, int], bytes] = {}
        self.safe: set[int] = set()
        self.gone: set[int] = set()
        self.known: set[int] = set()
        self.settled: set[int] = set()
        self.queue: Queue | None = None

    def open(self) -> Queue:
        self.queue = Queue.open("q", self.config, disk=self.disk, now=self.now)
        return self.queue

    def step(self) -> None:
        self.now += self.rng.random()
        action = self.rng.choices(
            (
                self.append,
                self.settle,
                self.defer,
                self.commit,
                self.compact,
                self.reopen,
                self.due,
            ),
            (8, 6, 3, 6, 4, 0.5, 2),
        )[0]
        action()

    def append(self) -> None:
        assert self.queue is not None
        rng, count = self.rng, self.rng.choice((1, 1, 1, 2, 5))
        seq = self.queue.reserve(count, self.now)
        body = [rng.randbytes(rng.randrange(900)) for _ in range(rng.randrange(3))]
        meta = rng.randbytes(8)
        entries = [
            NewEntry(b"k%d" % rng.randrange(3), self.now + rng.randrange(-5, 50), 0.0, b"m%d" % i)
            for i in range(count)
        ]
        try:
            self.queue.append(seq, meta, body, entries)
        except QueueFull:
            return
        for i, entry in enumerate(entries):
            assert seq + i not in self.known, "a number that was acknowledged is given out again"
            self.gone.discard(seq + i)
            self.settled.discard(seq + i)
            self.content[seq + i] = (meta, entry.meta, b"".join(body))
            self.attempts[seq + i] = {0}

    def pick(self) -> int | None:
        assert self.queue is not None
        live = [seq for seq in self.content if self.queue.exists(seq)]
        return self.rng.choice(live) if live else None

    def settle(self) -> None:
        assert self.queue is not None
        for _ in range(self.rng.randrange(1, 5)):
            seq = self.pick()
            if seq is not None:
                self.queue.mark(seq)
                self.queue.settle(seq)
                self.settled.add(seq)

    def defer(self) -> None:
        assert self.queue is not None
        seq = self.pick()
        if seq is not None:
            attempts = self.queue.attempts(seq) + 1
            note = b"note %d %d" % (seq, attempts)
            self.queue.defer(seq, self.now + self.rng.randrange(100), attempts, note)
            self.attempts[seq].add(attempts)
            self.notes[seq, attempts] = note

    def commit(self) -> None:
        """With more work while the group is on its way."""
        assert self.queue is not None
        batch = self.queue.begin_commit()
        if batch is None:
            return
        fresh = {seq for message in batch.work.messages for seq in message.seqs}
        done = set(batch.work.done)
        again = {seq: item[0].attempts for seq, item in batch.work.agains.items()}
        for action in self.rng.sample((self.append, self.settle, self.defer, self.compact), 2):
            if self.rng.random() < 0.3:
                action()
        batch.run()
        failed: CommitFailed | None = self.queue.end_commit(batch)
        if failed is None:
            self.safe |= fresh
            self.known |= fresh
            self.gone |= done
            for seq, attempts in again.items():
                self.attempts[seq] = {n for n in self.attempts[seq] if n >= attempts}
        else:
            assert all(not self.queue.exists(seq) for seq in fresh)

    def compact(self) -> None:
        assert self.queue is not None
        self.queue.compact_step(1500)

    def reopen(self) -> None:
        assert self.queue is not None
        self.queue.close()
        self.verify()

    def due(self) -> None:
        assert self.queue is not None
        self.queue.pop_due(self.now, 100)
        chunks = self.queue._index.chunks.values()
        armed = sum(1 for chunk in chunks for flags in chunk.state if flags & ARMED)
        assert self.queue.handed_out == self.queue.stats()["entries"] - armed

    def verify(self) -> set[int]:
        """Open, compare, and take what is there for the truth from now on."""
        queue = self.open()
        live = set(queue.seqs())
        assert queue.handed_out == 0, "the timers hold all that a start found"
        assert not queue.recovery.quarantined
        assert not queue.recovery.orphans
        assert not self.gone & live, "settled for good and committed, yet back"
        lost = self.safe - self.settled - live
        assert not lost, f"acknowledged, yet gone: {lost}"
        order = sorted(live)
        for seq, loaded in zip(order, queue.read(order), strict=True):
            attempts = queue.attempts(seq)
            assert loaded is not None
            assert loaded[:3] == self.content[seq]
            # One that was settled, but not durably, may come back in any state it ever had.
            if seq not in self.settled:
                assert attempts in self.attempts[seq], (seq, attempts, self.attempts[seq])
            assert loaded.note == self.notes.get((seq, attempts), b"")
            self.attempts[seq] = {attempts}
        self.gone |= set(self.content) - live
        self.safe = set(live)
        self.known |= live
        self.settled = set(self.gone)
        return live


@pytest.fixture
def model() -> Callable[..., Model]:
    return Model


@pytest.fixture
def small() -> QueueConfig:
    return SMALL


@pytest.fixture
def now() -> float:
    return NOW


def commit(queue: Queue) -> CommitFailed | None:
    batch = queue.begin_commit()
    if batch is None:
        return None
    batch.run()
    return queue.end_commit(batch)


@pytest.fixture(name="commit")
def _commit() -> Callable[[Queue], CommitFailed | None]:
    return commit


@pytest.fixture
def put() -> Callable[..., int]:
    """Append one message with entries due at once; returns its number."""

    def put(
        queue: Queue, body: bytes = b"body", keys: tuple[bytes, ...] = (b"k",), **entry: float
    ) -> int:
        seq = queue.reserve(len(keys), NOW)
        due, expires = entry.get("due", 0.0), entry.get("expires", 0.0)
        queue.append(seq, b"meta", [body], [NewEntry(key, due, expires, b"e") for key in keys])
        return seq

    return put


@pytest.fixture
def opened(small: QueueConfig) -> Iterator[Callable[..., Queue]]:
    """``opened(disk, config=..., now=...)``: a queue that is closed when the test ends."""
    queues: list[Queue] = []

    def open_queue(disk: SimDisk, config: QueueConfig = small, now: float = NOW) -> Queue:
        queues.append(Queue.open("q", config, disk=disk, now=now))
        return queues[-1]

    yield open_queue
    for queue in queues:
        queue.close()
