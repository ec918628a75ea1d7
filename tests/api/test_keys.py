"""Keys: made, shown once, checked, limited, revoked, on a running daemon."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from tests.api.conftest import ApiDaemon


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDaemon]:
    """Two workers, so that what one is told has to reach the other."""
    one = ApiDaemon(tmp_path_factory.mktemp("keyed"), workers=2)
    try:
        yield one.start()
    finally:
        one.end()


def make(daemon: ApiDaemon, **order: object) -> str:
    """A new key, known to every worker when it is there."""
    with daemon.client() as client:
        answer = client.post("/api/v1/keys", json=order)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["secret"])


def status(daemon: ApiDaemon, key: str, path: str = "/api/v1/keys") -> int:
    with daemon.client(key) as client:  # another connection each time: perhaps another worker
        return client.get(path).status_code


def test_a_key_is_shown_once_and_kept_as_a_hash(keyed: ApiDaemon) -> None:
    key = make(keyed, name="shop's server", tenant="shop", scopes=["read", "send"])
    with keyed.client() as client:
        listed = client.get("/api/v1/keys").json()["keys"]
    (row,) = [one for one in listed if one["id"] == key.split("_")[1]]
    assert row["name"] == "shop's server"
    assert row["tenant"] == "shop"
    assert row["scopes"] == ["send", "read"]
    assert row["rate"] is None
    assert "secret" not in row
    assert "sha256" not in row
    path = keyed.home / "spool" / "keys.json"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert key.split("_", 2)[2] not in path.read_text()
    assert key not in keyed.text()


def test_a_wrong_key_is_refused_whatever_is_wrong_with_it(keyed: ApiDaemon) -> None:
    key = make(keyed, scopes=["read"])
    for wrong, detail in (
        (key[:-1] + ("A" if key[-1] != "A" else "B"), "The key is mistyped or was revoked."),
        ("psk_222222222222_" + key[-43:], "The key is mistyped or was revoked."),
        ("psk_x", "Authorization has to be Bearer and a key, psk_ and its two parts."),
    ):
        with keyed.client(wrong) as client:
            answer = client.get("/api/v1/status")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer ")
        assert answer.json()["type"] == "/docs/problems#key-refused"
        assert answer.json()["detail"] == detail


def test_a_revoked_key_is_refused_at_once(keyed: ApiDaemon) -> None:
    key = make(keyed, scopes=["read", "admin"])
    with keyed.client() as client:
        assert client.delete(f"/api/v1/keys/{key.split('_')[1]}").status_code == 200
    assert all(status(keyed, key) == 401 for _ in range(4))


def test_a_scope_that_is_missing_is_named(keyed: ApiDaemon) -> None:
    key = make(keyed, scopes=["read", "send"])
    with keyed.client(key) as client:
        answer = client.get("/api/v1/keys")
    assert answer.status_code == 403
    assert answer.json()["type"] == "/docs/problems#scope-missing"
    assert answer.json()["detail"] == 'This needs the scope "admin"; the key has: send, read.'


def test_a_tenants_key_sees_and_makes_and_revokes_that_tenants_alone(keyed: ApiDaemon) -> None:
    other = make(keyed, tenant="other", scopes=["read"])
    key = make(keyed, tenant="shop", scopes=["admin", "read"])
    with keyed.client(key) as client:
        assert {one["tenant"] for one in client.get("/api/v1/keys").json()["keys"]} == {"shop"}
        made = client.post("/api/v1/keys", json={"scopes": ["read"]})
        assert made.json()["tenant"] == "shop"
        refused = client.post("/api/v1/keys", json={"scopes": ["read"], "tenant": "other"})
        assert refused.json()["detail"] == 'This key is for the tenant "shop" alone.'
        refused = client.post("/api/v1/keys", json={"scopes": ["send"]})
        assert refused.status_code == 403
        refused = client.delete(f"/api/v1/keys/{other.split('_')[1]}")
        assert refused.status_code == 404


def test_a_key_with_networks_is_good_from_there_alone(keyed: ApiDaemon) -> None:
    key = make(keyed, scopes=["read"], networks=["192.0.2.0/24"])
    with keyed.client(key) as client:
        answer = client.get("/api/v1/status")
    assert answer.status_code == 403
    assert answer.json()["type"] == "/docs/problems#network-refused"


def test_a_keys_rate_holds_over_all_workers_and_says_when_to_come_again(keyed: ApiDaemon) -> None:
    key = make(keyed, scopes=["read"], rate="10/min burst 5")
    answers = []
    for _ in range(20):
        with keyed.client(key) as client:
            answers.append(client.get("/api/v1/status"))
    good = sum(one.status_code == 200 for one in answers)
    assert 5 <= good <= 6  # one more if it took seconds
    refused = [one for one in answers if one.status_code == 429]
    assert len(refused) + good == 20
    assert 1 <= int(refused[-1].headers["retry-after"]) <= 60
    assert refused[-1].json()["type"] == "/docs/problems#rate-limited"
    assert (
        refused[-1]
        .json()["detail"]
        .startswith("The key's requests are limited to 10/min burst 5; come again in ")
    )


def test_a_key_may_have_a_smaller_bound_on_bodies(keyed: ApiDaemon) -> None:
    key = make(keyed, scopes=["admin"], request_bytes_max=2048)
    with keyed.client(key) as client:
        answer = client.post("/api/v1/keys", json={"name": "x" * 3000, "scopes": ["read"]})
    assert answer.status_code == 413
    assert answer.json()["detail"].endswith("has more than 2 KiB.")


def test_what_is_wrong_with_an_order_is_said_for_each_field(keyed: ApiDaemon) -> None:
    with keyed.client() as client:
        answer = client.post(
            "/api/v1/keys",
            json={
                "name": "a\nb",
                "tenant": "two words",
                "scopes": ["sned"],
                "networks": ["192.0.2.1/24"],
                "rate": "fast",
                "expires_at": "tomorrow",
                "colour": "red",
            },
        )
    assert answer.status_code == 422
    assert {one["field"]: one["message"] for one in answer.json()["errors"]} == {
        "name": "a name is one line of printable characters",
        "tenant": "a tenant is 1 to 64 of A-Z a-z 0-9 . _ -",
        "scopes[0]": 'expected "send" or "read" or "admin", not "sned"; did you mean "send"?',
        "networks[0]": "'192.0.2.1/24' has bits set beyond its prefix; "
        'did you mean "192.0.2.0/24"?',
        "rate": 'not a rate: \'fast\'; write "100/min" or "100/min burst 20"',
        "expires_at": 'expected a date and time like "2031-05-17T09:30:00Z", not "tomorrow"',
        "colour": "there is no such field here",
    }


@pytest.mark.parametrize("given", [0, 2e9, "2000000000", "2031-05-17", "2031-05-17T09:30:00"])
def test_a_moment_is_a_date_and_a_time_and_a_zone(keyed: ApiDaemon, given: object) -> None:
    with keyed.client() as client:
        answer = client.post("/api/v1/keys", json={"scopes": ["read"], "expires_at": given})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "expires_at"
    assert 'like "2031-05-17T09:30:00Z"' in error["message"]


def test_a_key_cannot_have_expired_when_it_is_made(keyed: ApiDaemon) -> None:
    order = {"scopes": ["read"], "expires_at": "1970-01-01T00:00:00Z"}
    with keyed.client() as client:
        answer = client.post("/api/v1/keys", json=order)
    assert answer.status_code == 422
    assert answer.json()["detail"] == "expires_at: must be in the future"


def test_a_browsers_request_for_another_site_needs_a_key(keyed: ApiDaemon) -> None:
    with keyed.client() as client:
        for headers in (
            {"Origin": "https://evil.example"},
            {"Host": "evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            answer = client.get("/api/v1/status", headers=headers)
            assert answer.status_code == 401, headers
            assert answer.json()["type"] == "/docs/problems#key-missing"


def test_the_command_line_makes_lists_and_revokes(keyed: ApiDaemon) -> None:
    def penstock(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "penstock", "key", *arguments, "-c", str(keyed.config)],
            capture_output=True,
            text=True,
            check=False,
        )

    made = penstock(
        "create", "--tenant", "shop", "--scope", "send,read", "--rate", "100/s", "--expires", "90d"
    )
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    number = key.split("_")[1]
    assert number in made.stderr
    assert key not in made.stderr
    (line,) = [one for one in penstock("list").stdout.splitlines() if one.startswith(number)]
    assert "send,read  tenant shop  100/s requests  until " in line
    assert penstock("revoke", number).stdout.startswith(f"revoked {number}")
    assert number not in penstock("list").stdout
    again = penstock("revoke", number)
    assert again.returncode == 1
    assert again.stderr == f"penstock: there is no key '{number}'\n"
    wrong = penstock("create", "--scope", "sned")
    assert wrong.returncode == 1
    assert 'scopes[0]: expected "send" or "read" or "admin"' in wrong.stderr


def test_without_sandbox_nobody_is_let_in_without_a_key(tmp_path: pathlib.Path) -> None:
    daemon = ApiDaemon(tmp_path, head='delivery = "live"')
    try:
        daemon.start()
        with daemon.client() as client:
            answer = client.get("/api/v1/status")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="penstock"'
        made = daemon.call("keys.create", scopes=["read"])
        daemon.until(lambda: status(daemon, made["secret"], "/api/v1/status") == 200, "known", 10.0)
        # a file that somebody broke: the keys known stay good, and no new one is made over it
        path = daemon.home / "spool" / "keys.json"
        path.write_text("{")
        daemon.until(lambda: "the API keys cannot be read" in daemon.text(), "told", 10.0)
        assert status(daemon, made["secret"], "/api/v1/status") == 200
        with daemon.client(made["secret"]) as client:
            assert isinstance(client, httpx.Client)
        assert json.loads(json.dumps(made))["id"] in made["secret"]
    finally:
        daemon.end()
