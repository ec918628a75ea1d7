"""Operations by selector, from the command line's call to what the workers are told."""

from __future__ import annotations

import asyncio
import time
from types import MappingProxyType, SimpleNamespace

import pytest
from structlog.testing import capture_logs

from penstock.control import ControlError
from penstock.daemon.operations import OPERATIONS_MAX, Operations
from penstock.daemon.steer import Steer

STARTING = ControlError("starting", "the worker is still starting")


@pytest.fixture
def steer(owner) -> Steer:
    return Steer(owner)


async def test_an_operation_is_kept_told_counted_and_logged(steer, owner, tmp_path) -> None:
    with capture_logs() as logs:
        answer = await steer.begin(
            "suspend",
            {"selector": {"provider": "gmail", "class": "bulk"}, "duration_s": 60}
            | {"who": "ann", "reason": "blocked"},
        )
    assert answer == {"id": "s1", "keys": 2, "messages": 30, "away": []}
    [rule] = Operations(str(tmp_path)).active(time.time())
    assert rule.selector == {"provider": "gmail", "class": "bulk"}
    assert rule.until == pytest.approx(rule.since + 60)
    for worker in owner.children:
        [(method, params)] = worker.asked
        assert method == "queue.rules"
        assert params["counted"] == {"provider": "gmail", "class": "bulk"}
        assert params["rules"] == [
            {"id": "s1", "verb": "suspend", "selector": rule.selector, "since": rule.since}
            | {"until": rule.until, "who": "ann", "reason": "blocked", "args": {}}
        ]
    [line] = logs
    assert line["event"] == "queue suspend begun"
    assert line | {"id": "s1", "provider": "gmail", "class": "bulk", "messages": 30} == line
    assert line | {"who": "ann", "reason": "blocked"} == line


async def test_a_bounce_is_about_the_mail_of_its_moment_unless_it_lasts(steer, owner) -> None:
    before = time.time()
    await steer.begin("bounce", {"selector": {"tenant": "t"}})
    await steer.begin("bounce", {"selector": {"tenant": "t"}, "duration_s": 60, "tell": True})
    now, lasting = owner.children[0].rules()
    assert before <= now["args"]["before"] == now["since"] <= time.time()
    assert now["args"]["tell"] is False
    assert lasting["args"] == {"tell": True}


async def test_reroute_names_a_pool_and_may_be_about_one(steer, owner) -> None:
    owner.policies = SimpleNamespace(providers={}, pools={"main": 1, "warm": 1})
    with capture_logs() as logs:
        await steer.begin("reroute", {"selector": {"pool": "main"}, "pool": "warm"})
    assert owner.children[1].rules()[0]["args"] == {"pool": "warm"}
    assert (logs[0]["pool"], logs[0]["to_pool"]) == ("main", "warm")
    with pytest.raises(ControlError, match=r"no pool 'warn'; did you mean \"warm\"\?"):
        await steer.begin("reroute", {"selector": {"tenant": "t"}, "pool": "warn"})
    with pytest.raises(ControlError, match="no pool ''"):
        await steer.begin("reroute", {"selector": {"tenant": "t"}})


async def test_expire_carries_its_moment(steer, owner) -> None:
    await steer.begin("expire", {"selector": {"tenant": "t"}, "expires_at": 5e9})
    [rule] = owner.children[0].rules()
    assert rule["args"] == {"expires_at": 5e9, "before": rule["since"]}
    for value in (None, "soon", float("nan"), -1):
        with pytest.raises(ControlError, match="expires_at"):
            await steer.begin("expire", {"selector": {"tenant": "t"}, "expires_at": value})


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        ({}, "say which mail"),
        ({"tennant": "t"}, "unknown field 'tennant' of a selector; did you mean \"tenant\""),
        ({"provider": "gmial"}, "no provider 'gmial'; did you mean \"gmail\""),
        ({"class": "bluk"}, "no class 'bluk'; did you mean \"bulk\""),
        ({"source": "s1"}, "no source 's1'; there are: default"),
        ({"pool": "p1"}, "no pool 'p1'; there are: default"),
        ({"tenant": "x" * 301}, "over 300 characters"),
        (["tenant"], "a selector is a table"),
    ],
)
async def test_a_selector_that_cannot_be_meant_changes_nothing(
    selector, said, steer, owner
) -> None:
    with pytest.raises(ControlError, match=said):
        await steer.begin("suspend", {"selector": selector})
    with pytest.raises(ControlError, match=said):
        await steer.retry({"selector": selector})
    assert len(owner.operations) == 0
    assert not any(worker.asked for worker in owner.children)


