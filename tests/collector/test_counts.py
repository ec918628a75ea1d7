"""What each event adds to the counters."""

from __future__ import annotations

import pytest
from tests.collector.conftest import at, event

from penstock.collector.counts import COLUMNS, Group, count, rates, second_of
from penstock.collector.providers import Providers
from penstock.events import records

HOUR = 1_700_002_800  # 2023-11-14T23:00:00Z


def groups_of(*events: records.AnyEvent) -> dict[Group, int]:
    groups: dict[Group, int] = {}
    for one in events:
        count(one, groups, lambda address: "known")
    return groups


def counted(one: records.AnyEvent) -> dict[str, int]:
    found: dict[str, int] = {}
    for group, times in groups_of(one).items():
        for index in group[5].columns:
            found[COLUMNS[index]] = found.get(COLUMNS[index], 0) + times
    return found


@pytest.mark.parametrize(
    ("one", "added"),
    [
        (event(records.Accepted, recipients=("a@x.test", "b@y.test")), {"accepted": 2}),
        (event(records.Delivered), {"delivered": 1, "sent": 1}),
        (event(records.Deferred, phase="rcpt"), {"deferred": 1, "sent": 1}),
        (event(records.Deferred, phase="connect"), {"deferred": 1}),
        (event(records.Deferred, phase="resolve"), {"deferred": 1}),
        (event(records.Bounced, phase="rcpt"), {"bounced": 1, "sent": 1}),
        (
            event(records.Bounced, phase="rcpt", suppress=True),
            {"bounced": 1, "hard_bounced": 1, "sent": 1},
        ),
        (
            event(records.Bounced, phase="", suppress=True, late=True),
            {"bounced": 1, "hard_bounced": 1, "late_bounced": 1},
        ),
        (event(records.Expired), {"expired": 1}),
        (event(records.Suppressed), {"suppressed": 1}),
        (event(records.Cancelled), {"cancelled": 1}),
        (event(records.Complained), {"complaints": 1}),
        (event(records.Unsubscribed), {"unsubscribes": 1}),
        (event(records.AutoReplied, recipient="a@x.test"), {}),
        (event(records.Reported, role="bounce"), {}),
        (event(records.Policy, rule="x", action="y"), {}),
    ],
)
def test_what_is_counted(one: records.AnyEvent, added: dict[str, int]) -> None:
    assert counted(one) == added


def test_the_row_is_that_of_the_hour_and_of_whose_mail_it_was() -> None:
    one = event(
        records.Bounced,
        HOUR + 3599.9,
        tenant="t",
        campaign="c",
        class_="bulk",
        provider="gmail",
        category="bad-mailbox",
    )
    ((group, times),) = groups_of(one, one).items()
    assert times == 2
    assert second_of(group[0]) == HOUR + 3590
    assert group[1:5] == ("t", "c", "gmail", "bulk")
    assert group[5].category == "bad-mailbox"


@pytest.mark.parametrize(
    ("one", "guards"),
    [
        (
            event(records.Delivered),
            {"complaints": (0, 1), "unsubscribes": (0, 1), "hard-bounces": (0, 1)}
            | {"deferrals": (0, 1)},
        ),
        (event(records.Deferred, phase="rcpt"), {"deferrals": (1, 1)}),
        (event(records.Deferred, phase="rcpt", category="greylisted"), {}),
        (event(records.Deferred, phase="connect"), {}),
        (
            event(records.Bounced, phase="rcpt", suppress=True),
            {"hard-bounces": (1, 1), "deferrals": (0, 1)},
        ),
        (event(records.Bounced, late=True, suppress=True), {"hard-bounces": (1, 0)}),
        (event(records.Complained), {"complaints": (1, 0)}),
        (event(records.Unsubscribed), {"unsubscribes": (1, 0)}),
        (event(records.Expired), {}),
    ],
)
def test_what_guards_hear(one: records.AnyEvent, guards: dict[str, tuple[int, int]]) -> None:
    (group,) = groups_of(one)
    assert {metric: (part, whole) for metric, part, whole in group[5].guards} == guards


def test_times_are_read_to_ten_seconds_and_nonsense_is_refused() -> None:
    assert second_of(at(1_700_000_123.9)[:18]) == 1_700_000_120
    with pytest.raises(ValueError):
        second_of("yesterday")


def test_a_provider_is_learned_from_deliveries_and_else_looked_up() -> None:
    providers = Providers(lambda domain: "listed" if domain == "gmail.com" else "", 2)
    assert providers.of("a@Gmail.com") == "listed"
    assert providers.of("a@firm.test") == ""
    providers.learn(event(records.Delivered, recipient="x@Firm.test", provider="google"))
    assert providers.of("b@firm.test") == "google"
    for name in ("one", "two"):
        providers.learn(event(records.Delivered, recipient=f"x@{name}.test", provider="p"))
    assert providers.of("b@firm.test") == "", "bounded: the oldest is forgotten"


def test_rates_have_a_whole_or_are_none() -> None:
    empty = dict.fromkeys(COLUMNS, 0)
    assert set(rates(empty).values()) == {None}
    row = empty | {
        "delivered": 90,
        "bounced": 12,
        "late_bounced": 2,
        "hard_bounced": 5,
        "deferred": 100,
        "complaints": 9,
        "unsubscribes": 18,
    }
    assert rates(row) == {
        "delivered": 0.9,
        "deferred": 0.5,
        "bounced": 0.12,
        "hard_bounced": 0.05,
        "complaints": 0.1,
        "unsubscribes": 0.2,
    }
