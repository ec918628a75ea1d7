"""What is asked of a queue by key and not by entry: counts, walks, heads without bodies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from penstock_queue import NewEntry, Queue, QueueConfig, SimDisk

Opened = Callable[..., Queue]


def filled(queue: Queue, now: float, keys: list[bytes]) -> list[int]:
    seqs = []
    for number, key in enumerate(keys):
        seq = queue.reserve(1, now)
        entry = NewEntry(key, 0, now + 1000, b"to %d" % number)
        queue.append(seq, b"about %d" % number, [b"x" * 3000], [entry])
        seqs.append(seq)
    return seqs


@given(st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=30), st.data())
def test_counts_and_walks_agree_with_the_entries(keys: list[bytes], data: Any) -> None:
    queue = Queue.open("q", QueueConfig(), disk=SimDisk(), now=1_700_000_000.0)
    seqs = filled(queue, 1_700_000_000.0, keys)
    gone = data.draw(st.sets(st.sampled_from(seqs))) if seqs else set()
    for seq in gone:
        queue.settle(seq)
    live = [(seq, key) for seq, key in zip(seqs, keys, strict=True) if seq not in gone]
    counts = dict(queue.key_counts())
    for key in (b"a", b"b", b"c"):
        mine = [seq for seq, one in live if one == key]
        assert counts.get(key, 0) == len(mine)
        assert list(queue.seqs_of(key.__eq__)) == mine
    queue.close()


def test_a_walk_asks_once_a_key(opened: Opened, now: float) -> None:
    queue = opened(SimDisk(), QueueConfig())
    filled(queue, now, [b"a", b"b"] * 50)
    asked: list[bytes] = []
    found = list(queue.seqs_of(lambda key: bool(asked.append(key)) or key == b"a"))
    assert len(found) == 50
    assert sorted(set(asked)) == [b"a", b"b"]
    assert len(asked) <= 2


def test_a_head_is_read_without_its_body(opened: Opened, commit: Any, now: float) -> None:
    queue = opened(SimDisk())
    seqs = filled(queue, now, [b"a", b"b"])
    assert queue.read_heads(seqs) == [None, None], "not committed: not on disk"
    commit(queue)
    queue.defer(seqs[1], now + 60, 1, b"not yet")
    commit(queue)
    heads = queue.read_heads([seqs[1], 5, seqs[0]])
    assert [head and (head.meta, head.entry_meta, head.body, head.note) for head in heads] == [
        (b"about 1", b"to 1", b"", b"not yet"),
        None,
        (b"about 0", b"to 0", b"", b""),
    ]
    assert [one and one.body for one in queue.read(seqs)] == [b"x" * 3000] * 2


def test_long_envelopes_and_short_bodies_have_heads_too(
    opened: Opened, commit: Any, now: float
) -> None:
    queue = opened(SimDisk(), QueueConfig())
    for meta, body in ((b"m" * 5000, b"x"), (b"m", b""), (b"", b"y" * 100_000)):
        seq = queue.reserve(1, now)
        queue.append(seq, meta, [body], [NewEntry(b"k", 0, 0, b"to")])
        commit(queue)
        head = queue.read_heads([seq])[0]
        assert head is not None
        assert (head.meta, head.entry_meta, head.body) == (meta, b"to", b"")


def test_an_expiry_moves_both_ways_until_a_restart(opened: Opened, now: float) -> None:
    queue = opened(SimDisk())
    sooner, later = filled(queue, now, [b"a", b"b"])
    queue.expire_at(sooner, now + 10)
    queue.expire_at(later, now + 5000)
    assert queue.pop_due(now + 11, 10) == [sooner]
    assert queue.pop_due(now + 1001, 10) == []
    assert queue.pop_due(now + 5001, 10) == [later]