async def test_domains_are_compared_in_lower_case(steer, owner) -> None:
    await steer.begin("suspend", {"selector": {"domain": "Gmail.COM."}})
    assert owner.children[0].rules()[0]["selector"] == {"domain": "gmail.com"}
    assert (await steer.resume({"selector": {"domain": "GMAIL.com"}}))["ids"] == ["s1"]


async def test_names_are_those_of_the_policies_in_force(steer, owner) -> None:
    owner.policies = SimpleNamespace(
        providers={}, sources=MappingProxyType({"s1": 1}), pools={}, classes={"bulk": 1}
    )
    await steer.begin("suspend", {"selector": {"source": "s1", "class": "triggered"}})
    with pytest.raises(ControlError, match="no source 'default'"):
        await steer.begin("suspend", {"selector": {"source": "default"}})


@pytest.mark.parametrize("seconds", [-1, 1e12, "soon", float("inf")])
async def test_a_duration_that_is_none(seconds, steer, owner) -> None:
    with pytest.raises(ControlError, match="duration"):
        await steer.begin("suspend", {"selector": {"tenant": "t"}, "duration_s": seconds})
    assert len(owner.operations) == 0


async def test_resume_ends_exactly_these_suspensions(steer, owner) -> None:
    for verb, selector in (
        ("suspend", {"provider": "gmail"}),
        ("suspend", {"provider": "gmail", "tenant": "t"}),
        ("bounce", {"provider": "gmail"}),
    ):
        await steer.begin(verb, {"selector": selector})
    with capture_logs() as logs:
        answer = await steer.resume({"selector": {"provider": "gmail"}, "who": "bob"})
    assert answer == {"ids": ["s1"], "keys": 2, "messages": 30, "away": []}
    assert [rule["id"] for rule in owner.children[0].rules()] == ["s2", "b3"]
    assert [(line["event"], line["cancelled_by"]) for line in logs] == [
        ("queue suspend cancelled", "bob")
    ]
    with pytest.raises(ControlError, match="nothing is suspended by exactly this"):
        await steer.resume({"selector": {"provider": "gmail"}})


async def test_one_whose_provider_is_gone_can_still_be_ended(steer, owner) -> None:
    await steer.begin("suspend", {"selector": {"provider": "gmail"}})
    owner.policies = SimpleNamespace(providers={})
    assert (await steer.resume({"selector": {"provider": "gmail"}}))["ids"] == ["s1"]


async def test_cancel_by_id(steer, owner) -> None:
    await steer.begin("bounce", {"selector": {"tenant": "t"}, "duration_s": 60})
    answer = await steer.cancel({"id": "b1", "who": "bob"})
    assert answer["ids"] == ["b1"]
    assert owner.children[1].asked[-1][1] == {"rules": [], "counted": {"tenant": "t"}}
    with pytest.raises(ControlError, match="no operation 'b1'"):
        await steer.cancel({"id": "b1"})


async def test_a_worker_that_starts_is_told_when_it_serves(steer, owner) -> None:
    away = owner.children[1]
    away.answers["queue.rules"] = STARTING
    answer = await steer.begin("suspend", {"selector": {"tenant": "t"}})
    assert answer == {"id": "s1", "keys": 1, "messages": 10, "away": [1]}
    away.answers["queue.rules"] = ConnectionError("worker 1 is not running")
    assert (await steer.begin("suspend", {"selector": {"tenant": "u"}}))["away"] == [1]

    away.answers["queue.rules"], away.asked = {"keys": 0, "messages": 0}, []
    steer.greet(away)
    await asyncio.gather(*steer._tasks)
    assert [rule["id"] for rule in away.rules()] == ["s1", "s2"]


async def test_a_worker_that_goes_while_it_is_greeted_is_no_error(steer, owner) -> None:
    owner.children[0].answers["queue.rules"] = ConnectionResetError("gone")
    with capture_logs() as logs:
        steer.greet(owner.children[0])
        await asyncio.gather(*steer._tasks)
    assert logs == []


