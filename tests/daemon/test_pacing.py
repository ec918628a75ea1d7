"""The supervisor's part of the pace: tallies in, a table out, kept on disk."""

from __future__ import annotations

import asyncio
import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from penstock.control import ControlError
from penstock.daemon import pacing as module
from penstock.daemon.pacing import Pacing, adaptive_config
from penstock.events.metrics import Registry
from penstock.policy.limits import Limits
from penstock.policy.load import load_policies
from penstock.policy.policies import Policies
from penstock.policy.rate import Rate

PROVIDER = 'mx = [".google.com"]\n[limits]\nadaptive = "{mode}"\n'
RULES = """
provider = "gmail"
[[rule]]
name = "hold"
category = "reputation-block"
match = 'on hold'
threshold = "3/h"
action = "suspend"
for = "10m"
matches = ["421 on hold"]
[[rule]]
name = "shop"
category = "spam-content"
match = 'your customer'
action = "suspend-tenant"
for = "1h"
matches = ["550 your customer"]
[[rule]]
name = "seats"
category = "throttled"
action = "fewer-connections"
match = "too many connections"
matches = ["421 too many connections"]
"""


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class World:
    """A supervisor's surroundings: two workers that note what they are told."""

    def __init__(self, owner: Any, spool: pathlib.Path, mode: str) -> None:
        self.owner, self.spool, self.clock = owner, spool, Clock()
        self.registry = Registry()
        self.ordered: list[dict[str, Any]] = []
        for child in owner.children:
            child.answers["pacing.paces"] = None
        self.policy(mode)
        self.pacing = self.started()

    def policy(self, mode: str) -> None:
        files = {"providers/gmail.toml": PROVIDER.format(mode=mode), "replies/gmail.toml": RULES}
        found = load_policies(files)
        assert isinstance(found, Policies), found
        self.owner.policies = found

    def started(self) -> Pacing:
        return Pacing(self.owner, str(self.spool), self.registry, self._suspend, self.clock)

    async def _suspend(self, params: dict[str, Any]) -> None:
        self.ordered.append(params)

    def hear(self, **counts: Any) -> None:
        row = {"source": "out1", "provider": "gmail", "busy": True, "in_use": 2, **counts}
        self.pacing.take([row])

    async def step(self, seconds: float = 1.0) -> None:
        self.clock.now += seconds
        self.pacing.tick()
        await asyncio.gather(*self.pacing._tasks)

    def told(self, worker: int = 0) -> list[dict[str, Any]]:
        asked = self.owner.children[worker].asked
        return [
            row for method, params in asked if method == "pacing.paces" for row in params["rows"]
        ]

    def metric(self, name: str) -> float:
        [[labels, value]] = self.registry.snapshot()["series"][name]
        assert labels in (["out1", "gmail"], [])
        return float(value)


@pytest.fixture
def world(owner, tmp_path) -> Callable[[str], World]:
    return lambda mode="on": World(owner, tmp_path, mode)


async def test_off_tells_and_keeps_nothing(world) -> None:
    one = world("off")
    one.hear(throttled=50)
    await one.step()
    assert one.told() == []
    assert one.pacing.rows() == []
    assert one.metric("penstock_pace_pairs") == 0


async def test_on_tells_every_worker_once(world) -> None:
    one = world("on")
    one.hear(delivered=3)
    await one.step()
    [row] = one.told(0)
    assert one.told(1) == [row]
    assert (row["source"], row["provider"], row["mode"]) == ("out1", "gmail", "on")
    assert row["pace"]["rate_per_s"] == 1.0  # where nothing is known
    assert one.metric("penstock_pace_rate") == 1.0
    await one.step()
    assert len(one.told()) == 1  # nothing new, nothing said


async def test_what_workers_say_is_added_up_and_cuts(world) -> None:
    one = world("on")
    for _ in range(60):
        one.hear(delivered=1)
        one.hear(delivered=1)
        await one.step()
    before = one.told()[-1]["pace"]["rate_per_s"]
    assert before > 1.0
    one.hear(delivered=1, throttled=5)
    one.hear(throttled=5)
    await one.step(3)
    last = one.told()[-1]["pace"]
    assert last["rate_per_s"] < before
    assert "throttled" in last["reason"]


async def test_observe_says_what_it_would_do(world) -> None:
    one = world("observe")
    one.hear(delivered=1)
    with capture_logs() as logs:
        await one.step()
    assert [row["mode"] for row in one.told()] == ["observe"]
    [line] = [line for line in logs if line["event"] == "pace"]
    assert (line["mode"], line["provider"]) == ("observe", "gmail")


async def test_a_reload_changes_the_mode_within_a_second(world) -> None:
    one = world("on")
    one.hear(delivered=1)
    await one.step()
    one.policy("observe")
    await one.step()
    one.policy("off")
    await one.step()
    assert [row["mode"] for row in one.told()] == ["on", "observe", "off"]
    assert one.pacing.rows() == []
    assert one.metric("penstock_pace_rate") == float("inf")
    one.policy("on")
    one.hear(delivered=1)
    await one.step()
    assert one.told()[-1]["mode"] == "on"


async def test_it_survives_a_restart_and_a_greeting_has_all_of_it(world) -> None:
    one = world("on")
    for _ in range(30):
        one.hear(delivered=2)
        await one.step()
    one.pacing.save()
    rows = one.pacing.rows()
    assert rows[0]["pace"]["rate_per_s"] > 1.0
    one.pacing = one.started()
    assert one.pacing.rows() == rows
    worker = one.owner.children[1]
    worker.asked = []
    one.pacing.greet(worker)
    await asyncio.gather(*one.pacing._tasks)
    assert worker.asked == [("pacing.paces", {"rows": rows})]


