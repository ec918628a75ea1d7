"""``penstock webhooks``: what is asked of the daemon, and what is shown of its answers."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

ROW = {
    "name": "shop",
    "url": "https://app.example.com/hook",
    "tenant": "shop",
    "events": ["bounced"],
    "state": "failing",
    "disabled_at": "",
    "disabled_why": "",
    "waiting": 1234,
    "queue_bytes": 5,
    "behind": True,
    "lag_s": 61.0,
    "failures": 3,
    "next_try_at": "2026-11-28T12:05:00.000Z",
    "last": {"result": "failed", "status": 500, "reply": "no", "duration_s": 0.1},
    "last_at": "2026-11-28T12:00:00.000Z",
    "dead": 0,
    "missed": 7,
}


def test_list(penstock: Any, daemon: Any) -> None:
    daemon.answers["webhooks.list"] = {"endpoints": [ROW]}
    shown = penstock("webhooks", "list").stdout
    assert shown.splitlines() == [
        "shop: failing, https://app.example.com/hook (shop)",
        "    told of bounced",
        "    1,234 waiting, the oldest 61 s old, a part of them in the event log",
        "    last try at 2026-11-28T12:00:00.000Z: failed 500: no",
        "    failures in a row: 3; tried at 2026-11-28T12:05:00.000Z",
        "    never given: 0 after the last try, 7 deleted from the log before",
    ]
    assert json.loads(penstock("webhooks", "list", "--json").stdout)["endpoints"] == [ROW]


@pytest.mark.parametrize(("result", "code"), [("delivered", 0), ("tls", 1)])
def test_test(penstock: Any, daemon: Any, result: str, code: int) -> None:
    answer = {"name": "shop", "event": "test-1", "result": result, "status": 0, "reply": "x"}
    daemon.answers["webhooks.test"] = {**answer, "duration_s": 0.25}
    ran = penstock("webhooks", "test", "shop")
    assert ran.exit_code == code
    assert ran.stdout == f"shop: event test-1: {result}: x in 0.25 s\n"


def test_enable(penstock: Any, daemon: Any) -> None:
    daemon.answers["webhooks.enable"] = {"name": "shop", "was_disabled": True}
    assert penstock("webhooks", "enable", "shop").stdout == "shop: enabled\n"
    daemon.answers["webhooks.enable"] = ("not-found", "no webhook is named 'x'; there are: shop")
    ran = penstock("webhooks", "enable", "x")
    assert ran.exit_code == 1
    assert "there are: shop" in ran.stderr


@pytest.mark.parametrize(
    ("since", "since_s"), [("2026-01-31T12:00:00Z", 1769860800.0), ("6h", None)]
)
def test_replay(penstock: Any, daemon: Any, since: str, since_s: float | None) -> None:
    daemon.answers["webhooks.replay"] = {"name": "shop", "since": "then", "disabled": False}
    ran = penstock("webhooks", "replay", "shop", "--since", since)
    assert ran.stdout == "shop: events since then are delivered once more\n"
    asked = daemon.asked[-1][1]["since_s"]
    assert asked == pytest.approx(since_s or time.time() - 6 * 3600, abs=60)


@pytest.mark.parametrize("since", ["2026-99-99", "soon", ""])
def test_replay_since_when(penstock: Any, daemon: Any, since: str) -> None:
    ran = penstock("webhooks", "replay", "shop", "--since", since)
    assert ran.exit_code == 2
    assert daemon.asked == []
