"""A queue that is full: events stay in the log and are fetched from there; what the log no longer
has is counted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.events.reading import Position
from penstock.webhooks.backlog import Backlog
from penstock.webhooks.control import WebhooksControl

SMALL = 2000


async def test_a_full_queue_is_bounded_and_nothing_is_lost(stage: Any, receiver: Any) -> None:
    stage.open(stage.endpoint(queue_bytes_max=SMALL))
    line = stage.hooks.queues.lines["shop"]
    receiver.answering(500)
    ids = []
    for _ in range(100):
        ids += stage.happen(stage.event(), stage.event())
        await stage.deliver()
        assert line.waiting_bytes <= SMALL
    assert line.backlog is not None
    assert line.waiting + line.backlog.events == 200
    await stage.close()
    stage.open(stage.endpoint(queue_bytes_max=SMALL))
    receiver.answer = receiver.fine
    ids += stage.happen(stage.event())
    await stage.pass_time(400.0)
    line = stage.hooks.queues.lines["shop"]
    assert sorted(receiver.events) == ids
    assert line.backlog is None
    assert line.waiting == line.waiting_bytes == line.missed == 0
    ids += stage.happen(stage.event())
    await stage.deliver()
    assert sorted(receiver.events) == ids


async def test_what_fell_out_of_retention_is_counted(stage: Any, receiver: Any) -> None:
    stage.open(stage.endpoint(queue_bytes_max=SMALL))
    receiver.answering(500)
    ids = []
    for _ in range(200):
        ids += stage.happen(stage.event())
    line = stage.hooks.queues.lines["shop"]
    left = line.backlog.events
    assert left == 200 - line.waiting
    log = stage.logs["00"]
    last = max(log.segments)
    kept = log.segments[last].count(b"\n")
    log.keep_from(last)
    receiver.answer = receiver.fine
    await stage.pass_time(400.0)
    assert line.missed == left - kept > 0
    assert len(receiver.events) == 200 - line.missed
    assert stage.metric("penstock_webhook_events_lost_total", "shop", "retention") == line.missed


async def test_replay_tells_again_from_a_time_on(stage: Any, receiver: Any) -> None:
    stage.open()
    control = WebhooksControl(stage.hooks, stage.clock)
    stage.happen(stage.event(), stage.event("elsewhere"))
    stage.clock.advance(3600)
    since = stage.clock()
    later = stage.happen(stage.event(), stage.event())
    stage.clock.advance(3600)
    await stage.deliver()
    receiver.events.clear()
    answer = await control.handle("webhooks.replay", {"name": "shop", "since_s": since})
    assert answer["since"].endswith("Z")
    await stage.deliver()
    assert sorted(receiver.events) == later
    later += stage.happen(stage.event())
    await stage.deliver()
    assert sorted(receiver.events) == later


async def test_several_logs_and_one_that_is_new(stage: Any, receiver: Any) -> None:
    stage.open(stage.endpoint(queue_bytes_max=SMALL))
    receiver.answering(500)
    ids = []
    for _ in range(50):
        ids += stage.happen(stage.event())
    stage.logs["01"] = type(stage.logs["00"])()
    for _ in range(50):
        ids += stage.happen(stage.event(), log="01")
        ids += stage.happen(stage.event(), log="00")
    receiver.answer = receiver.fine
    await stage.pass_time(400.0)
    assert sorted(receiver.events) == sorted(ids)


async def test_what_was_taken_and_not_flushed_comes_again_once(stage: Any, receiver: Any) -> None:
    hooks = stage.open()
    ids = stage.happen(stage.event())
    more = stage.event()
    stage.write(more)
    lines, upto = stage.logs["00"].read(hooks.queues.positions["00"], 1000)
    hooks.take("00", [(lines[0], more)], upto)
    assert hooks.checkpoint()["00"] < upto
    stage.feed()
    await stage.deliver()
    assert list(receiver.events) == [*ids, more.id]
    assert len(receiver.got[0][1].split(b'"id"')) == 3


async def test_a_flush_without_news_leaves_the_disk_alone(stage: Any, receiver: Any) -> None:
    hooks = stage.open()
    stage.happen(stage.event())
    wal = stage.path / "webhooks/webhooks.sqlite-wal"
    before = wal.stat()
    for _ in range(3):
        assert hooks.flush() == hooks.queues.positions
    assert wal.stat().st_mtime_ns == before.st_mtime_ns
    stage.happen(stage.event("elsewhere"))
    assert wal.stat().st_mtime_ns > before.st_mtime_ns


async def test_a_new_endpoint_is_told_the_last_minute_only(stage: Any, receiver: Any) -> None:
    stage.write(stage.event())
    stage.clock.advance(600)
    recent = stage.event()
    stage.write(recent)
    stage.open()
    stage.feed()
    await stage.deliver()
    assert list(receiver.events) == [recent.id]


@pytest.mark.parametrize("events_max", [1, 3])
async def test_batches_keep_their_bounds(stage: Any, receiver: Any, events_max: int) -> None:
    stage.open(stage.endpoint(batch_events_max=events_max, batch_bytes_max=600))
    ids = stage.happen(*(stage.event() for _ in range(10)))
    await stage.deliver()
    assert list(receiver.events) == ids
    for _, body in receiver.got:
        assert body.count(b'"id"') <= events_max
        assert len(body) <= 600 + 1


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 4)), max_size=30))
def test_a_backlog_survives_its_json(steps: list[tuple[int, int]]) -> None:
    backlog = Backlog({"00": Position(1, 0)})
    for segment, events in sorted(steps):
        backlog.pass_over("00", Position(segment, 0), Position(segment, 9), events)
    assert Backlog.from_json(backlog.as_json()) == backlog
    assert backlog.events == sum(events for _, events in steps)
    lost = backlog.lose("00", Position(3, 0))
    assert lost == sum(events for segment, events in steps if segment < 3)
    assert backlog.events == sum(events for segment, events in steps if segment >= 3)
    backlog.advance("00", Position(9, 0), 0)
    assert backlog.events == 0
