"""Whatever comes in whatever order: crashes, refusals, full queues, replays, nothing is lost."""

from __future__ import annotations

import random
from typing import Any

import pytest

from penstock.events.reading import Position
from penstock.webhooks.control import WebhooksControl

STEPS = 60


async def crash(stage: Any) -> None:
    """The process is gone: what was taken and not flushed is forgotten."""
    await stage.close()
    stage.open(*stage.endpoints)


@pytest.mark.parametrize("seed", range(8))
async def test_every_event_of_the_log_is_delivered(stage: Any, receiver: Any, seed: int) -> None:
    chance = random.Random(seed)
    stage.endpoints = (
        stage.endpoint(queue_bytes_max=chance.choice([1500, 20_000]), batch_events_max=3),
    )
    stage.open(*stage.endpoints)
    stage.logs["01"] = type(stage.logs["00"])()
    ids: list[str] = []
    for _ in range(STEPS):
        match chance.randrange(9):
            case 0 | 1 | 2:
                ids += stage.happen(
                    *(stage.event() for _ in range(chance.randrange(8))),
                    log=chance.choice(["00", "01"]),
                )
            case 3:
                await crash(stage)
            case 4:  # taken, not flushed, then a crash
                event = stage.event()
                stage.write(event)
                ids.append(event.id)
                at = stage.hooks.queues.positions.get("00", Position(0, 0))
                lines, upto = stage.logs["00"].read(at, 64 << 10)
                stage.hooks.take("00", [(line, event) for line in lines][-1:], upto)
                await crash(stage)
                stage.feed()
            case 5:
                receiver.answering(chance.choice([500, 429, 302]))
            case 6:
                receiver.answer = receiver.fine
            case 7:
                control = WebhooksControl(stage.hooks, stage.clock)
                since_s = stage.clock() - chance.random() * 600
                await control.handle("webhooks.replay", {"name": "shop", "since_s": since_s})
            case 8:
                await stage.pass_time(chance.random() * 300)
    receiver.answer = receiver.fine
    ids += stage.happen(stage.event())
    await stage.pass_time(24 * 3600)
    line = stage.hooks.queues.lines["shop"]
    assert (line.dead, line.missed) == (0, 0)
    assert sorted(receiver.events) == sorted(ids)
    assert (line.backlog, line.waiting, line.waiting_bytes) == (None, 0, 0)
