"""What is counted by reason is what would be explained, delivery by delivery."""

from __future__ import annotations

import pathlib
from collections import Counter

from penstock.cli_explain import ADVICE
from penstock.mail.waits import BY_FIELD, TEXTS, Wait
from penstock.policy.caps import CAP_FIELDS
from penstock.relay.census import Census
from penstock.sim.relay import LATER, OK, REFUSED, RelayWorld, Slowly, loaded
from penstock_queue import QueueConfig

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "deliverability.md"
TENANTS = """\
[tenant.slow]
message_rate = "1/h"
[tenant.nights]
window = "daily 22:00-23:00 UTC"
"""


def counted(world: RelayWorld) -> dict[Wait, int]:
    census = Census(world.dispatcher, world.settler, world.explainer, world.spool)
    while not any(census.counts.values()):
        census.look()
    return {wait: count for wait, count in census.counts.items() if count}


def explained(world: RelayWorld) -> dict[Wait, int]:
    return dict(Counter(world.explainer.reason(ref)[0].wait for ref in world.spool.refs()))


def test_the_counts_are_those_of_the_explanations(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded('[limits]\nretry_initial_s = "1h"\n', tenants=TENANTS))
        world.answer = lambda tx, one: LATER if one.startswith("grey") else OK
        await world.order("suspend", {"tenant": "held"})
        for n in range(7):
            await world.send(f"slow{n}@a.example", tenant="slow")
            await world.send(f"night{n}@b.example", f"late{n}@a.example", tenant="nights")
            await world.send(f"held{n}@a.example", tenant="held")
            await world.send(f"grey{n}@a.example")
            await world.send(f"later{n}@c.example", due=world.now() + 5000)
        await world.pass_time(30)
        counts = counted(world)
        assert counts == explained(world)
        assert counts == {
            Wait.MESSAGE_RATE: 6,
            Wait.WINDOW: 14,
            Wait.SUSPENDED: 7,
            Wait.RETRY: 7,
            Wait.SCHEDULED: 7,
        }
        world.refuse_connect = REFUSED
        for n in range(5):
            await world.send(f"dead{n}@d.example")
        await world.pass_time(3)
        counts = counted(world)
        assert counts == explained(world)
        assert (counts[Wait.UNREACHABLE], counts[Wait.RETRY]) == (4, 8)
        await world.close()

    play(scenario)


def test_what_is_read_or_being_read_is_counted(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(loaded("[limits]\nconnections = 1\n"), queue=QueueConfig(cache_bytes=1))
        world.loop.set_default_executor(Slowly(1.0))
        world.latency_s = 20.0
        for n in range(10):
            await world.send(f"p{n}@a.example")
        await world.pass_time(0.5)
        assert sum(counted(world).values()) == 10
        await world.pass_time(2)
        assert counted(world) == {Wait.IN_FLIGHT: 1, Wait.CONNECTION_LIMIT: 9}
        await world.pass_time(400)
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_every_word_is_explained_advised_on_and_documented() -> None:
    assert set(TEXTS) == set(Wait)
    assert set(ADVICE) == {wait.value for wait in Wait}
    assert set(BY_FIELD) == set(CAP_FIELDS)
    text = DOCS.read_text(encoding="utf-8")
    assert [f"`{wait.value}`" for wait in Wait if f"| `{wait.value}` |" not in text] == []
