"""Every outcome is one event, with what it means and what becomes of it now."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

from penstock.events import making
from penstock.events.no_journal import NoJournal
from penstock.events.records import OfDelivery
from penstock.events.types import Attempt
from penstock.mail.envelope import Envelope, Recipient, id_text
from penstock.sim.relay import LATER, NEVER, OK, RelayWorld, loaded
from penstock_queue import SimDisk

QUICK = '[limits]\nretry_initial_s = "1m"\nretry_factor = 1.0\nretry_jitter = 0.0\n'


class Heard(NoJournal):
    """Keeps what it is told, as events; a retry's time as seconds since the epoch."""

    def __init__(self) -> None:
        self.events: list[OfDelivery] = []
        self.retries: list[float] = []

    def attempt(
        self, attempt: Attempt, envelope: Envelope, *, retry_at: float = 0.0, expired: bool = False
    ) -> None:
        said = making.as_said(envelope)
        made = making.outcome("", "", attempt, envelope, said, str(retry_at or ""), expired)
        self.events.append(made)
        self.retries.append(retry_at)

    def cancelled(self, attempt: Attempt, envelope: Envelope, by: str) -> None:
        self.events.append(
            making.cancelled("", "", attempt, envelope, making.as_said(envelope), by)
        )

    def accepted(self, messages: Sequence[tuple[Envelope, int]]) -> None:
        raise AssertionError("nobody takes mail in here")

    def kinds(self) -> list[tuple[str, str]]:
        return [(str(one.__struct_config__.tag), one.recipient) for one in self.events]


def world(heard: Heard, text: str = QUICK, **more: Any) -> RelayWorld:
    return RelayWorld(loaded(text), recorder=heard, **more)


def test_a_delivery_is_told_with_all_that_is_known_of_it(play) -> None:
    async def scenario() -> None:
        heard = Heard()
        relay = world(heard)
        ref = await relay.send("a@a.example", tenant="shop", campaign="may", class_="bulk")
        await relay.pass_time(5)
        [event] = heard.events
        assert heard.kinds() == [("delivered", "a@a.example")]
        assert event.message == id_text(ref)
        assert (event.tenant, event.campaign, event.class_) == ("shop", "may", "bulk")
        assert (event.attempt, event.code, event.site) == (1, OK.reply.code, "a.example")
        assert (event.source, event.sender) == ("default", "app@example.org")
        assert event.category == event.fault == ""
        await relay.close()

    play(scenario)


def test_a_deferral_says_when_it_is_tried_again(play) -> None:
    async def scenario() -> None:
        heard = Heard()
        relay = world(heard)
        answers = [LATER, OK]
        relay.answer = lambda tx, one: answers.pop(0)
        await relay.send("a@a.example")
        await relay.pass_time(1)
        assert heard.kinds() == [("deferred", "a@a.example")]
        assert 50 < heard.retries[0] - relay.now() < 70
        assert heard.events[0].category
        await relay.pass_time(70)
        assert heard.kinds()[1:] == [("delivered", "a@a.example")]
        assert heard.events[1].attempt == 2
        await relay.close()

    play(scenario)


def test_a_bounce_is_told_once_its_report_is_on_disk(play) -> None:
    async def scenario() -> None:
        heard, disk = Heard(), SimDisk()
        relay = world(heard, disk=disk)
        relay.answer = lambda tx, one: NEVER if one == "gone@a.example" else OK
        disk_fails = await relay.send("gone@a.example")
        disk.failing["write"] = errno.EIO
        await relay.pass_time(10)
        assert heard.kinds() == [("deferred", "gone@a.example")]  # it is tried again
        assert heard.retries[0] > relay.now()
        disk.failing.clear()
        await relay.pass_time(120)
        assert heard.kinds() == [
            ("deferred", "gone@a.example"),
            ("bounced", "gone@a.example"),
            ("delivered", "app@example.org"),
        ]
        assert heard.events[1].message == id_text(disk_fails)
        assert heard.events[1].code == NEVER.reply.code
        await relay.close()

    play(scenario)


def test_what_is_taken_back_is_no_attempt_and_no_bounce(play) -> None:
    async def scenario() -> None:
        heard = Heard()
        relay = world(heard)
        relay.answer = lambda tx, one: LATER
        ref = await relay.send("a@a.example", tenant="shop")
        await relay.pass_time(1)
        assert await relay.steering.cancel(ref, "other", "bob") is None
        done = await relay.steering.cancel(ref, "shop", "bob")
        assert done == {"cancelled": ["a@a.example"], "under_way": []}
        await relay.pass_time(200)
        assert heard.kinds() == [("deferred", "a@a.example"), ("cancelled", "a@a.example")]
        event = heard.events[1]
        assert (event.by, event.attempt, event.code, event.reply) == ("bob", 1, 0, "")
        assert (event.tenant, event.message) == ("shop", id_text(ref))
        assert relay.entries == 0
        await relay.close()

    play(scenario)


def test_what_grows_too_old_expires_and_is_not_deferred_too(play) -> None:
    async def scenario() -> None:
        heard = Heard()
        relay = world(heard, f'{QUICK}max_age_s = "90s"\n')
        relay.answer = lambda tx, one: LATER if one == "a@a.example" else OK
        await relay.send("a@a.example")
        await relay.pass_time(200)
        kinds = [kind for kind, who in heard.kinds() if who == "a@a.example"]
        assert kinds[-1] == "expired"
        assert kinds.count("expired") == 1
        assert set(kinds[:-1]) == {"deferred"}
        last = next(one for one in heard.events if one.__struct_config__.tag == "expired")
        assert (last.category, last.code) == ("expired", LATER.reply.code)
        await relay.close()

    play(scenario)


def test_each_recipient_has_its_own(play) -> None:
    async def scenario() -> None:
        heard = Heard()
        relay = world(heard)
        relay.answer = lambda tx, one: NEVER if one == "b@a.example" else OK
        await relay.send(
            "a@a.example", Recipient("b@a.example", ("NEVER",)), "c@a.example", sender=""
        )
        await relay.pass_time(5)
        assert sorted(heard.kinds()) == [
            ("bounced", "b@a.example"),
            ("delivered", "a@a.example"),
            ("delivered", "c@a.example"),
        ]
        assert len({one.message for one in heard.events}) == 1
        await relay.close()

    play(scenario)


def test_what_an_operator_bounces_is_told_too(play) -> None:
    async def scenario() -> None:
        heard = Heard()
        relay = world(heard)
        relay.answer = lambda tx, one: LATER
        await relay.send("a@a.example", tenant="shop")
        await relay.pass_time(1)
        await relay.order("bounce", {"tenant": "shop"}, reason="a mistake")
        await relay.pass_time(5)
        assert heard.kinds()[-1] == ("bounced", "a@a.example")
        assert "a mistake" in heard.events[-1].reply
        await relay.close()

    play(scenario)
