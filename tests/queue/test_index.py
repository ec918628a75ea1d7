"""The columns, folded and not, against plain dictionaries."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_queue import NewEntry, Queue, QueueConfig, SimDisk
from penstock_queue.chunk import SPAN

Opened = Callable[..., Queue]
NOW = 1_700_000_000.0


def append(queue: Queue, count: int, *, expires: float = 0.0) -> int:
    seq = queue.reserve(count, NOW)
    entries = [NewEntry(b"k%d" % (i % 3), NOW + 10 + i, expires, b"") for i in range(count)]
    queue.append(seq, b"", [b""], entries)
    return seq


def flush(queue: Queue) -> None:
    batch = queue.begin_commit()
    assert batch is not None
    batch.run()
    assert queue.end_commit(batch) is None


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=12),
    keep=st.integers(1, 700),
    defer=st.integers(1, 40),
)
def test_folding_changes_nothing_that_can_be_seen(sizes: list[int], keep: int, defer: int) -> None:
    disk = SimDisk()
    queue = Queue.open("q", QueueConfig(), disk=disk, now=NOW)
    truth: dict[int, tuple[int, float, bytes, int]] = {}
    for size in sizes:
        seq = append(queue, size, expires=NOW + 5000 + size)
        for i in range(size):
            truth[seq + i] = (seq, NOW + 10 + i, b"k%d" % (i % 3), 0)
        flush(queue)
    for i, seq in enumerate(sorted(truth)):
        if i % keep:
            queue.settle(seq)
            del truth[seq]
        elif i % defer == 0:
            queue.defer(seq, NOW + 77, 5, b"note")
            truth[seq] = (truth[seq][0], NOW + 77, truth[seq][2], 5)
    flush(queue)
    for _ in range(2):
        seen = {
            s: (queue.body(s), queue.due(s), queue.key(queue.key_id(s)), queue.attempts(s))
            for s in queue.seqs()
        }
        assert seen == truth
        assert queue.stats()["entries"] == len(truth)
        assert queue.stats()["bodies"] == len({body for body, *_ in truth.values()})
        for seq in list(truth)[:20]:
            loaded = queue.read([seq])[0]
            assert loaded is not None
            assert loaded.note == (b"note" if truth[seq][3] else b"")
        queue.close()
        queue = Queue.open("q", QueueConfig(), disk=disk, now=NOW)
    queue.close()


def test_few_survivors_take_little_memory(opened: Opened) -> None:
    queue = opened(SimDisk(), QueueConfig())
    survivors = []
    for _ in range(10):
        seq = append(queue, SPAN)
        survivors.append(seq)
        for i in range(1, SPAN):
            queue.settle(seq + i)
    chunks = queue._index.chunks
    assert len(chunks) <= 12
    assert sum(chunk.bytes() for chunk in list(chunks.values())[:8]) < 8 * 100
    assert [queue.body(seq) for seq in survivors] == survivors


def test_a_late_message_unfolds_its_chunk(opened: Opened) -> None:
    queue = opened(SimDisk(), QueueConfig())
    late = queue.reserve(1, NOW)
    first = append(queue, SPAN)
    append(queue, 3 * SPAN)
    for i in range(SPAN - 5):
        queue.settle(first + i)
    chunk = queue._index.chunks[late >> 12]
    assert chunk.slots is not None
    assert not queue.exists(late)
    queue.append(late, b"", [b"x"], [NewEntry(b"late", NOW + 1, 0, b"")])
    assert queue.key(queue.key_id(late)) == b"late"
    assert all(queue.exists(first + i) for i in range(SPAN - 5, SPAN))
    assert queue.pop_due(NOW + 2, 10) == [late]


def test_expiry_in_a_folded_chunk(opened: Opened) -> None:
    queue = opened(SimDisk(), QueueConfig())
    first = append(queue, SPAN, expires=NOW + 100)
    append(queue, 3 * SPAN)
    for i in range(SPAN - 3):
        queue.settle(first + i)
    for seq in queue.pop_due(NOW + 99, 10 * SPAN):
        assert seq not in range(first + SPAN - 3, first + SPAN) or queue.due(seq) <= NOW + 99
    assert queue.pop_due(NOW + 101, 10 * SPAN)[-3:] == [first + SPAN - 3 + i for i in range(3)]


def test_an_empty_index_is_empty(opened: Opened) -> None:
    queue = opened(SimDisk(), QueueConfig())
    seq = append(queue, 3 * SPAN)
    for i in range(3 * SPAN):
        queue.settle(seq + i)
    assert queue.stats()["entries"] == 0
    assert list(queue.seqs()) == []
    assert queue.stats()["index_chunks"] <= 2


def test_an_entry_takes_tens_of_bytes_however_slowly_they_come(opened: Opened) -> None:
    """A hundred messages a second, and nine tenths of them delivered: the rest stays small."""
    queue = opened(SimDisk(), QueueConfig(cache_bytes=1, uncommitted_bytes_max=1 << 30))
    count = 8 * SPAN
    for i in range(count):
        now = NOW + i / 100
        queue.append(queue.reserve(1, now), b"", [b""], [NewEntry(b"k", now + 9e5, 0.0, b"")])
    chunks = queue._index.chunks
    assert sum(chunk.bytes() for chunk in chunks.values()) <= 40 * (count + SPAN)
    for i, seq in enumerate(list(queue.seqs())):
        if i % 10:
            queue.settle(seq)
    left = queue.stats()["entries"]
    newest = sorted(chunks)[-2:]  # still open for what comes next
    size = sum(chunk.bytes() for number, chunk in chunks.items() if number not in newest)
    assert size <= 90 * left
