"""``top``: the rows of the workers added up, with the operations that concern each."""

from __future__ import annotations

from penstock.daemon.steer import Steer
from penstock.daemon.top import Top


def row(provider: str, source: str, **more):
    figures = dict.fromkeys(
        ("queued", "ready", "in_flight", "delivered_60", "deferred_60", "bounced_60"), 0
    )
    limit = {"limit_per_s": None, "limit_where": ""}
    return {"provider": provider, "source": source, **figures, **limit, "replies": [], **more}


async def test_rows_are_added_up_by_provider_and_source(owner) -> None:
    first, second = owner.children
    first.answers["top"] = {
        "rows": [
            row("gmail", "s1", queued=10, ready=4, in_flight=1, delivered_60=50, deferred_60=10)
            | {"rate_per_s": 2.0, "limit_per_s": 5.0, "limit_where": "policies/gmail.toml:3"}
            | {"replies": [[3, "421 slow down"], [1, "450 greylisted"]]},
            row("gmail", "s2", queued=1),
        ]
    }
    second.answers["top"] = {
        "rows": [
            row("gmail", "s1", queued=5, ready=1, in_flight=2, delivered_60=20, bounced_60=20)
            | {"rate_per_s": 0.5, "limit_per_s": 5.0, "limit_where": "policies/gmail.toml:3"}
            | {"replies": [[9, "550 no user"], [2, "450 greylisted"], [1, "452 full"]]},
            row("", "s1", delivered_60=60),
        ]
    }
    answer = await Top(owner.children, Steer(owner)).top({})
    other, gmail, idle = answer["rows"]
    assert (gmail["provider"], gmail["source"]) == ("gmail", "s1")
    assert (gmail["queued"], gmail["ready"], gmail["in_flight"]) == (15, 5, 3)
    assert (gmail["delivered_60"], gmail["deferred_60"], gmail["bounced_60"]) == (70, 10, 20)
    assert gmail["rate_per_s"] == 2.5
    assert (gmail["limit_per_s"], gmail["limit_where"]) == (5.0, "policies/gmail.toml:3")
    assert gmail["deferral_share"] == 0.1
    assert gmail["replies"] == [[9, "550 no user"], [3, "421 slow down"], [3, "450 greylisted"]]
    assert (other["provider"], other["rate_per_s"]) == ("", 1.0)
    assert (idle["source"], idle["deferral_share"], idle["limit_per_s"]) == ("s2", None, None)


async def test_operations_stand_at_the_rows_that_they_name(owner) -> None:
    steer = Steer(owner)
    for selector in ({"provider": "gmail"}, {"tenant": "t"}, {"provider": "gmail", "tenant": "t"}):
        await steer.begin("suspend", {"selector": selector, "duration_s": 60})
    await steer.begin("bounce", {"selector": {"source": "default"}})
    await steer.begin("suspend", {"selector": {"provider": "gmail", "source": "default"}})
    for worker in owner.children:
        worker.answers["top"] = {"rows": [row("gmail", "default"), row("gmail", "s2"), row("", "")]}
    answer = await Top(owner.children, steer).top({})
    assert [(r["source"], r["operations"]) for r in answer["rows"]] == [
        ("", []),
        ("default", ["s1", "s3", "b4", "s5"]),
        ("s2", ["s1", "s3"]),
    ]
    assert [one["id"] for one in answer["operations"]] == ["s1", "s2", "s3", "b4", "s5"]


async def test_a_worker_that_is_away_does_not_hide_the_others(owner) -> None:
    owner.children[0].answers["top"] = {"rows": [row("gmail", "s1", queued=3)]}
    owner.children[1].answers["top"] = ConnectionError("worker 1 is not running")
    answer = await Top(owner.children, Steer(owner)).top({})
    assert [r["queued"] for r in answer["rows"]] == [3]
    assert answer["away"] == [1]
