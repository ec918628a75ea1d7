"""``penstock queue``: what it asks of the daemon, and what it shows of the answer."""

from __future__ import annotations

import json
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


@pytest.mark.parametrize("verb", ["suspend", "resume", "retry", "bounce"])
def test_steering_needs_to_know_which_mail(verb, penstock, daemon):
    result = penstock("queue", verb)
    assert result.exit_code == 2
    assert "say which mail" in result.stderr
    assert not daemon.asked


@pytest.mark.parametrize(
    ("arguments", "asked", "said"),
    [
        (
            ("suspend", "--provider", "gmail", "--for", "30m", "--reason", "blocked"),
            {"selector": {"provider": "gmail"}, "reason": "blocked", "duration_s": 1800.0},
            "suspended: 7 in 2 queues\n",
        ),
        (
            ("suspend", "--tenant", "t", "--campaign", "c"),
            {"selector": {"tenant": "t", "campaign": "c"}, "reason": ""},
            "suspended: 7 in 2 queues\n",
        ),
        (
            ("resume", "--domain", "x.example"),
            {"selector": {"domain": "x.example"}, "reason": ""},
            "resumed: 7 in 2 queues\n",
        ),
        (
            ("retry", "-p", "yahoo"),
            {"selector": {"provider": "yahoo"}, "reason": ""},
            "due now: 7 in 2 queues\n",
        ),
        (
            ("bounce", "-t", "t", "--yes"),
            {"selector": {"tenant": "t"}, "reason": ""},
            "bounced: 7 in 2 queues\n",
        ),
    ],
)
def test_steering(arguments, asked, said, penstock, daemon, monkeypatch):
    monkeypatch.setattr("penstock.cli_queue.user_name", lambda: "ann")
    method = f"queue.{arguments[0]}"
    daemon.answers[method] = {"keys": 2, "messages": 7}
    result = penstock("queue", *arguments)
    assert (result.exit_code, result.stdout) == (0, said)
    assert daemon.asked == [(method, {**asked, "who": "ann"})]
    as_json = penstock("queue", *arguments, "--json")
    assert json.loads(as_json.stdout) == {"keys": 2, "messages": 7}


def test_a_duration_that_is_none(penstock, daemon):
    result = penstock("queue", "suspend", "-p", "gmail", "--for", "a while")
    assert result.exit_code == 2
    assert "not a duration" in result.stderr
    assert not daemon.asked


def test_bounce_asks_first(penstock, daemon):
    daemon.answers["queue.list"] = {"rows": [], "total": 41}
    daemon.answers["queue.bounce"] = {"keys": 1, "messages": 41}
    refused = penstock("queue", "bounce", "-p", "gmail", input="n\n")
    assert refused.exit_code == 1
    assert "Bounce 41 queued for provider=gmail?" in refused.stderr
    assert [method for method, _ in daemon.asked] == ["queue.list"]
    done = penstock("queue", "bounce", "-p", "gmail", input="y\n")
    assert done.exit_code == 0
    assert "bounced: 41 in 1 queues" in done.stdout
