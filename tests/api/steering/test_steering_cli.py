"""The command line as a client: of the Unix socket, and with a key of a daemon elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.api.steering.conftest import Steered

from penstock.api.methods import METHODS, request_of
from penstock.cli_events_remote import messages
from penstock.daemon.admin import Admin

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(steered: Steered, tmp_path: Path) -> Run:
    """``run("queue", "list", key="admin")`` asks over TCP; without a key over the socket."""

    def call(
        *words: str, key: str = "", input: str | None = None, url: str = ""
    ) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": "/usr/bin:/bin", "PENSTOCK_CONFIG": str(steered.config)}
        if key:
            environ = {
                "PATH": "/usr/bin:/bin",
                "PENSTOCK_URL": url or steered.url,
                "PENSTOCK_KEY": steered.keys[key],
            }
        command = [sys.executable, "-m", "penstock", *words]
        return subprocess.run(
            command, capture_output=True, text=True, env=environ, cwd=tmp_path, input=input,
            timeout=60, check=False,
        )  # fmt: skip

    return call


def test_every_method_of_the_daemon_has_a_route(steered: Steered) -> None:
    """So that the command line, which asks by methods, finds its way to each of them."""
    from unittest.mock import MagicMock

    others = {"message.cancel"}  # DELETE /messages/{id}, which has tests of its own
    assert Admin(MagicMock()).methods <= set(METHODS) | others


SAME = [
    ("status", "--json"),
    ("queue", "list", "--domain", "shop-held.example", "--json"),
    ("queue", "operations", "--json"),
    ("explain", "ann@shop-held.example"),
    ("top", "--json"),
    ("warmup", "show"),
    ("webhooks", "list"),
    ("bounces", "unmatched"),
    ("events", "--type", "accepted"),
    ("events", "--tenant", "shop", "--json"),
    ("suppression", "list"),
    ("suppression", "show", "bob@shop.example", "--json"),
    ("suppression", "export", "--format", "ndjson"),
    ("policy", "check"),
    ("policy", "show", "gmail.com"),
    ("policy", "show", "gmail.com", "--tenant", "shop", "--class", "bulk", "--json"),
    ("policy", "show", "own.example", "--mx", "aspmx.l.google.com"),
    ("dkim", "dns"),
    ("dkim", "dns", "--domain", "shop.example"),
]


@pytest.mark.parametrize("words", SAME, ids=" ".join)
def test_it_is_the_same_from_here_and_from_elsewhere(words: tuple[str, ...], run: Run) -> None:
    here, there = run(*words), run(*words, key="admin")
    assert (here.returncode, there.returncode) == (0, 0), (here.stderr, there.stderr)
    if words[0] in ("status", "top", "explain"):  # what changes from moment to moment
        assert here.stdout[:40] == there.stdout[:40]
    else:
        assert here.stdout == there.stdout
    assert here.stdout


REPLIES = """\
{"provider": "gmail", "reply": "550 5.1.1 no such user", "id": 7}
{"reply": 5}
{"reply": "421 4.7.28 unusual rate", "phase": "rcpt", "provider": null}
{
"""


@pytest.mark.parametrize(
    "words",
    [("classify", "--replies"), ("policy", "replay", "-"), ("policy", "replay", "-", "--json")],
)
def test_replies_are_read_by_the_same_rules_elsewhere(words: tuple[str, ...], run: Run) -> None:
    here, there = run(*words, input=REPLIES), run(*words, key="reader", input=REPLIES)
    assert here.returncode == there.returncode, there.stderr
    if words[0] == "classify":
        assert [json.loads(line) for line in there.stdout.splitlines()] == [
            json.loads(line) for line in here.stdout.splitlines()
        ]
        assert there.stderr == here.stderr
        assert '"id": 7' in there.stdout
    else:
        assert here.stdout == there.stdout
    assert "bad-mailbox" in there.stdout


def test_reports_are_read_by_the_same_rules_elsewhere(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mail").write_bytes(
        b"From: MAILER-DAEMON@a.example\r\nSubject: failed\r\n\r\n"
        b"<bob@a.example>: 550 5.1.1 no such user\r\n"
    )
    here, there = run("classify", "mail", "gone"), run("classify", "mail", "gone", key="reader")
    assert here.returncode == there.returncode == 1
    assert here.stderr == there.stderr
    assert json.loads(here.stdout) == json.loads(there.stdout)


def test_files_here_are_meant_where_they_are_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "default.toml").write_text("[limits]\nconnections = 3\n")
    shown = run("policy", "show", "gmail.com", "--policies", "mine", "--json", key="reader")
    limits = {one["name"]: one["value"] for one in json.loads(shown.stdout)["limits"]}
    assert limits["connections"] == "3"
    (tmp_path / "mine" / "default.toml").write_text("[limits]\nconnection = 3\n")
    assert run("policy", "check", "--policies", "mine", key="reader").returncode == 2


def test_what_is_not_there_is_said_from_elsewhere_too(run: Run) -> None:
    shown = run("policy", "show", "gmail.com", "--source", "nowhere", key="reader")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "no source 'nowhere'" in shown.stderr
    none = run("dkim", "dns", "--domain", "other.example", key="reader")
    assert none.stderr == "penstock: the daemon has no [[dkim]] of other.example\n"
    refused = run("policy", "show", "gmail.com", key="shop")
    assert refused.returncode == 1


def test_orders_from_elsewhere(run: Run) -> None:
    words = ("--domain", "far.example")
    done = run("queue", "suspend", *words, "--reason", "far away", key="admin")
    assert done.stdout.startswith("suspended: 0 in 0 queues (s"), done.stderr
    rows = json.loads(run("queue", "operations", "--json").stdout)["operations"]
    (mine,) = [one for one in rows if one["selector"] == {"domain": "far.example"}]
    assert mine["reason"] == "far away"
    assert " (key " in mine["who"]
    assert run("queue", "resume", *words, key="admin").stdout == "resumed: 0 in 0 queues\n"


def test_a_tenant_s_key_at_the_command_line(run: Run) -> None:
    listed = run("queue", "list", "--json", key="shop")
    assert {row["tenant"] for row in json.loads(listed.stdout)["rows"]} == {"shop"}
    refused = run("status", key="shop")
    assert refused.returncode == 1
    assert refused.stderr == (
        'penstock: This is about the daemon as a whole, and the key is for the tenant "shop" '
        "alone; use a key without a tenant.\n"
    )


def test_the_list_from_elsewhere(run: Run, tmp_path: Path) -> None:
    added = run("suppression", "add", "x@cli.example", "-t", "cli", "--why", "asked", key="admin")
    assert added.stdout == "1 entry for 1 address, 1 new\n", added.stderr
    imported = run(
        *("suppression", "import", "-", "-t", "cli"),
        key="admin",
        input="address\ny@cli.example\nnobody\n",
    )
    assert imported.returncode == 1
    assert imported.stderr.startswith("line 3: ")
    assert imported.stdout == "2 rows: 1 taken, 1 not; 1 address, 1 of them with something new\n"
    file = tmp_path / "out.csv"
    exported = run("suppression", "export", str(file), "-t", "cli", key="admin")
    assert exported.stderr == f"2 entries in {file}\n"
    assert file.read_text().count("@cli.example,cli,") == 2
    assert "cli · manual" in run("suppression", "stats", key="admin").stdout
    gone = run("suppression", "remove", "x@cli.example", "y@cli.example", key="admin")
    assert gone.stdout == "2 entries removed\n"
    none = run("suppression", "remove", "x@cli.example", key="admin")
    assert (none.returncode, none.stdout) == (1, "0 entries removed\n")


def test_events_are_followed_from_elsewhere(steered: Steered, local: httpx.Client) -> None:
    environ = {"PENSTOCK_URL": steered.url, "PENSTOCK_KEY": steered.keys["reader"]}
    command = [sys.executable, "-m", "penstock", "events", "-f", "--type", "admin", "--since", "1s"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, text=True) as process:
        assert process.stdout is not None
        stop = threading.Event()

        def order() -> None:
            body = {"verb": "retry", "selector": {"domain": "follow.example"}}
            while not stop.wait(0.3):
                local.post("/api/v1/operations", json=body)

        thread = threading.Thread(target=order)
        thread.start()
        try:
            lines = [process.stdout.readline() for _ in range(3)]
        finally:
            stop.set()
            thread.join()
            process.terminate()
    assert all("queue.retry domain=follow.example" in line for line in lines), lines


WRONG = [
    ("mail.example", "is no address of a daemon"),
    ("ftp://mail.example", "is no address of a daemon"),
    ("http://mail.example", "the key would travel in clear; use https"),
    ("http://user:secret@localhost", "a key stands in PENSTOCK_KEY"),
    ("http://localhost:99999", "Port out of range"),
]


@pytest.mark.parametrize(("url", "text"), WRONG)
def test_an_address_that_is_none(url: str, text: str, run: Run) -> None:
    found = run("status", "--url", url, key="admin")
    assert found.returncode == 2
    assert found.stderr.startswith("penstock: --url: ")
    assert text in found.stderr


def test_nobody_there(run: Run) -> None:
    found = run("status", key="admin", url="http://127.0.0.1:1")
    assert found.returncode == 1
    assert found.stderr == "penstock: the daemon at http://127.0.0.1:1: Connection refused\n"


def test_a_wrong_key(run: Run, steered: Steered) -> None:
    steered.keys["wrong"] = "psk_aaaaaaaaaaaa_" + "a" * 43
    found = run("queue", "list", key="wrong")
    assert (found.returncode, found.stderr) == (
        1,
        "penstock: The key is mistyped or was revoked.\n",
    )


def test_a_request_is_made_of_a_method() -> None:
    asked = request_of("queue.list", {"selector": {"class": "bulk"}, "limit": 3, "more": None})
    assert asked == ("GET", "/api/v1/queue?class=bulk&limit=3", None)
    asked = request_of("suppression.remove", {"address": "a/b+c@x.example", "who": "ann b"})
    path = "/api/v1/suppression/addresses/a%2Fb%2Bc%40x.example"
    assert asked == ("DELETE", f"{path}?who=ann+b", None)
    asked = request_of("queue.bounce", {"selector": {"tenant": "t"}, "tell": True})
    assert json.loads(asked.body or b"") == {
        "verb": "bounce",
        "selector": {"tenant": "t"},
        "tell": True,
    }


def test_messages_of_a_stream_are_read() -> None:
    import io

    text = (
        b'retry: 2000\n\n: quiet\n\nid: 1\nevent: admin\ndata: {"a":1}\n\nid: 2\ndata: {}\n\ndata'
    )
    assert list(messages(io.BytesIO(text))) == [("1", {"a": 1}), ("2", {})]
