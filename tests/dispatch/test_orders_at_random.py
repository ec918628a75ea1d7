"""Any orders, given and cancelled at any time over any mail, against a model of what they mean.

The model knows no lanes, sites or rules: only which mail was sent, when each order held, and what
selectors say. Whatever happens, nothing is attempted while an order holds it, every message ends
exactly once, and what was bounced had an order that named it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.mail.outcome import Kind
from penstock.sim.clock import VirtualClock, run_virtual
from penstock.sim.relay import LATER, OK, RelayWorld, destination, loaded
from penstock_queue import QueueConfig

SOURCES = """\
[source.s1]
ipv4 = "192.0.2.1"
[source.s2]
ipv4 = "192.0.2.2"
[source.s3]
ipv4 = "192.0.2.3"
[pool.default]
sources = { s1 = 2, s2 = 1 }
[pool.warm]
sources = ["s3"]
"""
LIMITS = """\
[limits]
connections = 2
message_rate = "3/s burst 2"
retry_initial_s = "20s"
retry_factor = 1
"""
DOMAINS = {"a.example": "gmail", "b.example": "gmail", "c.example": "other"}
VALUES = {
    "tenant": ("acme", "shop"),
    "campaign": ("spring",),
    "domain": tuple(DOMAINS),
    "provider": ("gmail", "other"),
    "class": ("bulk", "triggered"),
    "pool": ("warm", "default"),
}
LATENCY_S = 0.1
ROUNDING_S = 0.001


@dataclass
class Mail:
    """What the model knows of a message."""

    fields: dict[str, str]
    at: float


@dataclass
class Order:
    """When it held; ``before`` 0: for what comes, too."""

    verb: str
    selector: dict[str, str]
    begun: float
    before: float = 0.0
    ended: float = field(default=float("inf"))

    def names(self, mail: Mail) -> bool:
        return all(mail.fields[name] == value for name, value in self.selector.items())


selectors = st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: st.sampled_from(VALUES[name]) for name in names})
)
mails = st.tuples(
    st.integers(1, 12),
    st.fixed_dictionaries(
        {
            "tenant": st.sampled_from(["acme", "shop", ""]),
            "campaign": st.sampled_from(["spring", ""]),
            "domain": st.sampled_from(sorted(DOMAINS)),
            "class": st.sampled_from(["bulk", "triggered"]),
            "pool": st.sampled_from(["warm", "default"]),
        }
    ),
)
steps = st.lists(
    st.one_of(
        mails,
        st.tuples(st.sampled_from(["suspend", "bounce", "lasting", "reroute"]), selectors),
        st.integers(0, 5),
        st.floats(0.01, 30, allow_nan=False),
        st.just("restart"),
    ),
    min_size=3,
    max_size=25,
)


class Play:
    """One run: the world, and the model beside it."""

    def __init__(self, cached: bool) -> None:
        self.queue = QueueConfig() if cached else QueueConfig(cache_bytes=1)
        self.mail: dict[str, Mail] = {}
        self.orders: list[Order] = []
        self.rows: list[dict[str, Any]] = []
        self.begun: list[tuple[float, str]] = []
        self.bounced: list[tuple[float, str]] = []
        self.delivered: list[str] = []
        self.refused: set[str] = set()
        self.world = self._world(None, 0.0)

    def _world(self, disk: Any, jump: float) -> RelayWorld:
        policies = loaded(LIMITS, sources=SOURCES)
        world = RelayWorld(policies, disk=disk, queue=self.queue, jump=jump)
        world.latency_s = LATENCY_S
        for domain, provider in DOMAINS.items():
            world.destinations[domain] = destination(domain, provider=provider)
        world.answer = self._answer
        return world

    def _answer(self, tx: Any, one: str) -> Any:
        self.begun.append((self.world.loop.time() - LATENCY_S, one))
        if one.endswith("7@" + one.partition("@")[2]) and one not in self.refused:
            self.refused.add(one)
            return LATER
        self.delivered.append(one)
        return OK

    async def run(self, script: list[Any]) -> None:
        for step in script:
            await self._step(step)
        for order in self.orders:
            order.ended = min(order.ended, self.world.loop.time())
        await self.world.obey([])
        await self.world.pass_time(300)
        self._gather()
        assert self.world.entries == 0
        await self.world.close()

    async def _step(self, step: Any) -> None:
        world = self.world
        if step == "restart":
            await world.pass_time(1)  # nothing is under way in the model's sense when it stops
            self._gather()
            jump = world.now() - 1_800_000_000.0
            await world.close()
            self.world = self._world(world.disk, jump)
            await self.world.obey(self.rows)
        elif isinstance(step, float):
            await world.pass_time(step)
        elif isinstance(step, int):
            await self._cancel(step)
        elif isinstance(step[0], int):
            await self._send(*step)
        else:
            await self._order(*step)

    async def _send(self, count: int, fields: dict[str, str]) -> None:
        for _ in range(count):
            name = f"u{len(self.mail)}@{fields['domain']}"
            known = {**fields, "provider": DOMAINS[fields["domain"]]}
            self.mail[name] = Mail(known, self.world.loop.time())
            await self.world.send(
                name,
                sender="",
                tenant=fields["tenant"],
                campaign=fields["campaign"],
                class_=fields["class"],
                pool=fields["pool"],
            )

    async def _order(self, verb: str, selector: dict[str, str]) -> None:
        world, args = self.world, {}
        await world.pass_time(0.01)
        now = world.loop.time()
        if verb == "bounce":
            args = {"before": world.now()}
        elif verb == "reroute":
            args = {"pool": "warm"}
        self.orders.append(Order(verb, selector, now, now if verb == "bounce" else 0.0))
        self.rows.append(
            {
                "id": f"o{len(self.orders)}",
                "verb": "bounce" if verb == "lasting" else verb,
                "selector": selector,
                "since": world.now(),
                "until": world.now() + 1e6 if verb == "lasting" else 0.0,
                "args": args,
            }
        )
        await world.obey(list(self.rows))
        await world.pass_time(0.01)

    async def _cancel(self, number: int) -> None:
        if not self.rows:
            return
        row = self.rows.pop(number % len(self.rows))
        await self.world.pass_time(0.01)
        order = self.orders[int(row["id"][1:]) - 1]
        order.ended = self.world.loop.time()
        await self.world.obey(list(self.rows))

    def _gather(self) -> None:
        for one in self.world.attempts:
            if one.outcome.kind is Kind.BOUNCED:
                at = one.at - self.world.offset
                self.bounced.append((at, one.recipient))

    # the verdict

    def judge(self) -> int:
        """How much mail has ended, all of it as its orders would have it."""
        ended = [*self.delivered, *(name for _, name in self.bounced)]
        assert sorted(ended) == sorted(self.mail), "each ends exactly once"
        holding = [one for one in self.orders if one.verb != "reroute"]
        for at, name in self.begun:
            for order in holding:
                if order.begun < at < order.ended:
                    assert not order.names(self.mail[name]), f"{name} attempted during {order}"
        for at, name in self.bounced:
            mail = self.mail[name]
            assert any(
                order.names(mail)
                and order.begun - ROUNDING_S <= at <= order.ended + ROUNDING_S
                and (order.verb == "lasting" or mail.at <= order.before)
                for order in self.orders
                if order.verb in ("bounce", "lasting")
            ), f"{name} bounced without an order"
        return len(ended)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(script=steps, cached=st.booleans())
def test_any_orders_at_any_time(script: list[Any], cached: bool) -> None:
    async def scenario() -> None:
        play = Play(cached)
        await play.run(script)
        assert play.judge() == len(play.mail)

    run_virtual(scenario(), VirtualClock(1000.0))
