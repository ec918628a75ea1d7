"""What explanations are held to: the same reason everywhere, plain values, and the truth about
when a message goes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgpack
import pytest

from penstock.mail.waits import TEXTS, Wait
from penstock.sim.clock import VirtualClock, run_virtual
from penstock.sim.relay import RelayWorld

Scenario = Callable[[], Coroutine[Any, Any, None]]
Explanation = dict[str, Any]


@pytest.fixture
def play() -> Callable[[Scenario], None]:
    """Runs a scenario in virtual time."""

    def run(scenario: Scenario) -> None:
        run_virtual(scenario(), VirtualClock(1000.0))

    return run


@pytest.fixture
def explain() -> Callable[[RelayWorld, int], Awaitable[Explanation]]:
    """The explanation of one delivery, checked for what holds for every one."""

    async def explained(world: RelayWorld, ref: int) -> Explanation:
        before, _ = world.explainer.reason(ref)
        answers = await world.explainer.message(ref)
        assert answers is not None
        [one] = answers
        assert one["reason"] == before.wait.value
        assert one["reason_text"].startswith(TEXTS[Wait(one["reason"])])
        assert json.loads(json.dumps(one)) == one
        assert msgpack.unpackb(msgpack.packb(one)) == one
        binding = [cap for cap in one["caps"] if cap["binds"]]
        assert len(binding) <= 1
        for cap in binding:
            assert one["binds"].items() >= cap.items()
        rows = (await world.steering.listing({}, 5000))["rows"]
        assert [row["reason"] for row in rows if row["recipient"] == one["recipient"]] == [
            one["reason"]
        ]
        return one

    return explained


@pytest.fixture
def goes() -> Callable[..., Awaitable[None]]:
    """Lets time pass until somebody is offered to a peer, and compares that with what was said."""

    async def compared(
        world: RelayWorld, explanation: Explanation, within_s: float = 1.0, most_s: float = 1e5
    ) -> None:
        promised, recipient = explanation["next_attempt"], explanation["recipient"]
        assert promised > 0
        offered = world.recipients().count(recipient)
        await world.pass_time(max(0.0, promised - world.now() - 2 * within_s))
        assert world.recipients().count(recipient) == offered, "it went earlier than was said"
        end = world.loop.time() + most_s
        while world.recipients().count(recipient) == offered:
            assert world.loop.time() < end, f"{recipient} was never offered to anybody"
            await world.pass_time(0.1)
        assert abs(world.now() - promised) <= within_s, world.now() - promised

    return compared


@pytest.fixture
def binds() -> Callable[[Explanation], tuple[str, str, str, str]]:
    """Who makes it wait: scope, field, value, file and line."""

    def named(explanation: Explanation) -> tuple[str, str, str, str]:
        one = explanation["binds"]
        return one["scope"], one["field"], one["value"], one["where"]

    return named
