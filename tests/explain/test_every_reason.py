"""Every word of the list is met by a message that really is in that state."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.mail.waits import Wait
from penstock.relay.dispatch_ports import DispatchConfig
from penstock.sim.relay import (
    LATER,
    NEVER,
    NOW,
    OK,
    REFUSED,
    Inline,
    RelayWorld,
    Slowly,
    destination,
    loaded,
)
from penstock.smtp.reply import Reply
from penstock_queue import QueueConfig

SERVFAIL = Outcome(Kind.DEFERRED, Phase.RESOLVE, Reply.of(451, "4.4.3 DNS failed"))
NO_WAY_OUT = Outcome(Kind.DEFERRED, Phase.EGRESS, Reply.of(451, "4.4.1 The proxy refused"))
MORNING = '[tenant.shop]\nwindow = "daily 09:00-17:00 UTC"\n'  # it is 08:00 when the world begins

Scene = Callable[[], Awaitable[tuple[RelayWorld, int]]]
SCENES: dict[Wait, Scene] = {}


def scene(wait: Wait) -> Callable[[Scene], Scene]:
    def register(made: Scene) -> Scene:
        SCENES[wait] = made
        return made

    return register


# scope, field, value, file and line of what binds; how near the promised time is to the real one
BINDS: dict[Wait, tuple[str, str, str, str]] = {
    Wait.WINDOW: ("tenant shop", "window", "daily 09:00-17:00 UTC", "policies/tenants.toml:2"),
    Wait.SUSPENDED: ("order o1", "suspend", "tenant=shop", "op: too many complaints"),
    Wait.BOUNCING: ("order o1", "bounce", "tenant=shop", "op: sent by mistake"),
    Wait.CONNECTION_LIMIT: ("site a.example", "connections", "1", "policies/default.toml:2"),
    Wait.CONNECTION_RATE: (
        *("site a.example", "connection_rate", "1/min"),
        "policies/default.toml:2",
    ),
    Wait.MESSAGE_RATE: ("tenant shop", "message_rate", "2/min", "policies/tenants.toml:3"),
    Wait.BYTE_RATE: ("site a.example", "byte_rate", "1 KiB/s", "policies/default.toml:3"),
    Wait.PACE: ("pace of big", "message_rate", "120/h", "throttled 3 of 40"),
    Wait.PAUSED: ("pace of big", "not_before", "2027-01-15 08:30:00 UTC", "blocked at 08:00"),
    Wait.WARM_UP: (
        *("warm-up of other domains from cold", "warm_up", "day 1 of 1: 10 of 10 used"),
        "policies/warmup/plan.toml:1",
    ),
    Wait.WORKER_CONNECTIONS: ("worker 0", "connections", "1", "relay.connections_max"),
}
STATES = {
    "in-flight": {Wait.IN_FLIGHT, Wait.REPORTING},
    "ready": {Wait.TURN, Wait.READING, Wait.CONNECTING},
    "scheduled": {Wait.SCHEDULED, Wait.RETRY},
}
UNKNOWN = {Wait.IN_FLIGHT, Wait.REPORTING, Wait.STOPPING, Wait.BOUNCING}
UNKNOWN |= {Wait.SUSPENDED, Wait.WORKER_CONNECTIONS}
# what stands ahead takes as long as the peer takes; and a peer is seen to have it when it answers
ROUGHLY_S = {Wait.TURN: 1.5, Wait.CONNECTION_LIMIT: 1.5, Wait.RESOLVING: 1.0}


@scene(Wait.IN_FLIGHT)
async def a_slow_peer() -> tuple[RelayWorld, int]:
    world = RelayWorld()
    world.latency_s = 10.0
    ref = await world.send("ann@a.example")
    await world.pass_time(2)
    return world, ref


@scene(Wait.TURN)
async def behind_a_message_that_takes_long() -> tuple[RelayWorld, int]:
    world = RelayWorld()
    world.latency_s = 0.8
    await world.send("first@a.example")
    ref = await world.send("ann@a.example")
    await world.pass_time(0.3)
    return world, ref


@scene(Wait.READING)
async def not_in_memory_any_more() -> tuple[RelayWorld, int]:
    world = RelayWorld(queue=QueueConfig(cache_bytes=1))
    world.loop.set_default_executor(Slowly(0.5))
    ref = await world.send("ann@a.example")
    await world.pass_time(0.2)
    world.loop.set_default_executor(Inline())  # to explain it reads as well
    return world, ref


@scene(Wait.SCHEDULED)
async def for_later() -> tuple[RelayWorld, int]:
    world = RelayWorld()
    ref = await world.send("ann@a.example", due=world.now() + 3600)
    return world, ref


@scene(Wait.WINDOW)
async def before_the_window_opens() -> tuple[RelayWorld, int]:
    world = RelayWorld(loaded("", tenants=MORNING))
    ref = await world.send("ann@a.example", tenant="shop")
    await world.pass_time(10)
    return world, ref


@scene(Wait.RETRY)
async def greylisted() -> tuple[RelayWorld, int]:
    world = RelayWorld(loaded('[limits]\nretry_initial_s = "10m"\n'))
    world.answer = lambda tx, one: LATER
    ref = await world.send("ann@a.example")
    await world.pass_time(10)
    world.answer = lambda tx, one: OK
    return world, ref


class SlowNames(RelayWorld):
    async def find(self, domain: str) -> Any:
        await asyncio.sleep(1.0)
        return await super().find(domain)


@scene(Wait.RESOLVING)
async def name_servers_take_their_time() -> tuple[RelayWorld, int]:
    world = SlowNames()
    ref = await world.send("ann@a.example")
    await world.pass_time(0.3)
    return world, ref


@scene(Wait.DNS_FAILED)
async def name_servers_fail() -> tuple[RelayWorld, int]:
    world = RelayWorld()
    world.destinations["a.example"] = SERVFAIL
    await world.send("first@a.example")
    ref = await world.send("ann@a.example")
    await world.pass_time(2)
    del world.destinations["a.example"]
    world.destinations["a.example"] = await world.find("a.example")
    return world, ref


@scene(Wait.SUSPENDED)
async def an_operator_holds_it() -> tuple[RelayWorld, int]:
    world = RelayWorld()
    await world.order("suspend", {"tenant": "shop"}, reason="too many complaints")
    ref = await world.send("ann@a.example", tenant="shop")
    await world.pass_time(5)
    return world, ref


@scene(Wait.BOUNCING)
async def an_operator_gave_it_up() -> tuple[RelayWorld, int]:
    world = RelayWorld()
    refs = [
        await world.send(f"p{n}@a.example", tenant="shop", due=world.now()) for n in range(2000)
    ]
    world.loop.set_default_executor(Slowly(0.5))  # so that it takes a while to get to the last
    await world.order("bounce", {"tenant": "shop"}, reason="sent by mistake")
    await world.pass_time(0.2)
    return world, refs[-1]


@scene(Wait.SOURCE_DOWN)
async def the_way_out_is_broken() -> tuple[RelayWorld, int]:
    world = RelayWorld()
    world.refuse_connect = NO_WAY_OUT
    ref = await world.send("ann@a.example")
    await world.pass_time(2)
    world.refuse_connect = None
    return world, ref


@scene(Wait.WARM_UP)
async def its_source_is_warmed_up_and_has_had_its_day() -> tuple[RelayWorld, int]:
    sources = '[source.cold]\nipv4 = "192.0.2.1"\nwarmup = "plan"\n'
    files = {"sources": sources, "warmup/plan": "messages = [10]\n"}
    world = RelayWorld(loaded("", **files))

    began = world.now()

    async def nothing(asked: dict[str, Any]) -> dict[str, Any]:
        at = {"first_at": world.now() + 60, "next_at": world.now() + 60, "later": 0}
        n = int(world.now() >= began + 60)
        none = {"warm": False, "first": 0, "rest": n, "day": 1, "hour": 0, "ends_s": 600.0}
        text = "warm-up day 1 of 1: 10 of 10 used"
        return {"rows": [{**at, **none, "text": text} for _ in asked["take"]]}

    world.dispatcher.warming.ask = nothing
    ref = await world.send("ann@a.example")
    await world.pass_time(2)
    return world, ref


@scene(Wait.CONNECTING)
async def a_connection_is_being_opened() -> tuple[RelayWorld, int]:
    world = RelayWorld()
    ref = await world.send("ann@a.example")
    await world.pass_time(0.02)
    return world, ref


@scene(Wait.CONNECTION_LIMIT)
async def the_only_connection_is_busy() -> tuple[RelayWorld, int]:
    world = RelayWorld(loaded("[limits]\nconnections = 1\n"))
    world.latency_s = 0.8
    await world.send("first@a.example")
    ref = await world.send("ann@a.example")
    await world.pass_time(0.3)
    return world, ref


@scene(Wait.CONNECTION_RATE)
async def one_connection_a_minute() -> tuple[RelayWorld, int]:
    world = RelayWorld(loaded('[limits]\nconnection_rate = "1/min"\nidle_timeout_s = "5s"\n'))
    await world.send("first@a.example")
    await world.pass_time(10)
    ref = await world.send("ann@a.example")
    await world.pass_time(1)
    return world, ref


@scene(Wait.MESSAGE_RATE)
async def the_tenant_has_sent_enough() -> tuple[RelayWorld, int]:
    tenants = '# the shop\n[tenant.shop]\nmessage_rate = "2/min"\nconnections = 5\n'
    world = RelayWorld(loaded('[limits]\nmessage_rate = "3/min"\n', tenants=tenants))
    await world.send("first@b.example", tenant="shop")
    await world.pass_time(1)
    ref = await world.send("ann@a.example", tenant="shop")
    await world.pass_time(1)
    return world, ref


@scene(Wait.BYTE_RATE)
async def a_large_message_went_before() -> tuple[RelayWorld, int]:
    world = RelayWorld(loaded('[limits]\nmessage_rate = "10/s"\nbyte_rate = "1 KiB/s"\n'))
    await world.send("first@a.example", body=b"Subject: large\r\n\r\n" + b"x" * 60 * 1024)
    await world.pass_time(1)
    ref = await world.send("ann@a.example")
    await world.pass_time(1)
    return world, ref


async def _paced(**pace: Any) -> RelayWorld:
    world = RelayWorld()
    world.destinations["a.example"] = destination("a.example", provider="big", expires_at=4e9)
    world.dispatcher.paces.told(
        [{"source": "default", "provider": "big", "mode": "on", "pace": pace}]
    )
    return world


@scene(Wait.PACE)
async def its_provider_was_found_to_be_slow() -> tuple[RelayWorld, int]:
    world = await _paced(rate_per_s=1 / 30, reason="throttled 3 of 40")
    await world.send("first@a.example")
    await world.pass_time(1)
    ref = await world.send("ann@a.example")
    await world.pass_time(1)
    return world, ref


@scene(Wait.PAUSED)
async def its_provider_has_blocked_the_source() -> tuple[RelayWorld, int]:
    world = await _paced(not_before=NOW + 1800, reason="blocked at 08:00")
    ref = await world.send("ann@a.example")
    await world.pass_time(1)
    return world, ref


@scene(Wait.UNREACHABLE)
async def nobody_answers_there() -> tuple[RelayWorld, int]:
    world = RelayWorld()
    world.refuse_connect = REFUSED
    await world.send("first@a.example")
    ref = await world.send("ann@a.example")
    await world.pass_time(2)
    world.refuse_connect = None
    return world, ref


@scene(Wait.WORKER_CONNECTIONS)
async def another_site_has_the_only_connection() -> tuple[RelayWorld, int]:
    world = RelayWorld(config=DispatchConfig(connections_max=1))
    world.latency_s = 20.0
    await world.send("first@b.example")
    await world.pass_time(1)
    ref = await world.send("ann@a.example")
    await world.pass_time(2)
    return world, ref


@scene(Wait.REPORTING)
async def a_report_for_a_slow_disk() -> tuple[RelayWorld, int]:
    world = RelayWorld()
    world.answer = lambda tx, one: NEVER if one == "ann@a.example" else OK
    ref = await world.send("ann@a.example")
    world.committer.commit_s = 5.0
    await world.pass_time(2)
    return world, ref


@scene(Wait.STOPPING)
async def the_daemon_goes_down() -> tuple[RelayWorld, int]:
    world = RelayWorld()
    ref = await world.send("ann@a.example", due=world.now() + 1)
    world.dispatcher.stopping = True
    await world.pass_time(3)
    return world, ref


@pytest.mark.parametrize("wait", Wait, ids=lambda one: one.value)
def test_a_message_in_this_state_is_explained(wait, play, explain, goes, binds) -> None:
    assert wait in SCENES, f"no scene brings a message to {wait.value}"

    async def scenario() -> None:
        world, ref = await SCENES[wait]()
        told = await explain(world, ref)
        assert told["reason"] == wait.value
        assert told["recipient"].endswith("@a.example")
        assert told["state"] == next((s for s, all_ in STATES.items() if wait in all_), "waiting")
        assert (binds(told) if told["binds"] else None) == BINDS.get(wait)
        if wait in UNKNOWN:
            assert told["next_attempt"] == 0
        else:
            await goes(world, told, ROUGHLY_S.get(wait, 0.7))
        world.committer.commit_s = 0.0
        await world.cancel({"tenant": "shop"})
        await world.pass_time(2 * 3600)
        assert world.entries == (1 if wait is Wait.STOPPING else 0), "nothing is left behind"
        await world.close()

    play(scenario)
