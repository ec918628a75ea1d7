"""Mail for later, from the way in to its end: when it is first sent, and how long it may wait."""

from __future__ import annotations

from penstock.mail.envelope import Envelope, Recipient
from penstock.mail.record import Key, unpack_key
from penstock.sim.relay import LATER, OK, RelayWorld, loaded
from penstock.worker.sink import GateConfig, IntakeSink

HOUR_S = 3600.0
MAX_AGE_S = 2 * HOUR_S


class Intake:
    """The way in of a worker whose way out is ``world``."""

    def __init__(self, world: RelayWorld, max_age_s: float = MAX_AGE_S) -> None:
        self.world = world
        self.sink = IntakeSink(
            GateConfig(0, 0, 1 << 20, max_age_s, 5.0),
            world.spool,
            lambda: (1 << 40, 1 << 20),
            now=world.now,
            monotonic=world.loop.time,
            observe=lambda seconds: None,
            accepted=lambda messages: None,
        )

    async def take(self, recipient: str, deliver_in_s: float = 0.0, **more: float | str) -> int:
        now = self.world.now()
        envelope = Envelope("app@example.org", [Recipient(recipient)], now)
        for name, value in more.items():
            setattr(envelope, name, value)
        if deliver_in_s:
            envelope.deliver_at = now + deliver_in_s
        envelope.ref = self.sink.reserve(1)
        await self.sink.submit(envelope, [b"Subject: hello\r\n\r\nhello\r\n"])
        return envelope.ref


def test_it_is_attempted_when_its_time_has_come_and_not_before(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        intake = Intake(world)
        await intake.take("later@a.example", 3 * HOUR_S)
        await intake.take("now@a.example")
        await intake.take("past@a.example", -HOUR_S)
        await world.pass_time(3 * HOUR_S - 2)
        assert sorted(world.recipients()) == ["now@a.example", "past@a.example"]
        await world.pass_time(4)
        assert world.recipients()[-1] == "later@a.example"
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_its_age_counts_from_that_time(play) -> None:
    """Else mail for the day after its maximum age would be given up when it is first deferred."""

    async def scenario() -> None:
        world = RelayWorld(loaded('[limits]\nmax_age_s = "2h"\nretry_jitter = 0.0\n'))
        intake = Intake(world)
        away = 3 * HOUR_S
        ref = await intake.take("ann@a.example", away)
        begins = world.now() + away
        assert world.spool.expires(ref) == begins + MAX_AGE_S
        world.answer = lambda tx, one: LATER
        await world.pass_time(away + 60)
        assert world.kinds() == ["deferred"]
        world.answer = lambda tx, one: OK
        await world.pass_time(1.5 * HOUR_S)
        assert world.kinds()[-1] == "delivered"
        await world.close()

    play(scenario)


def test_a_sender_hears_of_a_delay_only_when_there_is_one(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        intake = Intake(world, max_age_s=24 * HOUR_S)
        world.answer = lambda tx, one: OK if one == "app@example.org" else LATER
        envelope = Envelope(
            "app@example.org", [Recipient("ann@a.example", ("DELAY",))], world.now()
        )
        envelope.deliver_at = world.now() + 5 * HOUR_S
        envelope.ref = intake.sink.reserve(1)
        await intake.sink.submit(envelope, [b"Subject: hello\r\n\r\nhello\r\n"])
        await world.pass_time(5 * HOUR_S + 60)
        assert world.recipients() == ["ann@a.example"]
        await world.pass_time(6 * HOUR_S)
        assert "app@example.org" in world.recipients()
        await world.close()

    play(scenario)


def test_an_expiry_of_its_own_wins_within_the_maximum_age(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        intake = Intake(world)
        world.answer = lambda tx, one: LATER
        now = world.now()
        short = await intake.take("short@a.example", expires_at=now + HOUR_S)
        long = await intake.take("long@a.example", expires_at=now + 90 * HOUR_S)
        both = await intake.take("both@a.example", 5 * HOUR_S, expires_at=now + 6 * HOUR_S)
        expires = [world.spool.expires(ref) - now for ref in (short, long, both)]
        assert expires == [HOUR_S, MAX_AGE_S, 6 * HOUR_S]
        await world.pass_time(1.2 * HOUR_S)
        assert not world.spool.exists(short)
        assert world.spool.exists(long)
        await world.close()

    play(scenario)


def test_class_and_pool_are_part_of_the_queue_that_it_waits_in(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        intake = Intake(world)
        world.answer = lambda tx, one: LATER
        told = await intake.take("a@a.example", tenant="t", campaign="c", class_="bulk", pool="p")
        plain = await intake.take("b@a.example", tenant="t", campaign="c")
        keys = [unpack_key(world.spool.key_bytes(ref)) for ref in (told, plain)]
        assert keys == [Key("a.example", "t", "c", "bulk", "p"), Key("a.example", "t", "c")]
        await world.pass_time(5)
        stored = (await world.steering.listing({}, 10))["rows"]
        assert len(stored) == 2
        read = world.spool.read([told])[0]
        assert read is not None
        assert (read.envelope.class_, read.envelope.pool) == ("bulk", "p")
        await world.close()

    play(scenario)


def test_a_time_that_the_queue_believes_to_have_passed_is_now(play) -> None:
    """The queue keeps to the latest time that it was told, whatever the clock does: what is due by
    that would be in no timer, and nobody would ever send it."""

    async def scenario() -> None:
        world = RelayWorld()
        await world.send("ann@a.example", due=world.now())
        await world.send("bob@a.example", due=world.now() - 1)
        await world.pass_time(5)
        assert world.recipients() == ["ann@a.example", "bob@a.example"]
        await world.close()

    play(scenario)