async def test_too_many_is_said_and_nothing_is_told(steer, owner, monkeypatch) -> None:
    monkeypatch.setattr("penstock.daemon.operations.OPERATIONS_MAX", 2)
    for tenant in "ab":
        await steer.begin("suspend", {"selector": {"tenant": tenant}})
    with pytest.raises(ControlError, match="2 operations already") as error:
        await steer.begin("suspend", {"selector": {"tenant": "c"}})
    assert error.value.code == "too-many"
    assert len(owner.children[0].rules()) == 2
    assert (await steer.listed({}))["max"] == OPERATIONS_MAX


async def test_retry_is_for_all_workers_or_an_error(steer, owner) -> None:
    for worker in owner.children:
        worker.answers["queue.retry"] = {"keys": 1, "messages": 4}
    with capture_logs() as logs:
        answer = await steer.retry({"selector": {"tenant": "t"}, "who": "ann"})
    assert answer == {"keys": 2, "messages": 8, "away": []}
    assert owner.children[1].asked == [("queue.retry", {"selector": {"tenant": "t"}})]
    assert (logs[0]["event"], logs[0]["who"], logs[0]["messages"]) == ("queue retry", "ann", 8)
    assert len(owner.operations) == 0
    owner.children[0].answers["queue.retry"] = ConnectionError("worker 0 is not running")
    with pytest.raises(ControlError, match="worker 0 is not running"):
        await steer.retry({"selector": {"tenant": "t"}})


# what ends by itself


async def test_one_that_has_run_out_ends_and_the_workers_hear_of_it(
    steer, owner, monkeypatch
) -> None:
    await steer.begin("suspend", {"selector": {"tenant": "short"}, "duration_s": 60})
    await steer.begin("suspend", {"selector": {"tenant": "long"}})
    later = time.time() + 61
    monkeypatch.setattr("penstock.daemon.steer.time.time", lambda: later)
    with capture_logs() as logs:
        await steer.look()
    assert [rule["id"] for rule in owner.children[0].rules()] == ["s2"]
    assert [(line["event"], line["id"]) for line in logs] == [("queue suspend ended", "s1")]
    asked = len(owner.children[0].asked)
    await steer.look()
    assert len(owner.children[0].asked) == asked  # nothing to say, nothing said


async def test_a_bounce_is_over_when_no_worker_has_anything_left(steer, owner) -> None:
    first, second = owner.children
    await steer.begin("bounce", {"selector": {"tenant": "t"}})
    first.answers["queue.rules_left"] = {"b1": 0}
    for answer in ({"b1": 7}, {}, ConnectionError("away"), STARTING):
        second.answers["queue.rules_left"] = answer
        await steer.look()
        assert len(owner.operations) == 1
    second.answers["queue.rules_left"] = {"b1": 0}
    with capture_logs() as logs:
        await steer.look()
    assert [(line["event"], line["id"]) for line in logs] == [("queue bounce done", "b1")]
    assert first.rules() == second.rules() == []
    assert len(owner.operations) == 0


async def test_a_bounce_for_a_time_is_not_asked_about(steer, owner) -> None:
    await steer.begin("bounce", {"selector": {"tenant": "t"}, "duration_s": 60})
    await steer.look()
    assert [method for method, _ in owner.children[0].asked] == ["queue.rules"]


async def test_what_cannot_be_ended_is_logged_and_tried_again(steer, owner) -> None:
    await steer.begin("bounce", {"selector": {"tenant": "t"}})
    owner.children[0].answers["queue.rules_left"] = ControlError("internal", "it broke")
    owner.children[1].answers["queue.rules_left"] = {"b1": 0}
    with capture_logs() as logs:
        await steer.look()
    assert logs[0]["reason"] == "it broke"
    owner.children[0].answers["queue.rules_left"] = {"b1": 0}
    await steer.look()
    assert len(owner.operations) == 0


async def test_a_worker_that_hangs_is_asked_once_at_a_time(steer, owner) -> None:
    await steer.begin("bounce", {"selector": {"tenant": "t"}})
    hanging = asyncio.Event()
    asked = []

    class Hanging:
        number = 0

        async def call(self, method, params=None, timeout_s=30.0):
            asked.append(method)
            await hanging.wait()
            return {"b1": 1}

    owner.children[:] = [Hanging()]
    for _ in range(3):
        steer.tick()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert asked == ["queue.rules_left"]
    hanging.set()
    await steer._looking
    steer.tick()
    await steer._looking
    assert asked == ["queue.rules_left"] * 2
