"""A reply that delivers nothing is read when it comes: rules may overrule its first digit."""

from __future__ import annotations

from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.mail.verdict import Category
from penstock.policy.load import load_policies
from penstock.policy.policies import Policies
from penstock.sim.relay import RelayWorld
from penstock.smtp.reply import Reply

RULES = """\
provider = "any"
[[rule]]
name = "gone"
category = "bad-mailbox"
match = 'no such user'
matches = ["550 no such user"]
[[rule]]
name = "later"
category = "system"
match = 'disk trouble'
action = "retry"
matches = ["554 disk trouble"]
[[rule]]
name = "never"
category = "policy"
match = 'go away'
action = "bounce"
matches = ["450 go away"]
"""


def policies(text: str = RULES) -> Policies:
    loaded = load_policies({"replies/generic.toml": text})
    assert isinstance(loaded, Policies), "\n".join(map(str, loaded))
    return loaded


def answer(kind: Kind, text: str) -> Outcome:
    return Outcome(kind, Phase.RCPT, Reply.of(int(text[:3]), text[4:]), "mx.a.example")


def test_each_refusal_has_a_verdict_and_a_delivery_has_none(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(policies())
        said = {
            "gone@a.example": answer(Kind.BOUNCED, "550 5.7.1 No such user"),
            "code@a.example": answer(Kind.BOUNCED, "552 5.2.2 hm"),
            "odd@a.example": answer(Kind.BOUNCED, "550 hm 4711"),
        }
        delivered = world.answer
        world.answer = lambda tx, one: said.get(one) or delivered(tx, one)
        for recipient in (*said, "ann@a.example"):
            await world.send(recipient)
        await world.pass_time(5)
        verdicts = {one.recipient: one.verdict for one in world.attempts}
        assert verdicts.pop("ann@a.example") is None
        assert {
            name: (one.category, one.rule, one.suppress)
            for name, one in verdicts.items()
            if one is not None and name in said
        } == {
            "gone@a.example": (Category.BAD_MAILBOX, "generic/gone", True),
            "code@a.example": (Category.MAILBOX_FULL, "", False),
            "odd@a.example": (Category.UNKNOWN, "", False),
        }
        assert world.reading.rows() == [
            {"provider": "", "reply": "552 5.2.2 hm", "category": "mailbox-full", "count": 1},
            {"provider": "", "reply": "550 hm N", "category": "unknown", "count": 1},
        ]
        await world.close()

    play(scenario)


GREY = """\
provider = "any"
[[rule]]
name = "greylisted"
category = "greylisted"
match = 'greylist'
matches = ["451 greylisted"]
"""
LIMITS = '[limits]\nretry_initial_s = "20m"\n{}\n'


def grey_world(more: str = "") -> RelayWorld:
    loaded = load_policies({"replies/generic.toml": GREY, "default.toml": LIMITS.format(more)})
    assert isinstance(loaded, Policies), "\n".join(map(str, loaded))
    return RelayWorld(loaded)


def test_what_is_greylisted_comes_back_in_time_and_never_early(play) -> None:
    async def scenario() -> None:
        world = grey_world()
        world.answer = lambda tx, one: answer(
            Kind.DEFERRED,
            "451 4.7.1 Greylisted for 90 seconds" if one.startswith("s") else "451 Greylisted",
        )
        stated = [await world.send(f"s{n}@a.example") for n in range(20)]
        unstated = [await world.send(f"u{n}@a.example") for n in range(20)]
        await world.pass_time(5)
        now = world.now()
        waits = [world.spool.due(ref) - now for ref in stated]
        assert all(85 <= wait <= 90 * 1.2 + 1 for wait in waits), waits
        waits = [world.spool.due(ref) - now for ref in unstated]
        assert all(295 <= wait <= 300 * 1.2 + 1 for wait in waits), waits
        assert len(set(waits)) > 5, "not all at once"
        await world.pass_time(400)
        now = world.now()
        late = [one for one in unstated if world.spool.attempts(one) == 2]
        assert late
        assert all(world.spool.due(ref) - now > 500 for ref in late), "twice as long"
        await world.close()

    play(scenario)


def test_a_host_that_asks_for_a_second_again_and_again_is_not_asked_every_second(play) -> None:
    async def scenario() -> None:
        world = grey_world()
        world.answer = lambda tx, one: answer(Kind.DEFERRED, "451 Greylisted for 1 second")
        ref = await world.send("a@a.example")
        await world.pass_time(3600)
        assert 5 <= world.spool.attempts(ref) <= 13, "twice as long each time"
        await world.close()

    play(scenario)


def test_greylisting_does_not_make_a_retry_later(play) -> None:
    async def scenario() -> None:
        world = grey_world('greylist_retry_s = "1h"')
        world.answer = lambda tx, one: answer(Kind.DEFERRED, "451 Greylisted")
        ref = await world.send("a@a.example")
        await world.pass_time(5)
        assert world.spool.due(ref) - world.now() <= 1200 * 1.2
        await world.close()

    play(scenario)


def test_retry_and_bounce_are_stronger_than_the_first_digit(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(policies())
        said = {
            "later@a.example": answer(Kind.BOUNCED, "554 Disk trouble"),
            "never@a.example": answer(Kind.DEFERRED, "450 Go away"),
        }
        world.answer = lambda tx, one: said[one]
        later = await world.send("later@a.example", sender="")
        never = await world.send("never@a.example", sender="")
        await world.pass_time(5)
        assert {one.recipient: one.outcome.kind for one in world.attempts} == {
            "later@a.example": Kind.DEFERRED,
            "never@a.example": Kind.BOUNCED,
        }
        assert world.spool.exists(later)
        assert not world.spool.exists(never)
        told = await world.explainer.message(later)
        assert told is not None
        assert told[0]["reason"] == "retry"
        assert told[0]["last_replies"] == [
            {
                "reply": "554 Disk trouble",
                "host": "mx.a.example",
                "category": "system",
                "fault": "remote",
                "rule": "generic/later",
            }
        ]
        await world.close()

    play(scenario)


def test_what_never_came_to_a_conversation_is_a_matter_of_the_network(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(policies(RULES.replace("no such user", "timed out")))
        world.refuse_connect = Outcome(
            Kind.DEFERRED, Phase.CONNECT, Reply.of(451, "4.4.1 Connection timed out")
        )
        await world.send("ann@a.example")
        await world.pass_time(5)
        (first, *_) = world.attempts
        assert first.verdict is not None
        assert (first.verdict.category, first.verdict.rule) == (Category.NETWORK, "")
        assert world.reading.rows() == []
        await world.close()

    play(scenario)


def test_what_is_given_up_says_so(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(policies())
        world.answer = lambda tx, one: answer(Kind.DEFERRED, "450 hm")
        await world.send("ann@a.example", sender="", expires_s=30.0)
        await world.pass_time(60)
        verdicts = [one.verdict for one in world.attempts]
        assert verdicts[0] is not None
        assert verdicts[-1] is not None
        assert verdicts[0].category is Category.UNKNOWN
        assert verdicts[-1].category is Category.EXPIRED
        await world.close()

    play(scenario)


def test_new_rules_hold_from_the_next_reply_on_and_the_count_begins_anew(play) -> None:
    async def scenario() -> None:
        world = RelayWorld(policies())
        world.answer = lambda tx, one: answer(Kind.BOUNCED, "550 hm")
        await world.send("ann@a.example", sender="")
        await world.pass_time(5)
        assert [row["count"] for row in world.reading.rows()] == [1]
        world.reading.reload(policies().replies)
        assert [row["count"] for row in world.reading.rows()] == [1]
        world.reading.reload(policies(RULES.replace("no such user", "hm")).replies)
        await world.send("bob@a.example", sender="")
        await world.pass_time(5)
        assert [one.verdict.rule for one in world.attempts if one.verdict] == ["", "generic/gone"]
        assert world.reading.rows() == []
        await world.close()

    play(scenario)
