"""``penstock queue``: what it asks of the daemon, and what it shows of the answer."""

from __future__ import annotations

import json
import re
import time

import pytest

ROW = {
    "id": "3b0b7b200b",
    "recipient": "ann@gmail.com",
    "sender": "news@shop.example",
    "tenant": "",
    "campaign": "news",
    "domain": "gmail.com",
    "provider": "gmail",
    "state": "scheduled",
    "due": 0.0,
    "expires": 0.0,
    "attempts": 2,
    "reason": "retry",
    "last_reply": "421 4.7.28 [red]unusual rate[/red]\x1b[2J",
}


def test_list(penstock, daemon):
    rows = [
        {**ROW, "due": time.time() + 3725.5},
        {**ROW, "state": "ready", "provider": "", "last_reply": ""},
        {**ROW, "due": time.time() - 5},
    ]
    daemon.answers["queue.list"] = {"rows": rows, "total": 12}
    result = penstock("queue", "list", "--provider", "gmail", "-d", "Gmail.com", "--limit", "3")
    assert result.exit_code == 0
    assert daemon.asked == [
        ("queue.list", {"selector": {"domain": "gmail.com", "provider": "gmail"}, "limit": 3})
    ]
    out = result.stdout
    assert "in 1h02m" in out
    assert "now" in out
    assert out.splitlines()[1].split()[:3] == ["3b0b7b200b", "scheduled", "retry"]
    assert "[red]unusual rate[/red]" in out  # as it came: neither markup nor a terminal's command
    assert "\x1b" not in out
    assert "12 queued, 9 more (see --limit)" in out


def test_list_of_nothing(penstock, daemon):
    daemon.answers["queue.list"] = {"rows": [], "total": 0}
    assert penstock("queue", "list").stdout == "0 queued\n"
    assert daemon.asked == [("queue.list", {"selector": {}, "limit": 50})]


def test_list_for_programs(penstock, daemon):
    daemon.answers["queue.list"] = {"rows": [ROW], "total": 1}
    assert json.loads(penstock("queue", "list", "--json").stdout) == {"rows": [ROW], "total": 1}


def test_show(penstock, daemon):
    message = {"sender": "news@shop.example", "received_at": 1.7e9, "tenant": "", "size": 4096}
    daemon.answers["queue.show"] = {"message": message, "recipients": [ROW]}
    result = penstock("queue", "show", "3b0b7b200b")
    assert daemon.asked == [("queue.show", {"id": "3b0b7b200b"})]
    assert "4096" in result.stdout
    assert "2023-11-1" in result.stdout
    assert "tenant" not in result.stdout
    assert "ann@gmail.com" in result.stdout
    as_json = penstock("queue", "show", "3b0b7b200b", "--json")
    assert json.loads(as_json.stdout)["message"] == message


def test_show_of_what_is_not_there(penstock, daemon):
    daemon.answers["queue.show"] = ("not-found", "no message 0abc in the queue")
    result = penstock("queue", "show", "0abc")
    assert (result.exit_code, result.stderr) == (1, "penstock: no message 0abc in the queue\n")


NEEDY = [
    ("suspend",),
    ("resume",),
    ("retry",),
    ("bounce",),
    ("reroute", "--to-pool", "w"),
    ("expire", "--in", "2h"),
]


@pytest.mark.parametrize("command", NEEDY)
def test_steering_needs_to_know_which_mail(command, penstock, daemon):
    result = penstock("queue", *command)
    assert result.exit_code == 2
    assert "say which mail: one or more of --tenant, --campaign" in result.stderr
    assert not daemon.asked


STEERING = [
    (
        ("suspend", "--provider", "gmail", "--for", "30m", "--reason", "blocked"),
        {"selector": {"provider": "gmail"}, "reason": "blocked", "duration_s": 1800.0},
        "suspended",
    ),
    (
        ("suspend", "--tenant", "t", "--campaign", "c"),
        {"selector": {"tenant": "t", "campaign": "c"}, "reason": ""},
        "suspended",
    ),
    (
        ("suspend", "--source", "s1", "--pool", "main", "--class", "bulk", "-d", "X.example"),
        {
            "selector": {"domain": "x.example", "source": "s1", "pool": "main", "class": "bulk"},
            "reason": "",
        },
        "suspended",
    ),
    (("resume", "--domain", "x.example"), {"selector": {"domain": "x.example"}}, "resumed"),
    (("retry", "-p", "yahoo"), {"selector": {"provider": "yahoo"}, "reason": ""}, "due now"),
    (
        ("bounce", "-t", "t", "--yes"),
        {"selector": {"tenant": "t"}, "reason": "", "tell": False},
        "being bounced",
    ),
    (
        ("bounce", "-t", "t", "--yes", "--tell-senders", "--for", "1h"),
        {"selector": {"tenant": "t"}, "reason": "", "tell": True, "duration_s": 3600.0},
        "being bounced",
    ),
    (
        ("reroute", "-t", "t", "--to-pool", "warm", "--for", "2d"),
        {"selector": {"tenant": "t"}, "pool": "warm", "reason": "", "duration_s": 172_800.0},
        "rerouted",
    ),
]


@pytest.mark.parametrize(("arguments", "asked", "said"), STEERING)
def test_steering(arguments, asked, said, penstock, daemon, monkeypatch):
    monkeypatch.setattr("penstock.cli_queue.user_name", lambda: "ann")
    method = f"queue.{arguments[0]}"
    answer = {"id": "x7", "keys": 2, "messages": 7, "away": []}
    daemon.answers[method] = answer
    result = penstock("queue", *arguments)
    assert (result.exit_code, result.stdout) == (0, f"{said}: 7 in 2 queues (x7)\n")
    assert daemon.asked == [(method, {**asked, "who": "ann"})]
    as_json = penstock("queue", *arguments, "--json")
    assert json.loads(as_json.stdout) == answer


