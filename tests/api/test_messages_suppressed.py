"""Recipients on the suppression list, and limits of a key, as a sender hears of them."""

from __future__ import annotations

import pytest
from tests.api.inbox import client_of, delivering, make_key

from penstock.api.charges import KeyLimits
from penstock.policy.rate import Rate

BASE = {"from": "a@shop.example", "subject": "hello", "text": "hello", "deliver_at": "+1h"}
GONE = "gone@example.com"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    home = tmp_path_factory.mktemp("suppressed")
    with delivering(home) as (daemon, _), client_of(daemon) as client:
        added = client.post("/api/v1/suppression", json={"addresses": [GONE], "reason": "manual"})
        assert added.status_code == 200, added.text
        yield daemon, client


@pytest.fixture
def client(world):
    return world[1]


def test_the_others_get_the_message(client):
    said = client.post("/api/v1/messages", json={**BASE, "to": [GONE, "ann@example.com"]}).json()
    assert (said["accepted"], said["suppressed"]) == (1, 1)
    gone, ann = said["recipients"]
    assert gone["status"] == "suppressed"
    assert gone["reason"].startswith("manual since ")
    assert ann == {"recipient": "ann@example.com", "status": "accepted", "id": said["id"]}
    found = client.get(f"/api/v1/messages/{said['id']}").json()
    assert [one["recipient"] for one in found["recipients"]] == ["ann@example.com"]


def test_nobody_left_is_a_422(client):
    answer = client.post("/api/v1/messages", json={**BASE, "to": GONE})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "Nobody gets it: 1 suppressed, 0 invalid."


def test_of_many_only_that_one_gets_none(client):
    recipients = [{"to": one} for one in ("ann@example.com", GONE, "bob@example.com")]
    said = client.post("/api/v1/messages", json={**BASE, "recipients": recipients}).json()
    assert [one["status"] for one in said["recipients"]] == ["accepted", "suppressed", "accepted"]


def test_sendgrids_clients_hear_nothing_of_it_and_kumomtas_do(client):
    answer = client.post(
        "/v3/mail/send",
        json={
            "personalizations": [{"to": [{"email": GONE}]}],
            "from": {"email": "a@shop.example"},
            "subject": "x",
            "content": [{"type": "text/plain", "value": "x"}],
        },
    )
    assert answer.status_code == 202
    assert answer.headers["X-Message-Id"]
    answer = client.post(
        "/api/inject/v1",
        json={
            "envelope_sender": "a@shop.example",
            "recipients": [{"email": GONE}],
            "content": "Subject: x\n\nx\n",
        },
    )
    assert answer.json()["failed_recipients"] == [GONE]
    assert answer.json()["errors"][0].startswith(f"{GONE}: suppressed: manual since ")


def test_a_keys_messages_are_limited(world):
    daemon, _ = world
    limits = KeyLimits(None, Rate.parse("10/min burst 10"))
    key = make_key(daemon.home / "spool", limits=limits)
    recipients = [{"to": f"u{number}@example.com"} for number in range(50)]
    with client_of(daemon, key) as limited:
        daemon.until(lambda: limited.get("/api/v1/status").status_code == 200, "the key is known")
        first = limited.post("/api/v1/messages", json={**BASE, "recipients": recipients})
        assert first.status_code == 202
        second = limited.post("/api/v1/messages", json={**BASE, "to": "ann@example.com"})
        assert second.status_code == 429
        assert int(second.headers["Retry-After"]) > 1
