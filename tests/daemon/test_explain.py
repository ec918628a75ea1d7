"""``explain``: what is asked of which worker, and what becomes of their answers."""

from __future__ import annotations

import pytest

from penstock.control import ControlError
from penstock.daemon.explain import EXPLANATIONS_MAX, Explain, questions
from penstock.mail.envelope import id_number

STARTING = ControlError("starting", "the worker is still starting")


def row(id: str = "3b0b", state: str = "waiting", **more):
    return {"id": id, "state": state, "position": None, "next_attempt": 0, "caps": [], **more}


def cap(key: str, field: str = "message_rate", **more):
    return {"key": key, "field": field, "used": None, "free": None, **more}


def queue(domain: str, tenant: str = "", campaign: str = "", recipient: str = ""):
    asked = {"domain": domain, "tenant": tenant, "campaign": campaign, "recipient": recipient}
    return ("explain.queue", asked)


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("Ann@Gmail.COM", [queue("gmail.com", recipient="Ann@Gmail.COM")]),
        (
            "dept/ann@x.example",
            [queue("x.example", recipient="dept/ann@x.example"), queue("dept", "ann@x.example")],
        ),
        ("Gmail.com", [queue("gmail.com")]),
        ("gmail.com/shop", [queue("gmail.com", "shop")]),
        ("gmail.com/Shop/spring/2", [queue("gmail.com", "Shop", "spring/2")]),
        ("/shop", [queue("", "shop")]),
        ("3b0b7", [("explain.message", {"ref": id_number("3b0b7")}), queue("3b0b7")]),
        ("localhost", [queue("localhost")]),
    ],
)
def test_a_target_is_an_id_an_address_or_a_queue(target, asked) -> None:
    assert questions(target) == asked


async def test_a_message_is_explained_by_the_worker_that_has_it(owner) -> None:
    owner.children[0].answers["explain.message"] = None
    owner.children[1].answers["explain.message"] = [row("3b0b7", reason="retry")]
    answer = await Explain(owner).explain({"target": "3b0b7"})
    assert [(one["id"], one["worker"]) for one in answer["explanations"]] == [("3b0b7", 1)]
    assert (answer["more"], answer["away"]) == (0, [])
    assert [method for method, _ in owner.children[0].asked] == ["explain.message"]


async def test_what_is_no_message_may_be_a_queue(owner) -> None:
    for worker in owner.children:
        worker.answers.update({"explain.message": None, "explain.queue": [row("zz")]})
    answer = await Explain(owner).explain({"target": "gmx"})
    assert len(answer["explanations"]) == 2
    assert owner.children[0].asked[-1] == queue("gmx")


async def test_a_queue_is_explained_by_all_nearest_to_the_wire_first_and_bounded(owner) -> None:
    first, second = owner.children
    first.answers["explain.queue"] = [
        row("a", "scheduled", next_attempt=50.0),
        row("b", "waiting", position=7),
        row("c", "scheduled", next_attempt=20.0),
    ]
    second.answers["explain.queue"] = {
        "explanations": [row("d", "in-flight"), row("e", "waiting", position=2)]
        + [row(f"f{n:02}", "scheduled", next_attempt=100.0) for n in range(18)],
        "more": 980,
    }
    answer = await Explain(owner).explain({"target": "gmail.com"})
    ids = [one["id"] for one in answer["explanations"]]
    assert ids[:6] == ["d", "e", "b", "c", "a", "f00"]
    assert len(ids) == EXPLANATIONS_MAX
    assert answer["more"] == 980 + 3 + 20 - EXPLANATIONS_MAX


async def test_use_is_counted_over_all_workers(owner) -> None:
    owner.governor.uses = {
        ("tenant:shop", "rate"): [1.0, 60, -2, 3.0, 2, False],
        ("site:mx", "seat"): [10, 10, 0, 0.5, 1, False],
    }
    caps = [
        cap("tenant:shop"),
        cap("site:mx", "connections", used=4, free=6),
        cap("source:s1", "byte_rate"),
        cap("provider:gmail", used=3),
        cap("", "max_age_s"),  # not counted by anybody
    ]
    owner.children[0].answers["explain.queue"] = [row(caps=caps)]
    owner.children[1].answers["explain.queue"] = None
    answer = await Explain(owner).explain({"target": "gmail.com"})
    [one] = answer["explanations"]
    shown = [(c["used"], c["free"], c.get("waiting")) for c in one["caps"]]
    known, unknown = [(1.0, -2, 2), (10, 0, 1)], [(0, None, None), (3, None, None)]
    assert shown == [*known, *unknown, (None, None, None)]


async def test_more_limits_than_the_governor_answers_at_once(owner) -> None:
    owner.governor.uses = {("k399", "rate"): [5, 60, 1, 0.0, 0, False]}
    rows = [row(f"m{n:02}", caps=[cap(f"k{n * 20 + k}") for k in range(20)]) for n in range(20)]
    owner.children[0].answers["explain.queue"] = rows
    owner.children[1].answers["explain.queue"] = []
    answer = await Explain(owner).explain({"target": "gmail.com"})
    assert answer["explanations"][19]["caps"][19]["used"] == 5


async def test_a_governor_that_does_not_answer_leaves_the_rest(owner, monkeypatch) -> None:
    def refuse(worker, method, params):
        raise ValueError("more than 1024 workers")

    monkeypatch.setattr(owner.governor, "handle", refuse)
    for worker in owner.children:
        worker.answers["explain.queue"] = [row(caps=[cap("k")])]
    assert len((await Explain(owner).explain({"target": "a.example"}))["explanations"]) == 2


async def test_nothing_found_is_said_and_a_worker_that_is_away_too(owner) -> None:
    for worker in owner.children:
        worker.answers["explain.queue"] = None
    with pytest.raises(ControlError, match=r"nothing of a@x\.example is queued") as error:
        await Explain(owner).explain({"target": "a@x.example"})
    assert error.value.code == "not-found"
    owner.children[1].answers["explain.queue"] = STARTING
    with pytest.raises(ControlError, match="worker 1 could not be asked") as error:
        await Explain(owner).explain({"target": "a@x.example"})
    assert error.value.code == "unavailable"
    owner.children[0].answers["explain.queue"] = [row()]
    assert (await Explain(owner).explain({"target": "a@x.example"}))["away"] == [1]


@pytest.mark.parametrize("target", ["", "  ", "x" * 1001])
async def test_a_target_that_is_none(target, owner) -> None:
    with pytest.raises(ControlError, match="say what"):
        await Explain(owner).explain({"target": target})
