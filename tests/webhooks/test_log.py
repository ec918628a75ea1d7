"""Behind the real event log: segments that end, are packed and are deleted while an endpoint is
behind, and a replay from a time on."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from penstock.events.journal import Journal, JournalConfig
from penstock.events.reading import LogReader, log_directory
from penstock.events.records import AnyEvent, Delivered
from penstock.events.store import StoreConfig
from penstock.webhooks.control import WebhooksControl
from penstock.webhooks.logs import SpoolLogs


class Jobs:
    def __init__(self, name: str) -> None:
        self.name = name

    def put(self, job: Any) -> None:
        job()

    def join(self) -> None:
        pass


class Log:
    """One real log, and the way of its events into the webhooks."""

    def __init__(self, stage: Any, **store: Any) -> None:
        self.stage = stage
        directory = log_directory(str(stage.path), "00")
        config = JournalConfig(1 << 20, StoreConfig(**{"segment_bytes": 2000, **store}))
        self.journal = Journal(directory, config, stage.clock, None, Jobs)
        self.reader = LogReader(directory)
        self.logs = stage.logs = SpoolLogs(str(stage.path), stage.clock)

    def happen(self, count: int) -> list[str]:
        ids = [
            self.journal.write(Delivered, tenant="shop", message="m", recipient=f"a{n}@b.example")
            for n in range(count)
        ]
        self.journal.flush()
        decode = msgspec.json.Decoder(AnyEvent).decode
        hooks = self.stage.hooks
        at = hooks.queues.positions.get("00") or self.reader.start()
        while True:
            lines, upto = self.reader.read(at, 64 << 10)
            if not lines:
                break
            hooks.take("00", [(line, decode(line)) for line in lines], upto)
            at = upto
        hooks.flush()
        return ids

    def close(self) -> None:
        self.journal.close()
        self.reader.close()
        self.logs.close()


@pytest.fixture
def open_hooks(stage: Any) -> Any:
    def open_hooks() -> Any:
        return stage.open(stage.endpoint(queue_bytes_max=1500))

    return open_hooks


async def test_what_a_full_queue_left_is_fetched(
    stage: Any, receiver: Any, open_hooks: Any
) -> None:
    log = Log(stage)
    open_hooks()
    receiver.answering(500)
    ids = []
    for _ in range(60):
        ids += log.happen(3)
        stage.clock.advance(60)
    assert stage.hooks.queues.lines["shop"].backlog is not None
    receiver.answer = receiver.fine
    ids += log.happen(1)
    await stage.pass_time(400.0)
    line = stage.hooks.queues.lines["shop"]
    assert sorted(receiver.events) == sorted(ids)
    assert (line.backlog, line.waiting, line.missed) == (None, 0, 0)
    log.close()


async def test_what_was_deleted_is_counted_to_the_event(
    stage: Any, receiver: Any, open_hooks: Any
) -> None:
    log = Log(stage, retention_bytes=3000)
    open_hooks()
    receiver.answering(500)
    ids = []
    for _ in range(60):
        ids += log.happen(3)
        stage.clock.advance(60)
        log.journal.sync()
    log.journal.flush()
    receiver.answer = receiver.fine
    await stage.pass_time(400.0)
    line = stage.hooks.queues.lines["shop"]
    assert line.missed > 0
    assert len(receiver.events) + line.missed == len(ids)
    assert set(receiver.events) < set(ids)
    log.close()


async def test_replay(stage: Any, receiver: Any, open_hooks: Any) -> None:
    log = Log(stage)
    open_hooks()
    for _ in range(20):
        log.happen(2)
        stage.clock.advance(60)
    await stage.deliver()
    since_s = stage.clock()
    stage.clock.advance(1)
    later = log.happen(5)
    await stage.deliver()
    receiver.events.clear()
    control = WebhooksControl(stage.hooks, stage.clock)
    await control.handle("webhooks.replay", {"name": "shop", "since_s": since_s})
    await stage.deliver()
    assert sorted(receiver.events) == sorted(later)
    log.close()