def test_a_worker_that_was_away_is_named(penstock, daemon):
    daemon.answers["queue.suspend"] = {"id": "s1", "keys": 1, "messages": 2, "away": [0, 3]}
    out = penstock("queue", "suspend", "-t", "t").stdout
    assert out.splitlines()[0] == "suspended: 2 in 1 queues (s1)"
    assert out.splitlines()[1].startswith("worker 0, 3 is starting: not counted")


def test_expire_moves_the_expiry_to_a_moment(penstock, daemon):
    daemon.answers["queue.expire"] = {"id": "e1", "keys": 1, "messages": 2, "away": []}
    at = ("--at", "2100-01-02T08:00+01:00")
    result = penstock("queue", "expire", "-t", "t", *at, "--yes")
    assert result.stdout == "with a new expiry: 2 in 1 queues (e1)\n"
    [(_, params)] = daemon.asked
    assert params["expires_at"] == 4102556400.0  # 2100-01-02 07:00 UTC
    penstock("queue", "expire", "-t", "t", "--in", "2h", "--yes")
    assert abs(daemon.asked[1][1]["expires_at"] - time.time() - 7200) < 60


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "either --at or --in"),
        (("--at", "2100-01-01", "--in", "2h"), "either --at or --in"),
        (("--at", "tomorrow"), "not a time: 'tomorrow'"),
        (("--at", "2001-01-01"), "2001-01-01 has passed"),
        (("--in", "a while"), "not a duration"),
    ],
)
def test_expire_needs_one_moment(arguments, said, penstock, daemon):
    result = penstock("queue", "expire", "-t", "t", "--yes", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not daemon.asked


OPERATIONS = [
    {"id": "s1", "verb": "suspend", "selector": {"provider": "gmail", "tenant": "[b]x"}}
    | {"since": 1.7e9, "until": 0.0, "who": "ann", "reason": "blocked", "args": {}},
    {"id": "r2", "verb": "reroute", "selector": {"class": "bulk"}, "since": 1.7e9}
    | {"until": 4e9, "who": "bob", "reason": "", "args": {"pool": "warm"}},
    {"id": "b3", "verb": "bounce", "selector": {"campaign": "c"}, "since": 1.7e9}
    | {"until": 0.0, "who": "bob", "reason": "", "args": {"tell": False, "before": 1.7e9}},
    {"id": "e4", "verb": "expire", "selector": {"campaign": "c"}, "since": 1.7e9}
    | {"until": 0.0, "who": "bob", "reason": "", "args": {"expires_at": 4e9, "before": 1.7e9}},
]


def test_operations_are_listed(penstock, daemon):
    daemon.answers["queue.operations"] = {"operations": OPERATIONS, "max": 1000}
    result = penstock("queue", "operations")
    heading, suspend, reroute, bounce, expire = result.stdout.splitlines()
    assert heading.split() == ["id", "what", "which", "mail", "since", "time", "left", "who", "why"]
    assert suspend.startswith("s1  suspend")
    assert "provider=gmail tenant=[b]x" in suspend
    assert suspend.endswith("until cancelled  ann  blocked")
    assert "reroute to warm" in reroute
    assert re.search(r"\d+d\d\dh", reroute)
    assert "until done" in bounce
    assert "expire at 2096-10-0" in expire
    as_json = json.loads(penstock("queue", "operations", "--json").stdout)
    assert as_json == {"operations": OPERATIONS, "max": 1000}


def test_no_operation(penstock, daemon):
    daemon.answers["queue.operations"] = {"operations": [], "max": 1000}
    assert penstock("queue", "operations").stdout == "no operation is in force\n"


def test_cancel(penstock, daemon, monkeypatch):
    monkeypatch.setattr("penstock.cli_queue.user_name", lambda: "ann")
    daemon.answers["queue.cancel"] = {"ids": ["r2"], "keys": 1, "messages": 9, "away": []}
    assert penstock("queue", "cancel", "r2").stdout == "let go of: 9 in 1 queues\n"
    assert daemon.asked == [("queue.cancel", {"id": "r2", "who": "ann"})]
    daemon.answers["queue.cancel"] = ("not-found", "no operation 'r2': it has ended, or never was")
    result = penstock("queue", "cancel", "r2")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("penstock: no operation 'r2'")


@pytest.mark.parametrize("text", ["a while", "0s"])
def test_a_duration_that_is_none(text, penstock, daemon):
    result = penstock("queue", "suspend", "-p", "gmail", "--for", text)
    assert result.exit_code == 2
    assert "not a duration" in result.stderr or "a time of nothing" in result.stderr
    assert not daemon.asked


def test_bounce_asks_first(penstock, daemon):
    daemon.answers["queue.list"] = {"rows": [], "total": 41}
    daemon.answers["queue.bounce"] = {"id": "b1", "keys": 1, "messages": 41, "away": []}
    refused = penstock("queue", "bounce", "-p", "gmail", input="n\n")
    assert refused.exit_code == 1
    assert "Bounce 41 queued for provider=gmail?" in refused.stderr
    assert [method for method, _ in daemon.asked] == ["queue.list"]
    done = penstock("queue", "bounce", "-p", "gmail", input="y\n")
    assert done.exit_code == 0
    assert "being bounced: 41 in 1 queues" in done.stdout
