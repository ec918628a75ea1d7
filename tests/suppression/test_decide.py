"""Which event puts which address on the list."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.events import records
from penstock.suppression.decide import SuppressionRules, entries_of, is_full

AT = "2026-01-31T00:00:00.000Z"
SINCE = 1769817600.0
OF = {"id": "e1", "at": AT, "tenant": "shop", "recipient": "Ann@example.com"}
SENDERS_OWN = [
    records.Bounced(**OF, message="m", category="reputation-block", fault="sender"),
    records.Bounced(**OF, message="m", category="auth-failure", fault="sender", suppress=True),
    records.Bounced(**OF, message="m", category="spam-content", fault="content"),
    records.Bounced(**OF, message="m", category="mailbox-full", fault="recipient"),
    records.Expired(**OF, message="m", category="expired", fault="remote"),
    records.Deferred(**OF, message="m", category="bad-mailbox", fault="recipient"),
    records.Delivered(**OF, message="m"),
    records.AutoReplied(**OF),
    records.Suppressed(**OF, stage="intake", reason="complaint"),
    records.Complained(**OF, feedback_type="not-spam"),
    records.Complained(**OF, feedback_type="auth-failure"),
    records.Reported(id="e1", at=AT, role="bounce"),
]


def made(event: records.AnyEvent, **rules: Any) -> list[tuple[str, str, str, float]]:
    found = entries_of(event, SuppressionRules(**rules))
    for one in found:
        assert (one.address, one.cause, one.since) == ("Ann@example.com", "e1", SINCE)
    return [(one.tenant, one.scope, one.reason, one.until) for one in found]


def bounced(**more: Any) -> records.Bounced:
    return records.Bounced(
        **OF, message="m", category="bad-mailbox", fault="recipient", suppress=True, **more
    )


@pytest.mark.parametrize("event", SENDERS_OWN, ids=lambda one: type(one).__name__)
def test_nothing_follows_at_once(event: records.AnyEvent) -> None:
    assert made(event) == []


@pytest.mark.parametrize("late", [False, True])
def test_a_dead_address_gets_nothing_of_the_tenant(late: bool) -> None:
    event = bounced(late=late)
    assert made(event) == [("shop", "", "bounce:bad-mailbox", 0.0)]
    assert made(event, global_hard_bounces=True) == [("", "", "bounce:bad-mailbox", 0.0)]
    assert made(event, ttl_s={"bounce": 60.0})[0][3] == SINCE + 60
    assert made(event, ttl_s={"bounce": 60.0, "bounce:bad-mailbox": 5.0})[0][3] == SINCE + 5


@pytest.mark.parametrize("kind", ["abuse", "fraud", "opt-out", "other", ""])
def test_a_complaint_stops_what_nobody_waits_for(kind: str) -> None:
    event = records.Complained(**OF, feedback_type=kind, class_="transactional")
    assert made(event) == [
        ("shop", "triggered", "complaint", 0.0),
        ("shop", "bulk", "complaint", 0.0),
    ]
    assert made(event, complaint_classes=()) == [("shop", "", "complaint", 0.0)]


def test_unsubscribed_from_bulk_or_from_one_list() -> None:
    event = records.Unsubscribed(**OF, via="one-click", tags={"list": "news"})
    assert made(event) == [("shop", "bulk", "unsubscribe", 0.0)]
    assert made(event, list_tag="list") == [("shop", "list:news", "unsubscribe", 0.0)]
    assert made(event, list_tag="other") == [("shop", "bulk", "unsubscribe", 0.0)]
    odd = records.Unsubscribed(**OF, via="page", tags={"list": "no name"})
    assert made(odd, list_tag="list") == [("shop", "bulk", "unsubscribe", 0.0)]


def test_what_counts_as_full() -> None:
    full = {"category": "mailbox-full"}
    assert is_full(records.Bounced(**OF, message="m", **full))
    assert is_full(records.Expired(**OF, message="m", category="expired", enhanced="4.2.2"))
    assert not is_full(records.Deferred(**OF, message="m", **full))
    assert not is_full(bounced(enhanced="5.2.2"))  # it is dead anyway
