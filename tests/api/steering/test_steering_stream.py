"""The stream of events: what comes, taken up again where it was left, bounded, and ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from tests.api.steering.conftest import Steered, refused

from penstock.api.events_stream import Streams
from penstock.api.methods import PREFIX
from penstock.api.problem import Problem

STREAM = f"{PREFIX}/events/stream"


@contextmanager
def followed(
    client: httpx.Client, last: str = "", **params: str
) -> Iterator[Iterator[tuple[str, str, dict[str, Any]]]]:
    """(id, type, event) as they come."""
    headers = {"Last-Event-ID": last} if last else {}
    with client.stream("GET", STREAM, params=params, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _messages(answer)


def _messages(answer: httpx.Response) -> Iterator[tuple[str, str, dict[str, Any]]]:
    found: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            found[name] = value
        elif "data" in found:
            yield found["id"], found["event"], json.loads(found["data"])
            found = {}
        else:
            found = {}


def _order(client: httpx.Client, domain: str) -> str:
    body = {"verb": "retry", "selector": {"domain": domain}, "reason": domain}
    assert client.post(f"{PREFIX}/operations", json=body).status_code == 200
    return domain


def test_what_comes_is_told_and_nothing_before(
    steered: Steered, local: httpx.Client, of: Callable[[str], httpx.Client]
) -> None:
    _order(local, "before.example")
    with followed(of("reader"), type="admin") as stream:
        wanted = [_order(local, f"n{number}.example") for number in range(3)]
        told = [next(stream) for _ in wanted]
    assert [event["reason"] for _, _, event in told] == wanted
    assert {kind for _, kind, _ in told} == {"admin"}


def test_a_client_that_comes_again_misses_nothing_and_gets_nothing_twice(
    local: httpx.Client, of: Callable[[str], httpx.Client]
) -> None:
    with followed(of("reader"), type="admin") as stream:
        for number in range(4):
            _order(local, f"again{number}.example")
        first = [next(stream) for _ in range(2)]
    for number in range(4, 6):  # while nobody listens
        _order(local, f"again{number}.example")
    with followed(of("reader"), last=first[-1][0], type="admin") as stream:
        rest = [next(stream) for _ in range(4)]
    reasons = [event["reason"] for _, _, event in first + rest]
    assert reasons == [f"again{number}.example" for number in range(6)]
    # the cursor of a page leads on into a stream, and that of a stream into pages
    query = {"cursor": rest[-1][0], "type": "admin"}
    assert local.get(f"{PREFIX}/events", params=query).json()["events"] == []


def test_the_socket_has_it_too(local: httpx.Client, steered: Steered) -> None:
    with steered.local() as other, followed(other, type="admin") as stream:
        _order(local, "socket.example")
        assert next(stream)[2]["reason"] == "socket.example"


def test_a_cursor_of_nobody_is_refused(local: httpx.Client) -> None:
    answer = local.get(STREAM, headers={"Last-Event-ID": "x"})
    assert refused(answer, 422) == "A field is wrong."
    assert answer.json()["errors"] == [
        {"field": "Last-Event-ID", "message": "no cursor of ours; give one as it was answered"}
    ]


async def test_there_are_so_many_and_no_more() -> None:
    streams = Streams()
    streams.seats_max = 2
    first, _second = streams.take_seat(), streams.take_seat()
    with pytest.raises(Problem, match=r"no more than 2 \(events.streams_max\)") as refusal:
        streams.take_seat()
    assert (refusal.value.status, refusal.value.headers) == (503, {"Retry-After": "10"})
    first.leave()
    assert streams.open == 1
    streams.take_seat()
    streams.closing.set()
    first.leave()
    with pytest.raises(Problem):
        streams.take_seat()


def test_a_client_that_goes_leaves_its_seat(
    steered: Steered, of: Callable[[str], httpx.Client]
) -> None:
    """Far more come and go than there are seats."""
    for _ in range(20):
        with followed(of("reader"), type="admin"):
            pass
    steered.until(
        lambda: steered.metric("penstock_api_event_streams") == 0, "every seat free", timeout_s=20
    )
    with followed(of("reader"), type="admin"):
        steered.until(lambda: steered.metric("penstock_api_event_streams") == 1, "one is taken")
        assert steered.metric("penstock_api_event_streams") == 1
