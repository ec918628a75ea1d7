"""An address that came on the list after its mail was accepted: no mail to it, and no report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.events import records
from penstock.relay.screening import Screening
from penstock.sim.relay import LATER, RelayWorld
from penstock.suppression.decide import SuppressionRules
from penstock.suppression.entry import Entry
from penstock.suppression.screen import Ports, Screen


class Listed:
    """A list in memory, and a relay that asks it."""

    def __init__(self, world: RelayWorld, fresh_s: float = 0.0) -> None:
        self.world, self.entries_ = world, dict[str, Entry]()
        self.told: list[records.Suppressed] = []
        ports = Ports(
            class_of=lambda tenant, class_: class_ or "triggered",
            now=world.now,
            write=self._write,
        )
        screen = Screen(lambda: self, ports, SuppressionRules())  # type: ignore[arg-type, return-value]
        screening = Screening(screen, world.spool, world.now, fresh_s)
        world.dispatcher.stager.sift = screening.sift
        world.explainer.suppressed = screening.why
        self.entries_then = 0

    def _write(self, make: Any, **fields: Any) -> None:
        self.told.append(make(id="1", at="x", **fields))
        self.entries_then = self.world.entries  # the event comes before the settlement

    def entries(self, address: str, tenant: str) -> Sequence[Entry]:
        found = self.entries_.get(address)
        return [found] if found is not None and found.tenant in ("", tenant) else []

    def add(self, address: str, **more: Any) -> None:
        self.entries_[address] = Entry(address, **more)


def test_it_is_given_up_in_place_of_being_sent(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        listed = Listed(world)
        listed.add("no@a.example", reason="complaint", cause="e1")
        await world.send("no@a.example")
        await world.send("yes@a.example")
        await world.pass_time(5)
        assert world.recipients() == ["yes@a.example"]
        assert world.entries == 0  # neither it nor a report on it
        (event,) = listed.told
        assert (event.recipient, event.stage, event.reason, event.cause) == (
            "no@a.example",
            "delivery",
            "complaint",
            "e1",
        )
        assert event.message
        assert listed.entries_then > 0
        await world.close()

    play(scenario)


def test_the_others_of_its_message_get_it(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        listed = Listed(world)
        listed.add("no@a.example")
        listed.add("nor@a.example")
        await world.send("a@a.example", "no@a.example", "b@a.example", "nor@a.example")
        await world.pass_time(5)
        assert sorted(world.recipients()) == ["a@a.example", "b@a.example"]
        assert world.entries == 0
        assert len(listed.told) == 2
        await world.close()

    play(scenario)


def test_it_came_on_the_list_while_it_waited(play) -> None:
    """Read back from disk, after a deferral."""

    async def scenario() -> None:
        world = RelayWorld()
        listed = Listed(world)
        world.answer = lambda tx, one: LATER
        ref = await world.send("no@a.example")
        await world.pass_time(5)
        assert world.entries == 1
        (before,) = await world.explainer.message(ref)
        assert before["suppressed"] is None
        listed.add("no@a.example", reason="unsubscribe", since=1.5e9)
        (found,) = await world.explainer.message(ref)
        assert found["suppressed"]["reason"] == "unsubscribe"
        assert found["suppressed"]["since"] == "2017-07-14T02:40:00Z"
        attempts = len(world.attempts)
        await world.pass_time(86400)
        assert world.entries == 0
        assert len(world.attempts) == attempts
        assert len(listed.told) == 1
        await world.close()

    play(scenario)


def test_a_site_full_of_them_keeps_nothing_waiting(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        listed = Listed(world)
        for number in range(300):
            address = f"u{number}@a.example"
            if number % 10:
                listed.add(address)
            await world.send(address)
        await world.pass_time(60)
        assert len(world.recipients()) == 30
        assert world.entries == 0
        assert len(listed.told) == 270
        assert world.dispatcher.in_flight == set()
        await world.close()

    play(scenario)


def test_what_intake_asked_a_moment_ago_is_not_asked_again(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        listed = Listed(world, fresh_s=1.0)
        listed.add("no@a.example")
        await world.send("no@a.example", sender="app@shop.example")
        await world.send("no@a.example", sender="")  # a report of our own never came in
        await world.pass_time(5)
        assert world.recipients() == ["no@a.example"]
        assert len(listed.told) == 1
        await world.close()

    play(scenario)
