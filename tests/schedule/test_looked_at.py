"""What is taken only to be looked at goes back, and everything is as if nobody had looked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.schedule.ready import Place, ReadyQueue

LANES = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["x", "y"]),
        st.integers(1, 4),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=8,
)


def filled(lanes: list[tuple[int, str, str, int, int]]) -> tuple[ReadyQueue, dict[int, bool]]:
    queue, retries = ReadyQueue(), {}
    ref = 1
    for key, (class_, tenant, campaign, fresh, tried) in enumerate(lanes, 1):
        queue.place(key, Place(class_, tenant, 1, campaign, 1))
        for number in range(fresh + tried):
            retries[ref] = number >= fresh
            (queue.push_retry if retries[ref] else queue.push)(key, ref)
            ref += 1
    return queue, retries


@given(LANES, st.integers(1, 40), st.integers(0, 10))
def test_the_next_one_is_the_first_that_was_looked_at(
    lanes: list[tuple[int, str, str, int, int]], looks: int, before: int
) -> None:
    queue, retries = filled(lanes)
    for _ in range(before):
        queue.take(lambda ref: ref, 1)
    taken: list[tuple[int, int]] = []
    for _ in range(looks):
        key = queue.turn()
        if key is None:
            break
        taken += [(key, ref) for ref in queue.take(lambda ref: ref, 1)]
    for key, ref in reversed(taken):
        queue.push_front(key, ref, retries[ref], turn=True)
    if taken:
        assert queue.turn() == taken[0][0]
        assert queue.take(lambda ref: ref, 1) == [taken[0][1]]


def test_what_was_looked_at_goes_in_the_same_order() -> None:
    queue, retries = filled([(1, "a", "x", 4, 0)] * 5 + [(2, "b", "y", 4, 0)] * 3)
    looked: list[tuple[int, int]] = []
    for _ in range(16):
        key = queue.turn()
        assert key is not None
        looked += [(key, ref) for ref in queue.take(lambda ref: ref, 1)]
    for key, ref in reversed(looked):
        queue.push_front(key, ref, retries[ref], turn=True)
    assert [queue.take(lambda ref: ref, 1)[0] for _ in range(16)] == [ref for _, ref in looked]
