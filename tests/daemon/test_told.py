"""What operators did and what the engine did by itself are events, each once."""

from __future__ import annotations

import time

import pytest
from tests.daemon.test_pacing import World

from penstock.daemon.steer import Steer

WHO = {"who": "ann", "reason": "list is old"}


@pytest.fixture
def steer(owner) -> Steer:
    return Steer(owner)


async def test_an_operation_is_told_from_its_beginning_to_its_end(steer, owner) -> None:
    selector = {"tenant": "shop", "class": "bulk"}
    for child in owner.children:
        child.answers["queue.retry"] = {"keys": 1, "messages": 1}
    await steer.begin("suspend", {"selector": selector, **WHO})
    await steer.retry({"selector": {"tenant": "shop"}, "who": "bob"})
    await steer.resume({"selector": selector, "who": "eve", "reason": "done"})
    first, second, third = owner.events.events
    assert first | WHO == first
    assert (first["type"], first["action"], first["operation"]) == ("admin", "queue.suspend", "s1")
    assert (first["tenant"], first["class"], first["selector"]) == ("shop", "bulk", selector)
    assert (second["action"], second["who"]) == ("queue.retry", "bob")
    assert (third["action"], third["who"]) == ("queue.suspend.cancelled", "eve")
    assert third["reason"] == "done"


async def test_what_runs_out_is_told(steer, owner) -> None:
    await steer.begin("suspend", {"selector": {"tenant": "shop"}, "duration_s": 0.001})
    while not owner.operations.expired(time.time()):
        pass
    await steer.look()
    assert [one["action"] for one in owner.events.events] == [
        "queue.suspend",
        "queue.suspend.ended",
    ]


async def test_what_a_rule_ordered_is_no_operators_doing(steer, owner) -> None:
    await steer.begin("suspend", {"selector": {"tenant": "shop"}}, by_itself=True)
    assert owner.events.events == []


async def test_a_rule_that_fires_is_told_with_its_place(owner, tmp_path) -> None:
    one = World(owner, tmp_path, "on")
    one.hear(refused=1, fired=[["gmail/shop", "shop", 1]])
    await one.step()
    [event] = owner.events.events
    assert (event["type"], event["rule"], event["action"]) == (
        "policy",
        "gmail/shop",
        "suspend-tenant",
    )
    assert event["where"].startswith("policies/replies/gmail.toml:")
    assert (event["tenant"], event["source"], event["provider"]) == ("shop", "out1", "gmail")
    assert event["until"] == "2027-01-15T09:00:01.000Z"


async def test_a_block_that_the_pace_sees_is_told_once(owner, tmp_path) -> None:
    one = World(owner, tmp_path, "on")
    one.hear(delivered=5)
    await one.step()
    one.hear(blocked=5)
    await one.step()
    await one.step()
    [event] = owner.events.events
    assert (event["rule"], event["action"], event["provider"]) == ("pace", "suspend", "gmail")
    assert event["until"] > "2027-01-15T08:"


async def test_what_is_only_observed_is_not_told(owner, tmp_path) -> None:
    one = World(owner, tmp_path, "observe")
    one.hear(blocked=5, fired=[["gmail/shop", "shop", 1]])
    await one.step()
    assert owner.events.events == []
