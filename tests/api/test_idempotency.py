"""Calls with an ``Idempotency-Key``: replayed, refused, waited for, gone on with."""

from __future__ import annotations

import asyncio
import threading

import httpx
import pytest

from penstock.api.idempotency import Answer, Call, Once
from penstock.api.idempotency_store import Store, StoreConfig
from penstock.api.problem import Problem

BODY = {
    "from": "a@shop.example",
    "to": "ann@example.com",
    "subject": "once",
    "text": "hello",
    "deliver_at": "+1h",
}


def post(client: httpx.Client, key: str, **changed) -> httpx.Response:
    return client.post(
        "/api/v1/messages", json={**BODY, **changed}, headers={"Idempotency-Key": key}
    )


def test_the_same_call_gets_the_same_answer_byte_for_byte(client):
    first, second = post(client, "same"), post(client, "same")
    assert first.status_code == second.status_code == 202
    assert first.content == second.content
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"


def test_another_body_is_refused(client):
    assert post(client, "other").status_code == 202
    answer = post(client, "other", subject="twice")
    assert answer.status_code == 409
    assert answer.json()["type"] == "/docs/problems#key-reused"
    assert answer.json()["detail"] == (
        "This Idempotency-Key was used for another request; nothing was accepted."
    )


def test_a_call_that_was_refused_may_be_mended(client):
    assert post(client, "mended", pool="nowhere").status_code == 422
    assert post(client, "mended").status_code == 202


@pytest.mark.parametrize("key", ["k" * 256, "a\tb"])
def test_a_key_is_bounded(client, key):
    answer = post(client, key)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {
            "field": "header Idempotency-Key",
            "message": "has to be 1 to 255 printable ASCII characters, such as a UUID",
        }
    ]


def test_of_many_at_once_one_is_done_and_all_get_its_answer(served):
    recipients = [{"to": f"u{n}@example.com"} for n in range(300)]
    body = {**BODY, "recipients": recipients}
    del body["to"]
    answers: list[httpx.Response] = []

    def call() -> None:
        with served.client() as client:
            answers.append(
                client.post("/api/v1/messages", json=body, headers={"Idempotency-Key": "many"})
            )

    before = served.metric("penstock_messages_accepted_total")
    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert served.metric("penstock_messages_accepted_total") == before + 300


def test_a_restart_forgets_nothing(tmp_path):
    from tests.api.conftest import ApiDaemon

    daemon = ApiDaemon(tmp_path)
    try:
        daemon.start()
        with daemon.client() as client:
            first = post(client, "kept")
        daemon.stop()
        daemon.start()
        with daemon.client() as client:
            second = post(client, "kept")
        assert second.content == first.content
        assert second.headers["idempotency-replayed"] == "true"
    finally:
        daemon.end()


# the order of things, without a daemon


def once_of(tmp_path, **more):
    store = Store(str(tmp_path / "idempotency"), StoreConfig(), lambda: 1000.0)
    return store, Once(store, lambda: 1000.0, more.pop("wait_max_s", 5.0), **more)


CALL = Call("key", "header", b"digest")
REF = 3 << 48


def test_what_another_worker_does_is_waited_for_and_not_for_ever(tmp_path):
    async def run():
        results: list[str] = []
        store, once = once_of(tmp_path, wait_max_s=0.1, counted=results.append)

        async def work(claim):
            await claim.begin([REF])
            return Answer(202, b"mine")

        async def begun(claim):
            await claim.begin([REF])
            record = claim.record
            # as if it were another worker's, that goes on with it
            other = Once(store, lambda: 1000.0, 0.1, results.append)
            with pytest.raises(Problem) as caught:
                await other.run(CALL, work)
            assert caught.value.status == 409
            assert caught.value.headers == {"Retry-After": "1"}
            assert record is not None
            return Answer(202, b"first")

        assert (await once.run(CALL, begun)).content == b"first"
        assert (await once.run(CALL, work)).content == b"first"
        assert results == ["busy", "new", "replayed"]
        store.close()

    asyncio.run(run())


def test_what_fails_before_anything_is_stored_leaves_no_trace(tmp_path):
    async def run():
        store, once = once_of(tmp_path)

        async def fails(claim):
            await claim.begin([REF])
            raise Problem(507, "no-room", "no room")

        with pytest.raises(Problem):
            await once.run(CALL, fails)

        async def work(claim):
            assert claim.known == ()
            return Answer(202, b"done")

        assert (await once.run(CALL, work)).content == b"done"
        store.close()

    asyncio.run(run())


def test_what_was_done_in_part_is_gone_on_with(tmp_path):
    async def run():
        results: list[str] = []
        store, once = once_of(tmp_path, counted=results.append)

        async def half(claim):
            await claim.begin([REF, REF + 1, REF + 2])
            claim.took(1)
            raise Problem(507, "no-room", "no room")

        with pytest.raises(Problem):
            await once.run(CALL, half)

        async def rest(claim):
            assert list(claim.known) == [0, REF + 1, 0]
            await claim.begin([REF + 3, REF + 1, REF + 4])
            claim.took(0)
            claim.took(2)
            return Answer(202, b"all")

        assert (await once.run(CALL, rest)).content == b"all"
        assert results == ["resumed"]
        store.close()

    asyncio.run(run())


def test_a_client_that_goes_away_leaves_nothing_half_done(tmp_path):
    async def run():
        store, once = once_of(tmp_path)
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def work(claim):
            await claim.begin([REF])
            begun.set()
            await go_on.wait()
            return Answer(202, b"done")

        task = asyncio.create_task(once.run(CALL, work))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        answer = await once.run(CALL, work)
        assert answer == Answer(202, b"done", (("Idempotency-Replayed", "true"),))
        store.close()

    asyncio.run(run())
