"""A worker whose source is warmed up: tokens before mail, and where mail goes that has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.sim.clock import VirtualClock, run_virtual
from penstock.sim.relay import NOW, RelayWorld, destination, loaded
from penstock.smtp.reply import Reply

SOURCES = """\
[source.cold]
ipv4 = "192.0.2.1"
warmup = "p"
[source.warm1]
ipv4 = "192.0.2.2"
[source.warm2]
ipv4 = "192.0.2.3"
[source.other]
ipv4 = "192.0.2.4"
warmup = "p"
[pool.default]
sources = { cold = 3, warm1 = 3, warm2 = 1 }
[pool.alone]
sources = ["cold"]
[pool.both]
sources = ["cold", "other"]
"""
FAST = '[limits]\nmessage_rate = "unlimited"\nconnection_rate = "unlimited"\n'
PLAN = "messages = [50, 100]\n"


class Supervisor:
    """Grants from ``left`` tokens, one pot for all; ``later``: what the day has besides."""

    def __init__(
        self, left: int, later: int = 0, *, warm: bool = False, there: bool = True
    ) -> None:
        self.left, self.later, self.warm, self.there = left, later, warm, there
        self.next_s = 3600.0
        self.back = 0
        self.results = Counter[int]()
        self.asked = 0

    async def __call__(self, asked: dict[str, Any]) -> dict[str, Any]:
        if not self.there:
            raise ConnectionError("gone")
        self.asked += 1
        for *_, first, rest in asked["back"]:
            self.back += first + rest
            self.left += first + rest
        for _, _, numbers in asked["results"]:
            self.results.update(dict(enumerate(numbers)))
        return {"rows": [self._row(*row) for row in asked["take"]]}

    def _row(self, source: str, provider: str, first: int, rest: int) -> dict[str, Any]:
        n_first = min(first, self.left)
        self.left -= n_first
        n_rest = min(rest, self.left, 10)
        self.left -= n_rest
        return {
            "source": source,
            "provider": provider,
            "warm": self.warm,
            "first": n_first,
            "rest": n_rest,
            "day": 1,
            "hour": 0,
            "ends_s": 86400.0,
            "later": self.later,
            "first_at": self.world.now() + self.next_s,
            "next_at": self.world.now() + self.next_s,
            "text": "warm-up day 1 of 2: 50 of 50 used",
        }

    world: RelayWorld


def _world(supervisor: Supervisor, limits: str = FAST) -> RelayWorld:
    files = {"sources": SOURCES, "warmup/p": PLAN}
    world = RelayWorld(loaded(limits, **files))
    world.dispatcher.warming.ask = supervisor
    supervisor.world = world
    return world


def _counts(world: RelayWorld) -> Counter[str]:
    return Counter({source: len(got) for source, got in world.sources().items()})


def _play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run_virtual(scenario(), VirtualClock(1000.0))


async def _waits(world: RelayWorld) -> Counter[str]:
    rows = (await world.steering.listing({}, 10_000))["rows"]
    return Counter(row["reason"] for row in rows)


def test_what_has_no_token_goes_by_the_warm_sources_in_proportion() -> None:
    async def scenario() -> None:
        world = _world(Supervisor(50))
        for n in range(700):
            await world.send(f"u{n}@d{n % 9}.example")
        await world.pass_time(60)
        found = _counts(world)
        assert found["cold"] == 50
        assert found["warm1"] + found["warm2"] == 650
        assert found["warm1"] / found["warm2"] == pytest.approx(3, abs=0.4)
        await world.close()

    _play(scenario)


def test_what_may_go_later_today_waits_for_its_hour_and_only_that() -> None:
    async def scenario() -> None:
        supervisor = Supervisor(20, later=30)
        world = _world(supervisor)
        for n in range(700):
            await world.send(f"u{n}@a.example")
        await world.pass_time(60)
        found = _counts(world)
        assert found["cold"] == 20
        assert 20 <= world.entries <= 40
        assert set(await _waits(world)) == {"warm-up"}
        supervisor.left, supervisor.later = 100, 0
        await world.pass_time(3600)
        assert world.entries == 0
        assert 40 <= _counts(world)["cold"] <= 60
        await world.close()

    _play(scenario)


def test_without_a_warm_source_it_waits_and_says_why_and_goes_when_it_may() -> None:
    async def scenario() -> None:
        supervisor = Supervisor(5)
        world = _world(supervisor)
        for n in range(8):
            await world.send(f"u{n}@a.example", pool="alone")
        await world.pass_time(10)
        assert _counts(world) == {"cold": 5}
        one = (await world.explainer.queue("a.example", "", "", ""))["explanations"][0]
        assert one["reason"] == "warm-up"
        assert one["state"] == "waiting"
        assert (
            "cold: warm-up day 1 of 2: 50 of 50 used, next at 2027-01-15 09:00"
            in one["reason_text"]
        )
        assert one["binds"]["scope"] == "warm-up of other domains from cold"
        assert one["next_attempt"] == pytest.approx(NOW + 3600, abs=30)
        supervisor.left = 10
        await world.pass_time(3600)
        assert world.entries == 0
        assert _counts(world) == {"cold": 8}
        await world.close()

    _play(scenario)


def test_transactional_mail_goes_while_other_mail_has_nothing() -> None:
    async def scenario() -> None:
        supervisor = Supervisor(0, later=20)
        world = _world(supervisor)
        for n in range(5):
            await world.send(f"u{n}@a.example", pool="alone", class_="bulk")
        await world.pass_time(5)
        supervisor.left = 1
        await world.send("ann@a.example", pool="alone", class_="transactional")
        await world.pass_time(5)
        assert world.recipients() == ["ann@a.example"]
        assert world.entries == 5
        await world.close()

    _play(scenario)


def test_overflow_does_not_use_up_another_source_that_is_warmed() -> None:
    async def scenario() -> None:
        supervisor = Supervisor(0)
        world = _world(supervisor)
        for n in range(6):
            await world.send(f"u{n}@a.example", pool="both")
        await world.pass_time(5)
        assert world.entries == 6  # neither may
        assert set(await _waits(world)) == {"warm-up"}
        await world.close()

    _play(scenario)


def test_a_source_that_is_warm_asks_once() -> None:
    async def scenario() -> None:
        supervisor = Supervisor(0, warm=True)
        world = _world(supervisor)
        for n in range(200):
            await world.send(f"u{n}@a.example", pool="alone")
        await world.pass_time(10)
        assert _counts(world) == {"cold": 200}
        assert supervisor.asked <= 2 + 10  # results are told each second
        await world.close()

    _play(scenario)


def test_nobody_to_ask_nothing_goes_by_it_until_there_is() -> None:
    async def scenario() -> None:
        supervisor = Supervisor(50, there=False)
        world = _world(supervisor)
        for n in range(5):
            await world.send(f"u{n}@a.example", pool="alone")
        await world.pass_time(10)
        assert world.recipients() == []
        assert set(await _waits(world)) == {"warm-up"}
        supervisor.there = True
        await world.pass_time(10)
        assert world.entries == 0
        await world.close()

    _play(scenario)


def test_unused_tokens_go_back_and_results_are_told() -> None:
    async def scenario() -> None:
        supervisor = Supervisor(50)
        world = _world(supervisor)
        refused = Outcome(Kind.BOUNCED, Phase.RCPT, Reply.of(550, "5.1.1 no such user"))
        normal = world.answer
        world.answer = lambda tx, one: refused if one.startswith("no") else normal(tx, one)
        await world.send("yes@a.example", pool="alone")
        await world.send("no@a.example", pool="alone")
        for _ in range(10):
            await world.pass_time(1)
            world.dispatcher.warming.look()
        used = Counter(one.split("@")[0] for one in world.recipients())
        assert supervisor.left + sum(used.values()) == 50
        assert supervisor.results[2] == 1  # refused
        await world.dispatcher.warming.close()
        await world.close()

    _play(scenario)


def test_recipients_that_another_limit_keeps_back_use_up_nothing() -> None:
    """A transaction is admitted whole, and then cut to what the message rate lets through."""

    async def scenario() -> None:
        supervisor = Supervisor(50)
        limits = FAST.replace('message_rate = "unlimited"', 'message_rate = "6/min"')
        world = _world(supervisor, limits)
        await world.send(*(f"u{n}@a.example" for n in range(8)), pool="alone")
        for _ in range(120):
            await world.pass_time(1)
            world.dispatcher.warming.look()
        assert len(world.recipients()) == 8
        assert supervisor.left == 50 - 8
        await world.dispatcher.warming.close()
        await world.close()

    _play(scenario)


def test_a_route_of_ones_own_is_not_warmed() -> None:
    async def scenario() -> None:
        from dataclasses import replace

        world = _world(Supervisor(0))
        world.destinations["own.example"] = replace(destination("own.example"), route=0)
        world.dispatcher.placing.routes = _routes()
        await world.send("ann@own.example", pool="alone")
        await world.pass_time(5)
        assert world.recipients() == ["ann@own.example"]
        await world.close()

    _play(scenario)


def _routes() -> Any:
    from penstock.relay.sites import RouteLimits

    return (RouteLimits(),)


def test_a_reload_that_ends_the_plan_frees_the_mail() -> None:
    async def scenario() -> None:
        world = _world(Supervisor(0))
        await world.send("ann@a.example", pool="alone")
        await world.pass_time(5)
        assert world.entries == 1
        plain = SOURCES.replace('warmup = "p"\n', "")
        world.dispatcher.reload(loaded(FAST, sources=plain), ())
        await world.pass_time(5)
        assert world.recipients() == ["ann@a.example"]
        await world.close()

    _play(scenario)
