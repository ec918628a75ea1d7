"""When a reply rule fires, for how long, and what it then holds."""

from __future__ import annotations

import json

from penstock.daemon.reactions import Reactions
from penstock.mail.verdict import Category
from penstock.policy.limits import Provenance
from penstock.policy.rate import Rate
from penstock.policy.replies import ReplyRule
from penstock.schedule.pace import Pace

PAIR = ("out1", "gmail")
HOUR_S = 3600.0


def rule(action: str, **more: object) -> ReplyRule:
    place = Provenance("policies/replies/gmail.toml", 7)
    return ReplyRule("gmail", "r", Category.THROTTLED, action=action, at=place, **more)  # type: ignore[arg-type]


def test_without_a_threshold_the_first_reply_is_enough() -> None:
    assert Reactions().heard(rule("suspend"), PAIR, "", 1, 0.0)


def test_a_threshold_counts_within_its_time() -> None:
    three = rule("suspend", threshold=Rate.parse("3/h"))
    reactions = Reactions()
    assert not reactions.heard(three, PAIR, "", 2, 0.0)
    assert not reactions.heard(three, PAIR, "", 1, HOUR_S + 1)  # the first two are too old
    assert not reactions.heard(three, ("out2", "gmail"), "", 2, HOUR_S + 2)  # another source's
    assert not reactions.heard(three, PAIR, "shop", 2, HOUR_S + 2)  # another tenant's
    assert reactions.heard(three, PAIR, "", 2, HOUR_S + 3)


def test_it_lasts_for_its_time_and_doubles_when_it_comes_again_soon() -> None:
    hold = rule("suspend", for_s=600.0, for_max_s=1500.0)
    reactions = Reactions()
    first = reactions.fire(hold, PAIR, "", 4, 0.0)
    assert first.until == 600.0
    assert not reactions.heard(hold, PAIR, "", 50, 599.0)
    assert reactions.heard(hold, PAIR, "", 1, 600.0)
    assert reactions.fire(hold, PAIR, "", 4, 700.0).for_s == 1200.0
    assert reactions.fire(hold, PAIR, "", 4, 1901.0).for_s == 1500.0  # no longer than it may
    assert reactions.fire(hold, PAIR, "", 4, 9000.0).for_s == 600.0  # forgotten long ago


def test_what_it_holds() -> None:
    reactions = Reactions()
    reactions.fire(rule("slow", to=Rate.parse("10/min"), for_s=60.0), PAIR, "", 4, 0.0)
    [pace] = reactions.paces(1.0)[PAIR]
    assert pace == Pace(1 / 6, None, 0.0, "gmail/r (policies/replies/gmail.toml:7): slow")
    assert reactions.paces(60.0) == {}
    reactions.fire(rule("fewer-connections", for_s=60.0), PAIR, "", 9, 100.0)
    assert reactions.paces(101.0)[PAIR][0].connections == 4
    reactions.fire(rule("suspend", for_s=60.0), PAIR, "", 9, 900.0)
    assert reactions.paces(901.0)[PAIR][0].not_before == 960.0


def test_orders_on_mail_name_what_the_reply_was_about() -> None:
    fire = Reactions().fire
    assert fire(rule("suspend-tenant"), PAIR, "shop", 1, 0.0).selector() == {
        "tenant": "shop",
        "provider": "gmail",
    }
    assert fire(rule("suspend-campaign"), PAIR, "shop/may", 1, 0.0).selector() == {
        "tenant": "shop",
        "provider": "gmail",
        "campaign": "may",
    }
    assert fire(rule("other-source"), PAIR, "", 1, 0.0).selector() == {
        "source": "out1",
        "provider": "gmail",
    }


def test_it_comes_back_from_json_as_it_was() -> None:
    hold = rule("suspend", for_s=600.0)
    before, after = Reactions(), Reactions()
    before.fire(hold, PAIR, "", 4, 0.0)
    after.load(json.loads(json.dumps(before.to_list())))
    assert after.paces(1.0) == before.paces(1.0)
    assert after.fire(hold, PAIR, "", 4, 700.0).for_s == 1200.0


def test_it_is_bounded_and_forgets() -> None:
    counted = rule("suspend", threshold=Rate.parse("3/h"))
    reactions = Reactions(heard_max=5)
    for n in range(20):
        reactions.heard(counted, PAIR, str(n), 1, 0.0)
        reactions.fire(rule("suspend", for_s=60.0), PAIR, str(n), 1, 0.0)
    assert len(reactions._heard) == len(reactions) == 5
    reactions.forget(119.0)
    assert len(reactions) == 5
    reactions.forget(120.0)
    assert len(reactions) == 0