@pytest.mark.parametrize("text", ["{", '{"version": 9}', '{"version": 1}', "[]"])
async def test_a_damaged_file_costs_what_was_learned(text, world) -> None:
    one = world("on")
    (one.spool / "pacing.json").write_text(text)
    with capture_logs() as logs:
        one.pacing = one.started()
    assert one.pacing.rows() == []
    assert [line["log_level"] for line in logs] == ["error"]


async def test_it_is_written_down_now_and_then(world) -> None:
    one = world("on")
    for _ in range(25):
        one.hear(delivered=2)
        await one.step()
    kept = json.loads((one.spool / "pacing.json").read_text())
    assert kept["pairs"][0]["provider"] == "gmail"


async def test_a_block_is_written_down_at_once(world) -> None:
    one = world("on")
    one.hear(delivered=1)
    await one.step()
    one.pacing.save()
    one.hear(deferred=3, fired=[["gmail/hold", "", 3]])
    await one.step()
    again = one.started()
    assert again.rows()[0]["pace"]["not_before"] == one.clock.now + 600


async def test_nothing_old_is_written_over_what_is_new(world) -> None:
    one = world("on")
    old = one.pacing._taken(one.clock.now)
    one.hear(delivered=1)
    await one.step()
    one.pacing.save()
    one.pacing._write(*old)
    assert len(one.started().rows()) == 1


async def test_pairs_are_bounded_and_idle_ones_make_room(world) -> None:
    one = world("on")
    one.pacing._pairs_max = 2
    for source in ("a", "b", "c"):
        one.hear(source=source, delivered=1)
    await one.step()
    assert [row["source"] for row in one.pacing.rows()] == ["a", "b"]
    one.clock.now += module.IDLE_S + module.FULL_S
    one.hear(source="b", delivered=1)
    one.hear(source="c", delivered=1)
    await one.step()
    assert {row["source"] for row in one.pacing.rows()} == {"b", "c"}
    assert [(row["source"], row["mode"]) for row in one.told() if row["mode"] == "off"] == [
        ("a", "off")
    ]


async def test_a_rule_that_fires_often_enough_suspends_the_pair(world) -> None:
    one = world("on")
    one.hear(deferred=2, fired=[["gmail/hold", "", 2]])
    await one.step()
    assert one.told()[-1]["pace"]["not_before"] == 0.0
    one.hear(deferred=1, fired=[["gmail/hold", "", 1]])
    with capture_logs() as logs:
        await one.step()
    pace = one.told()[-1]["pace"]
    assert pace["not_before"] == one.clock.now + 600
    assert "gmail/hold (policies/replies/gmail.toml:3): suspend" in pace["reason"]
    assert one.metric("penstock_pace_suspended") == 1
    assert [line["action"] for line in logs if line["event"] == "reply rule"] == ["suspend"]
    await one.step(601)
    assert one.told()[-1]["pace"]["not_before"] == 0.0
    assert one.metric("penstock_pace_suspended") == 0


async def test_how_many_connections_are_too_many_is_left_to_the_controller(world) -> None:
    one = world("on")
    one.hear(delivered=5, in_use=8, fired=[["gmail/seats", "", 1]])
    with capture_logs() as logs:
        await one.step()
    assert not [line for line in logs if line["event"] == "reply rule"]


async def test_a_tenant_is_suspended_as_an_operator_would(world) -> None:
    one = world("on")
    one.hear(refused=1, fired=[["gmail/shop", "shop", 1], ["gmail/shop", "", 1]])
    await one.step()
    [order] = one.ordered
    assert order["selector"] == {"tenant": "shop", "provider": "gmail"}
    assert order["duration_s"] == 3600
    assert order["who"].startswith("policies/replies/gmail.toml:")
    one.hear(refused=1, fired=[["gmail/shop", "shop", 9]])
    await one.step()
    assert len(one.ordered) == 1  # while it holds, and if somebody cancels it meanwhile


@pytest.mark.parametrize("mode", ["observe", "off"])
async def test_rules_order_nothing_that_restricts_where_policy_does_not_say_on(mode, world) -> None:
    one = world(mode)
    one.hear(refused=1, fired=[["gmail/shop", "shop", 1], ["gmail/hold", "", 3]])
    await one.step()
    assert one.ordered == []
    assert [row["mode"] for row in one.told()] == ([] if mode == "off" else ["observe"])


async def test_an_order_that_is_refused_is_an_error_in_the_log(world) -> None:
    one = world("on")

    async def full(params: Any) -> None:
        raise ControlError("too-many", "there are 1000 operations already")

    one.pacing._suspend = full
    one.hear(refused=1, fired=[["gmail/shop", "shop", 1]])
    with capture_logs() as logs:
        await one.step()
    assert "1000 operations" in next(one for one in logs if one["log_level"] == "error")["reason"]


def test_the_controller_never_goes_above_the_limits() -> None:
    limits = Limits(
        provider_message_rate=Rate.parse("100/s"),
        adaptive_ceiling=Rate.parse("10/s"),
        adaptive_start=Rate.parse("50/s"),
        adaptive_floor=Rate.parse("1/min"),
        provider_connections=5,
    )
    config = adaptive_config(limits)
    assert (config.rate_min_per_s, config.rate_max_per_s) == (1 / 60, 10.0)
    assert (config.rate_start_per_s, config.connections_max) == (10.0, 5)
    assert config.connections_start == 5
