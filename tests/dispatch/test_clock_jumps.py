"""The machine's clock is set forward or back by an hour, while mail waits and after a restart."""

from __future__ import annotations

import pytest

from penstock.mail.envelope import SEQUENCE_MASK
from penstock.schedule.clock import SLEW
from penstock.sim.relay import LATER, OK, RelayWorld, loaded

HOUR = 3600.0
RETRY_S, JITTER = 1200.0, 0.2
COUNT = 100
POLICY = (
    f"[limits]\nretry_initial_s = {RETRY_S:g}\nretry_jitter = {JITTER}\n"
    'message_rate = "60/min"\nmax_age_s = "5d"\n'
)
FIRST_S = RETRY_S * (1 - JITTER) * (1 - SLEW)
LAST_S = RETRY_S * (1 + JITTER) / (1 - SLEW)


async def deferred(world: RelayWorld, count: int = COUNT) -> list[int]:
    """So many messages, each refused once; they wait for their retries."""
    world.answer = lambda tx, one: LATER
    refs = [await world.send(f"u{number}@d.example") for number in range(count)]
    while len(world.seen) < count:
        await world.pass_time(1.0)
    world.answer = lambda tx, one: OK
    return refs


def offered_between(world: RelayWorld, first: float, last: float) -> int:
    return sum(first <= at < last for at, _, _ in world.seen)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_retries_come_neither_at_once_nor_an_hour_late(play, jump) -> None:  # type: ignore[no-untyped-def]
    async def scenario() -> None:
        world = RelayWorld(loaded(POLICY))
        await deferred(world)
        jumped = world.loop.time()
        world.offset += jump
        await world.pass_time(FIRST_S - COUNT - 1)
        assert len(world.seen) == COUNT, "nothing came early"
        await world.pass_time(jumped + LAST_S + COUNT - world.loop.time())
        assert world.entries == 0
        assert len(world.seen) == 2 * COUNT, "each once more"
        for at, _, _ in world.seen:
            assert offered_between(world, at, at + 60) <= 61, "60 a minute, whatever the clock says"
        await world.close()

    play(scenario)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_new_mail_goes_at_once_and_numbers_are_never_given_twice(play, jump) -> None:  # type: ignore[no-untyped-def]
    async def scenario() -> None:
        world = RelayWorld()
        refs = [await world.send("a@d.example")]
        world.offset += jump
        for number in range(20):
            refs.append(await world.send(f"u{number}@d.example"))
        await world.pass_time(5.0)
        assert world.entries == 0
        numbers = [ref & SEQUENCE_MASK for ref in refs]
        assert numbers == sorted(set(numbers))
        await world.close()

    play(scenario)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_mail_is_given_up_at_its_age_not_at_the_clocks(play, jump) -> None:  # type: ignore[no-untyped-def]
    age_s = 1800.0

    async def scenario() -> None:
        world = RelayWorld(loaded("[limits]\nretry_initial_s = 60\nretry_max_s = 60\n"))
        world.answer = lambda tx, one: LATER
        await world.send("a@d.example", sender="", expires_s=age_s)
        await world.pass_time(1.0)
        world.offset += jump
        await world.pass_time(age_s * (1 - SLEW) - 2)
        assert world.entries == 1
        await world.pass_time(age_s / (1 - SLEW) - age_s * (1 - SLEW) + 60)
        assert world.entries == 0
        await world.close()

    play(scenario)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_after_a_restart_by_the_other_clock_all_goes_within_the_limits(play, jump) -> None:  # type: ignore[no-untyped-def]
    """The new process knows no other clock: forward, all is due at once and goes by its rate;
    back, it waits for the hour. Nothing is lost."""

    async def scenario() -> None:
        first = RelayWorld(loaded(POLICY))
        refs = await deferred(first)
        await first.close()
        second = RelayWorld(loaded(POLICY), disk=first.disk, jump=jump)
        assert second.entries == COUNT
        await second.pass_time(5.0)
        assert len(second.seen) <= 6
        fresh = await second.send("new@d.example")
        assert fresh > max(refs)
        await second.pass_time(max(0.0, -jump) + LAST_S + 2 * COUNT)
        assert second.entries == 0
        assert len(second.seen) == COUNT + 1
        for at, _, _ in second.seen:
            assert offered_between(second, at, at + 60) <= 61
        await second.close()

    play(scenario)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_addresses_are_looked_up_when_their_time_is_over_not_at_once(play, jump) -> None:  # type: ignore[no-untyped-def]
    async def scenario() -> None:
        world = RelayWorld()
        for number in range(20):
            await world.send(f"a@d{number}.example")
        await world.pass_time(2.0)
        looked_up = len(world.found)
        world.offset += jump
        for number in range(20):
            await world.send(f"b@d{number}.example")
        await world.pass_time(2.0)
        assert len(world.found) == looked_up, "good for an hour from when they were found"
        await world.pass_time(HOUR / (1 - SLEW))
        for number in range(20):
            await world.send(f"c@d{number}.example")
        await world.pass_time(2.0)
        assert len(world.found) == looked_up + 20
        assert world.entries == 0
        await world.close()

    play(scenario)
