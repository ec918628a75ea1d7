"""``GET`` and ``DELETE`` of messages, on a daemon that delivers."""

from __future__ import annotations

import time

import pytest
from tests.api.inbox import client_of, delivering, make_key

BASE = {"from": "a@shop.example", "subject": "hello", "text": "hello"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    home = tmp_path_factory.mktemp("read")
    make_key(home / "spool", tenant="acme")
    with delivering(home, workers=2) as (daemon, inbox):
        yield daemon, inbox


@pytest.fixture
def client(world):
    with client_of(world[0]) as found:
        yield found


@pytest.fixture
def acme(world):
    """A client of one tenant."""
    daemon = world[0]
    key = make_key(daemon.home / "spool", tenant="acme")
    with client_of(daemon, key) as found:
        daemon.until(lambda: found.get("/api/v1/status").status_code == 200, "the key is known")
        yield found


def until(client, id_, holds):
    end = time.monotonic() + 20
    while True:
        found = client.get(f"/api/v1/messages/{id_}")
        assert found.status_code == 200, found.text
        if holds(found.json()) or time.monotonic() > end:
            return found.json()
        time.sleep(0.05)


def test_what_was_delivered_has_its_history(client):
    sent = client.post(
        "/api/v1/messages",
        json={**BASE, "to": ["ann@example.com", "bob@example.com"], "metadata": {"order": "7"}},
    ).json()
    found = until(
        client, sent["id"], lambda one: {r["state"] for r in one["recipients"]} == {"delivered"}
    )
    assert found["id"] == sent["id"]
    assert found["metadata"] == {"order": "7"}
    assert found["complete"] is True
    assert [one["recipient"] for one in found["recipients"]] == [
        "ann@example.com",
        "bob@example.com",
    ]
    for one in found["recipients"]:
        assert [event["type"] for event in one["events"]] == ["delivered"]
        assert one["events"][0]["metadata"] == {"order": "7"}
        assert one["waiting"] is None


def test_what_waits_says_for_what_and_can_be_cancelled(client):
    sent = client.post(
        "/api/v1/messages",
        json={**BASE, "to": ["ann@example.com", "bob@example.com"], "deliver_at": "+1h"},
    ).json()
    found = client.get(f"/api/v1/messages/{sent['id']}").json()
    for one in found["recipients"]:
        assert one["state"] == "queued"
        assert one["waiting"]["reason"] == "scheduled"
        assert one["waiting"]["recipient"] == one["recipient"]
    gone = client.delete(f"/api/v1/messages/{sent['id']}")
    assert gone.status_code == 200
    assert gone.json() == {
        "id": sent["id"],
        "cancelled": ["ann@example.com", "bob@example.com"],
        "under_way": [],
    }
    found = until(
        client, sent["id"], lambda one: {r["state"] for r in one["recipients"]} == {"cancelled"}
    )
    assert {one["state"] for one in found["recipients"]} == {"cancelled"}
    (event,) = found["recipients"][0]["events"]
    assert event["type"] == "cancelled"
    assert event["by"].startswith("key ")
    assert "reply" not in event
    again = client.delete(f"/api/v1/messages/{sent['id']}")
    assert again.status_code == 409
    assert again.json()["detail"] == (
        f"Nothing of {sent['id']} waits any more: it is too late to cancel."
    )


@pytest.mark.parametrize("id_", ["3zzzzzzzz", "0", "ilou", "zzzzzzzzzzzzz"])
def test_what_never_was_is_not_found(client, id_):
    for answer in (
        client.get(f"/api/v1/messages/{id_}"),
        client.delete(f"/api/v1/messages/{id_}"),
    ):
        assert answer.status_code == 404
        assert answer.json()["detail"] == (
            f"There is no message {id_}: it was never accepted here, or longer ago than events "
            "are kept."
        )


def test_a_key_of_a_tenant_sees_and_cancels_its_own_alone(client, acme):
    later = {**BASE, "to": "ann@example.com", "deliver_at": "+1h"}
    other = client.post("/api/v1/messages", json={**later, "tenant": "other"}).json()["id"]
    own = acme.post("/api/v1/messages", json=later).json()["id"]
    assert acme.get(f"/api/v1/messages/{own}").json()["tenant"] == "acme"
    assert acme.get(f"/api/v1/messages/{other}").status_code == 404
    assert acme.delete(f"/api/v1/messages/{other}").status_code == 404
    assert client.get(f"/api/v1/messages/{other}").json()["recipients"][0]["state"] == "queued"
    assert {one["tenant"] for one in acme.get("/api/v1/messages").json()["messages"]} == {"acme"}
    answer = acme.post("/api/v1/messages", json={**later, "tenant": "other"})
    assert answer.status_code == 403
    assert answer.json()["detail"] == 'This key is for the tenant "acme" alone.'
    raw = "X-Penstock-Tenant: other\nSubject: x\n\nx"
    answer = acme.post(
        "/api/v1/messages", json={"from": "a@shop.example", "to": "b@example.com", "raw": raw}
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["message"] == (
        "X-Penstock-Tenant: this account sends for acme only"
    )
    assert acme.delete(f"/api/v1/messages/{own}").status_code == 200


def test_lists_go_page_by_page(world, client):
    ids = [
        client.post(
            "/api/v1/messages",
            json={**BASE, "to": f"P{n}@example.com", "campaign": "pages", "deliver_at": "+1h"},
        ).json()["id"]
        for n in range(7)
    ]

    def listed(**query):
        return client.get("/api/v1/messages", params={"campaign": "pages", **query}).json()

    world[0].until(lambda: len(listed()["messages"]) == len(ids), "all are in the log")
    seen: list[str] = []
    cursor = ""
    for _ in range(20):
        page = listed(limit=3, cursor=cursor)
        assert len(page["messages"]) <= 3
        seen += [one["id"] for one in page["messages"]]
        cursor = page["next"]
        if page["end"]:
            break
    assert sorted(seen) == sorted(ids)
    found = client.get("/api/v1/messages", params={"recipient": "p3@EXAMPLE.com"}).json()
    assert [one["id"] for one in found["messages"]] == [ids[3]]
    none = client.get(
        "/api/v1/messages", params={"campaign": "pages", "until": "2020-01-01T00:00:00Z"}
    )
    assert none.json()["messages"] == []
    wrong = client.get("/api/v1/messages", params={"cursor": "nonsense!"})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["field"] == "query cursor"
