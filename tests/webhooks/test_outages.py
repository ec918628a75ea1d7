"""A receiver that is slow, refuses, breaks for hours, goes away: nothing is lost within the log's
retention, and everything is signed so that the public library verifies it."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from penstock.webhooks.control import WebhooksControl

HOUR_S = 3600.0


async def test_events_are_delivered_in_arrays_and_once(stage: Any, receiver: Any) -> None:
    stage.open()
    ids = stage.happen(*(stage.event() for _ in range(3)))
    assert await stage.deliver() is None
    assert list(receiver.events) == ids
    assert len(receiver.got) == 1
    one = stage.happen(stage.event())
    await stage.deliver()
    assert list(receiver.events) == ids + one
    assert [body[:1] + body[-1:] for _, body in receiver.got] == [b"[]", b"[]"]
    assert stage.metric("penstock_webhook_events_delivered_total", "shop") == 4


async def test_500_for_two_days_loses_nothing(stage: Any, receiver: Any) -> None:
    stage.open()
    receiver.answering(500)
    ids: list[str] = []
    for _ in range(48):
        ids += stage.happen(*(stage.event() for _ in range(5)))
        await stage.pass_time(HOUR_S)
    assert receiver.events == {}
    assert 48 * 5 <= len(receiver.got) <= 48 * 12  # looked at every few minutes, not hammered
    receiver.answer = receiver.fine
    ids += stage.happen(stage.event())
    await stage.pass_time(400.0)  # noticed within minutes, and then nothing waits for its turn
    assert sorted(receiver.events) == ids
    assert stage.metric("penstock_webhook_events_lost_total", "shop", "tries") == 0


async def test_a_batch_has_the_times_and_the_id_of_the_specification(
    stage: Any, receiver: Any
) -> None:
    stage.open()
    receiver.answering(503)
    stage.happen(stage.event())
    times = []
    while (due := await stage.deliver()) is not None:
        times.append(due - stage.clock())
        stage.clock.advance(due - stage.clock())
    hours = [h * HOUR_S for h in (2, 5, 10, 14, 20, 24)]
    assert [round(t / 1.1, 3) for t in times] == [5.0, 300.0, 1800.0, *hours]
    assert len(receiver.got) == 10
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in receiver.got}) == 10
    assert stage.metric("penstock_webhook_events_lost_total", "shop", "tries") == 1
    assert stage.hooks.queues.lines["shop"].dead == 1


async def test_a_receiver_that_goes_away_and_comes_back(stage: Any, receiver: Any) -> None:
    stage.open()
    before = stage.happen(stage.event())
    await stage.deliver()
    await receiver.stop()
    during = stage.happen(*(stage.event() for _ in range(10)))
    await stage.pass_time(6 * HOUR_S)
    assert stage.hooks.couriers["shop"].last.kind == "unreachable"
    await receiver.start()
    during += stage.happen(stage.event())
    await stage.pass_time(400.0)
    assert sorted(receiver.events) == before + during


async def test_too_slow_is_a_failure_and_the_event_comes_again(stage: Any, receiver: Any) -> None:
    stage.open(stage.endpoint(timeout_s=0.05))
    stuck = asyncio.Event()

    async def slow() -> Response:
        await stuck.wait()
        return Response()

    receiver.answer = slow
    ids = stage.happen(stage.event())
    await stage.deliver()
    assert stage.hooks.couriers["shop"].last.kind == "timeout"
    stuck.set()
    receiver.answer = receiver.fine
    await stage.pass_time(10.0)
    assert sorted(receiver.events) == ids


async def test_a_slow_endpoint_holds_up_no_other(stage: Any, receiver: Any) -> None:
    stuck = asyncio.Event()

    async def answer() -> Response:
        if b'"tenant":"slow"' in receiver.got[-1][1]:
            await stuck.wait()
        return Response()

    receiver.answer = answer
    slow = stage.endpoint(name="slow", tenant="slow", timeout_s=60.0)
    hooks = stage.open(slow, stage.endpoint(), connections_max=4, slow_connections_max=1)
    run = asyncio.create_task(hooks.run())
    stage.happen(*(stage.event("slow") for _ in range(5)))
    for _ in range(5):
        ids = set(stage.happen(stage.event()))
        await receiver.until(lambda ids=ids: receiver.events.keys() >= ids)
    assert {event["tenant"] for event in receiver.events.values()} == {"shop"}
    stuck.set()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def test_a_slow_batch_does_not_keep_the_next_one(stage: Any, receiver: Any) -> None:
    stuck = asyncio.Event()

    async def answer() -> Response:
        if len(receiver.got) == 1:
            await stuck.wait()
        return Response()

    receiver.answer = answer
    run = asyncio.create_task(stage.open(stage.endpoint(timeout_s=60.0)).run())
    await asyncio.sleep(0)
    stage.happen(stage.event())
    await receiver.until(lambda: bool(receiver.got))
    ids = set(stage.happen(stage.event()))
    await receiver.until(lambda: receiver.events.keys() >= ids)
    assert not stuck.is_set(), "the first was still being answered"
    stuck.set()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def test_retry_after_is_honoured(stage: Any, receiver: Any) -> None:
    stage.open()
    receiver.answering(429, retry_after="120")
    stage.happen(stage.event())
    due = await stage.deliver()
    assert due is not None
    assert 120 <= due - stage.clock() <= 120 * 1.2


async def test_410_disables_for_good_until_it_is_enabled(stage: Any, receiver: Any) -> None:
    stage.open()
    receiver.answering(410)
    ids = stage.happen(stage.event())
    assert await stage.deliver() is None
    assert stage.hooks.queues.lines["shop"].disabled_s == stage.clock()
    ids += stage.happen(*(stage.event() for _ in range(3)))
    await stage.close()
    stage.open()
    await stage.pass_time(HOUR_S)
    assert len(receiver.got) == 1
    await stage.hooks.measure()
    assert stage.metric("penstock_webhook_disabled", "shop") == 1
    assert stage.metric("penstock_webhook_events_waiting", "shop") == 4
    receiver.answer = receiver.fine
    control = WebhooksControl(stage.hooks, stage.clock)
    assert (await control.handle("webhooks.enable", {"name": "shop"}))["was_disabled"]
    await stage.pass_time(10.0)
    assert sorted(receiver.events) == ids


async def test_what_is_in_the_queue_outlives_the_process(stage: Any, receiver: Any) -> None:
    stage.open()
    receiver.answering(500)
    ids = stage.happen(*(stage.event() for _ in range(4)))
    await stage.deliver()
    tried = receiver.got[0][0]["webhook-id"]
    await stage.close()
    stage.open()
    receiver.answer = receiver.fine
    await stage.pass_time(10.0)
    assert sorted(receiver.events) == ids
    assert receiver.got[-1][0]["webhook-id"] == tried


async def test_a_redirect_is_not_followed(stage: Any, receiver: Any) -> None:
    stage.open()
    receiver.answering(302, location="http://127.0.0.1:1/elsewhere")
    stage.happen(stage.event())
    await stage.deliver()
    assert stage.hooks.couriers["shop"].last.kind == "refused"
    assert len(receiver.got) == 1


async def test_a_batch_that_is_refused_does_not_stop_the_others(stage: Any, receiver: Any) -> None:
    stage.open()

    async def picky() -> Response:
        return Response(status_code=422 if b"poison" in receiver.got[-1][1] else 200)

    receiver.answer = picky
    stage.happen(stage.event(campaign="poison"))
    await stage.deliver()
    ids = []
    for _ in range(20):
        ids += stage.happen(stage.event())
        await stage.pass_time(30.0)
    assert sorted(receiver.events) == ids
    assert stage.hooks.queues.lines["shop"].dead == 0
