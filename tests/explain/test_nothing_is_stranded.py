"""Random policies, mail, trouble and orders: at any moment every delivery is somewhere, waits for
what is said, and in the end everything has left the queue.

One seed is one story, the same every time: a failure names it, and
``run_virtual(Story(seed).play(), VirtualClock(1000.0))`` tells it again.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from typing import Any

import pytest

from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.mail.waits import Wait
from penstock.policy.policies import Policies
from penstock.relay.dispatch_ports import DispatchConfig
from penstock.relay.lane import Lane
from penstock.relay.reason import Reason
from penstock.relay.site import Site
from penstock.relay.stage import StageConfig
from penstock.sim.clock import VirtualClock, run_virtual
from penstock.sim.relay import (
    AGAIN,
    LATER,
    NEVER,
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
PLACES = {  # domain: (site, provider)
    "a.example": ("mx.a", ""),
    "b.example": ("shared", ""),
    "c.example": ("shared", ""),
    "d.example": ("gmail-1", "gmail"),
    "e.example": ("gmail-2", "gmail"),
}
TENANTS, CAMPAIGNS, CLASSES = ("", "t1", "t2", "t3"), ("", "c1", "c2"), ("", "bulk", "triggered")
HELD = (Wait.MESSAGE_RATE, Wait.BYTE_RATE, Wait.CONNECTION_RATE, Wait.WINDOW)
TIMED = (*HELD, Wait.DNS_FAILED, Wait.UNREACHABLE, Wait.RETRY, Wait.SCHEDULED)


class Story:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.dead: set[str] = set()
        self.no_names: set[str] = set()
        self.broken_sources: set[str] = set()
        self.met: Counter[Wait] = Counter()

    async def play(self) -> Counter[Wait]:
        self.world = self.new_world()
        steps = (self.send, self.send, self.send, self.trouble, self.order, self.reload, self.retry)
        for _ in range(self.rng.randrange(10, 40)):
            await self.rng.choice(steps)()
            await self.world.pass_time(self.rng.choice((0.0, 0.01, 0.3, 2.0, 20.0, 90.0)))
            await self.look()
        await self.heal()
        for _ in range(100):
            if not self.world.entries:
                break
            await self.world.pass_time(300.0)
            await self.look()
        left = [self.why(ref) for ref in self.world.spool.refs()]
        assert not left, f"never sent: {left[:5]}"
        await self.world.close()
        return self.met

    # what there is

    def new_world(self) -> RelayWorld:
        rng = self.rng
        stage = StageConfig(messages=rng.choice((1, 64)), bytes_max=rng.choice((1, 4096, 64 << 20)))
        config = DispatchConfig(
            connections_max=rng.choice((1, 2, 5, 100)),
            workers=rng.choice((1, 3)),
            forget_s=rng.choice((2.0, 60.0)),
            resolves_max=rng.choice((1, 100)),
            stage=stage,
        )
        cache = QueueConfig(cache_bytes=rng.choice((1, 64 << 20)))
        world = RelayWorld(self.policies(), queue=cache, config=config)
        world.latency_s = rng.choice((0.01, 0.3, 7.0))
        world.loop.set_default_executor(Slowly(0.2) if rng.random() < 0.3 else Inline())
        connect, find = world.connect, world.find

        async def connect_or_not(site: Site) -> Any:
            if site.source in self.broken_sources:
                return NO_WAY_OUT
            return REFUSED if site.name.partition("#")[0] in self.dead else await connect(site)

        async def find_or_not(domain: str) -> Any:
            return SERVFAIL if domain in self.no_names else await find(domain)

        world.dispatcher._connect_to = connect_or_not
        world.dispatcher.locator._find = find_or_not
        world.answer = lambda tx, one: rng.choices((OK, LATER, NEVER, AGAIN), (80, 10, 5, 5))[0]
        for domain, (site, provider) in PLACES.items():
            world.destinations[domain] = destination(domain, site, provider)
        return world

    def policies(self) -> Policies:
        some = self.some
        text = "[limits]\nretry_initial_s = '30s'\nretry_max_s = '5m'\nidle_timeout_s = '5s'\n"
        text += some("connections", "1", "2", "10") + some("connection_rate", "'6/min'", "'5/s'")
        text += some("message_rate", "'30/min'", "'5/s burst 3'") + some("byte_rate", "'2 KiB/s'")
        if self.rng.random() < 0.3:
            text += "[domain.'b.example']\nmessage_rate = '20/min'\n"
        if self.rng.random() < 0.3:
            text += "[[narrow]]\nsource = 's1'\nmessage_rate = '40/min'\n"
        if self.rng.random() < 0.3:
            text += "[[narrow]]\nclass = 'bulk'\nmessage_rate = '25/min'\n"
        gmail = "mx = ['.gmail.example']\n[limits]\n" + some("provider_connections", "1", "2")
        gmail += some("provider_message_rate", "'30/min'", "'2/s'")
        sources = ""
        for name in ("s1", "s2"):
            sources += f"[source.{name}]\nipv4 = '192.0.2.{name[1]}'\n"
            sources += some("message_rate", "'60/min'") + some("connections", "1", "3")
        sources += "[pool.default]\nsources = { s1 = 3, s2 = 1 }\n"
        sources += "[pool.one]\nsources = ['s1']\n" + some("overflow", "'two'")
        sources += "[pool.two]\nsources = ['s2']\n"
        tenants = ""
        for name in TENANTS[1:]:
            tenants += f"[tenant.{name}]\n" + some("weight", "3") + some("class", "'bulk'")
            tenants += some("message_rate", "'30/min'", "'2/s'") + some("connections", "1", "2")
            tenants += some("byte_rate", "'4 KiB/s'") + some("pool", "'one'", "'two'")
            tenants += some("window", "'daily 08:30-09:00,10:00-20:00 UTC'")
            tenants += f"[tenant.{name}.campaign.c1]\n" + some("message_rate", "'12/min'")
        files = {"providers/gmail": gmail}
        return loaded(text, sources=sources, tenants=tenants, **files)

    def some(self, name: str, *values: str) -> str:
        """A line for the file, or none."""
        return f"{name} = {self.rng.choice(values)}\n" if self.rng.random() < 0.4 else ""

    # what happens

    async def send(self) -> None:
        rng, world = self.rng, self.world
        for _ in range(rng.choice((1, 3, 10))):
            names = [f"p{rng.randrange(99)}@{rng.choice(list(PLACES))}" for _ in range(3)]
            await world.send(
                *names[: rng.choice((1, 1, 3))],
                tenant=rng.choice(TENANTS),
                campaign=rng.choice(CAMPAIGNS),
                class_=rng.choice(CLASSES),
                pool=rng.choice(("", "", "one", "two")),
                due=world.now() + rng.uniform(1, 300) if rng.random() < 0.2 else 0.0,
                body=b"Subject: x\r\n\r\n" + b"x" * rng.choice((10, 3000)),
            )

    async def trouble(self) -> None:
        for troubled, what in (
            (self.dead, ("mx.a", "shared", "gmail-1", "gmail-2")),
            (self.no_names, tuple(PLACES)),
            (self.broken_sources, ("s1", "s2")),
        ):
            if self.rng.random() < 0.4:
                troubled ^= {self.rng.choice(what)}
        if self.rng.random() < 0.3:
            absent = {one: "gone" for one in ("s1", "s2") if self.rng.random() < 0.4}
            self.absent(absent)

    def absent(self, reasons: dict[str, str]) -> None:
        if self.world.dispatcher.placing.book.absent(reasons):
            self.world.dispatcher.placing.sources_changed()

    async def order(self) -> None:
        rng, world = self.rng, self.world
        if world.orders and rng.random() < 0.5:
            await world.cancel(rng.choice(world.orders)["selector"])
            return
        values = {
            "tenant": TENANTS[1:],
            "campaign": CAMPAIGNS[1:],
            "domain": tuple(PLACES),
            "provider": ("gmail",),
            "source": ("s1", "s2"),
            "class": ("bulk", "triggered"),
            "pool": ("one", "two", "default"),
        }
        fields = rng.sample(sorted(values), rng.choice((1, 1, 2)))
        selector = {name: rng.choice(values[name]) for name in fields}
        if rng.random() < 0.2 and "source" not in selector:
            await world.order("reroute", selector, pool=rng.choice(("one", "two")))
        else:
            await world.order("suspend", selector)

    async def reload(self) -> None:
        if self.rng.random() < 0.5:
            self.world.dispatcher.reload(self.policies(), ())

    async def retry(self) -> None:
        selector = {"domain": self.rng.choice(list(PLACES))} if self.rng.random() < 0.7 else {}
        await self.world.steering.retry(selector)

    async def heal(self) -> None:
        """No trouble and no order any more: nothing but limits is in the way."""
        for troubled in (self.dead, self.no_names, self.broken_sources):
            troubled.clear()
        self.absent({})
        while self.world.orders:
            await self.world.cancel(self.world.orders[0]["selector"])

    # what must be so

    async def look(self) -> None:
        self.conserved()
        refs = list(self.world.spool.refs())
        for ref in refs:
            self.truthful(ref)
        for ref in self.rng.sample(refs, min(2, len(refs))):
            for one in await self.world.explainer.message(ref) or ():
                json.dumps(one)

    def conserved(self) -> None:
        """What is due and queued is in exactly one place."""
        world, placing = self.world, self.world.dispatcher.placing
        found: Counter[int] = Counter()
        for lane in placing.lanes.values():
            found.update(lane.waiting)
            for site in lane.sites():
                found.update(site.ready.refs(lane.number))
        reading = any(site.reading for site in placing.sites.values())
        in_flight = world.dispatcher.in_flight
        for ref in world.spool.refs():
            armed = world.spool.due(ref) > world.now()
            times = found[ref] + (ref in in_flight)
            assert times <= 1, f"{ref} stands in {times} places"
            assert not (armed and found[ref]), f"{ref} is ready before its time"
            if not armed and not times and world.spool.due(ref) < world.now() - 1:
                on_disk = world.spool.read_heads([ref]) != [None]  # else nobody has it yet
                assert reading or not on_disk, f"{ref} is nowhere"

    def why(self, ref: int) -> tuple[Reason, Lane]:
        return self.world.explainer.reason(ref)[0], self.world.dispatcher.lane_of(ref)

    def truthful(self, ref: int) -> None:
        world = self.world
        reason, site = world.explainer.reason(ref)
        lane, now, wait = world.dispatcher.lane_of(ref), world.now(), reason.wait
        self.met[wait] += 1
        if wait in (Wait.IN_FLIGHT, Wait.REPORTING):
            return
        due = world.spool.due(ref)
        assert (wait in (Wait.RETRY, Wait.SCHEDULED)) == (due > now)
        if due > now:
            assert (wait is Wait.RETRY) == (world.spool.attempts(ref) > 0)
            return
        assert (wait is Wait.SUSPENDED) == self.suspended(lane, ref), (reason, lane)
        if wait in TIMED:
            assert reason.until > now - 0.5, f"{reason} should have been over"
        if wait is Wait.WINDOW:
            assert lane.window is not None
            assert not lane.window.open_at(now - 0.5)
        elif wait in HELD:
            self.refused(reason)
        elif wait is Wait.CONNECTION_LIMIT:
            use = world.limiter.uses_now([(reason.key, "seat")])
            taken = bool(use) and use[reason.key, "seat"].free <= 0
            assert taken or reason.until < now + 1
        elif wait is Wait.SOURCE_DOWN and not world.dispatcher.placing.rounding:
            pools, pool = world.dispatcher.placing.policies.pools, lane.pool
            book = world.dispatcher.placing.book
            pool = world.dispatcher.placing.rules.pool(lane) or pool
            assert all(book.why_out(one, lane.provider or "") for one in pools[pool].sources)
        elif wait is Wait.UNREACHABLE:
            assert site is not None
            assert site.last_failure is not None

    def refused(self, reason: Reason) -> None:
        """The limit has nothing left, or whoever is next in line is about to take it."""
        use = self.world.limiter.uses_now([(reason.key, "rate")]).get((reason.key, "rate"))
        gate = self.world.dispatcher.permits.gates.get(reason.key)
        step_s = gate.step_s if gate is not None else 0.0
        assert use is not None
        assert use.free <= 0 or reason.until <= self.world.now() + step_s + 0.1, (reason, use)

    def suspended(self, lane: Lane, ref: int) -> bool:
        key, source = lane.key, self.world.dispatcher.placing.source_of(lane, ref)
        own = {
            "tenant": key.tenant,
            "campaign": key.campaign,
            "domain": key.domain,
            "class": lane.class_,
            "pool": lane.pool,
            "provider": lane.provider,
            "source": source,
        }
        return any(
            one["verb"] == "suspend"
            and not ("source" in one["selector"] and set(one["selector"]) <= {"source", "provider"})
            and all(own[name] == value for name, value in one["selector"].items())
            for one in self.world.orders
        )


@pytest.mark.parametrize("seed", range(int(os.environ.get("PENSTOCK_STORIES", "12"))))
def test_everything_waits_for_what_is_said_and_leaves_in_the_end(seed: int) -> None:
    met = run_virtual(Story(seed).play(), VirtualClock(1000.0))
    assert met, "something was waited for"
