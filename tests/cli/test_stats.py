"""``penstock stats``, and what ``status`` and ``explain`` say of the collector and of guards."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from tests.cli.test_cli import STATUS
from tests.cli.test_explain import answer as explained
from tests.cli.test_explain import explanation

from penstock.collector.counts import COLUMNS, rates

COUNTS = dict.fromkeys(COLUMNS, 0) | {
    "accepted": 1200,
    "sent": 1100,
    "delivered": 1000,
    "bounced": 20,
    "hard_bounced": 10,
    "complaints": 3,
}
ROW: dict[str, Any] = {**COUNTS, "bounces": {"bad-mailbox": 20}, "rates": rates(COUNTS)}


def answer(by: str = "", *rows: dict[str, Any], more: int = 0) -> dict[str, Any]:
    now = time.time()
    return {"since": now, "until": now, "by": by, "rows": list(rows), "more": more, "total": ROW}


def test_totals_with_rates_and_bounces(penstock, daemon) -> None:
    daemon.answers["stats"] = answer()
    result = penstock("stats")
    assert result.exit_code == 0, result.output
    (total,) = [line for line in result.stdout.splitlines() if line.startswith("total")]
    assert total.split()[:4] == ["total", "1,200", "1,100", "1,000"]
    assert "0.30" in total.split(), "complaints, of those delivered"
    assert "bounced: bad-mailbox 20" in result.stdout
    assert "cancelled" not in result.stdout
    ((method, params),) = daemon.asked
    assert (method, params["since_s"], params["by"], params["tenant"]) == ("stats", 86400, "", None)


def test_what_was_taken_back_is_said_where_there_is_some(penstock, daemon) -> None:
    daemon.answers["stats"] = {**answer(), "total": {**ROW, "cancelled": 1500}}
    result = penstock("stats")
    assert result.exit_code == 0, result.output
    assert "cancelled: 1,500" in result.stdout


def test_what_is_asked_for_is_asked(penstock, daemon) -> None:
    rows = [{**ROW, "tenant": "shop", "campaign": "spring"}, {**ROW, "tenant": "", "campaign": ""}]
    daemon.answers["stats"] = answer("campaign", *rows, more=7)
    result = penstock(
        *("stats", "--tenant", "shop", "--provider", "", "--class", "bulk"),
        *("--since", "2d", "--by", "campaign", "--limit", "2"),
    )
    assert result.exit_code == 0, result.output
    assert "shop/spring" in result.stdout
    assert "-/-" in result.stdout
    assert "and 7 more" in result.stdout
    ((_, params),) = daemon.asked
    assert params == {
        "tenant": "shop",
        "campaign": None,
        "provider": "",
        "class": "bulk",
        "since_s": 172800.0,
        "by": "campaign",
        "limit": 2,
    }


@pytest.mark.parametrize("by", ["hour", "tenant", "provider", "class"])
def test_each_kind_of_row_has_a_name(penstock, daemon, by: str) -> None:
    name: Any = 1_700_000_000 if by == "hour" else "gmail"
    daemon.answers["stats"] = answer(by, {**ROW, by: name})
    result = penstock("stats", "--by", by)
    assert result.exit_code == 0, result.output
    assert ("2023-11-1" if by == "hour" else "gmail") in result.stdout


def test_for_programs_and_mistakes(penstock, daemon) -> None:
    daemon.answers["stats"] = answer()
    assert json.loads(penstock("stats", "--json").stdout)["total"]["delivered"] == 1000
    wrong = penstock("stats", "--by", "week")
    assert (wrong.exit_code, "hour, tenant" in wrong.stderr) == (2, True)
    assert penstock("stats", "--since", "soon").exit_code == 2


def test_status_shows_who_is_behind(penstock, daemon) -> None:
    def consumer(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "lag_events": 0, "lag_s": 0.0, "failures": 0, "error": "", **more}

    consumers = [
        consumer("statistics"),
        consumer("webhooks", lag_events=12_000, lag_s=75.0),
        consumer("reports", failures=3, error="OSError: full"),
    ]
    found = {"enabled": True, "ready": True, "pid": 7, "away_s": 0.1, "consumers": consumers}
    daemon.answers["status"] = {**STATUS, "collector": found}
    shown = penstock("status").stdout
    assert "statistics: up to date" in shown
    assert "webhooks: 12,000 events behind, 1m15s" in shown
    assert "reports: failed 3 times in a row: OSError: full" in shown
    daemon.answers["status"] = {**STATUS, "collector": {**found, "ready": False}}
    assert "collector: away" in penstock("status").stdout
    daemon.answers["status"] = {**STATUS, "collector": {"enabled": False, "ready": False}}
    assert "collector" not in penstock("status").stdout


def test_explain_shows_the_guards_that_tripped(penstock, daemon) -> None:
    trip = {
        "id": "g1",
        "guard": "complaints",
        "tenant": "shop",
        "campaign": "spring",
        "at": time.time() - 65,
        "until": 0,
        "action": "tell",
        "reason": "complaints 0.3% of 1,000 delivered in 1h, above 0.2%",
        "where": "policies/guards.toml:5",
    }
    one = explanation(guards=[trip])
    daemon.answers["explain"] = explained(one)
    shown = penstock("explain", "0abc").stdout
    assert "guards that tripped for it:" in shown
    assert "guard complaints (policies/guards.toml:5): complaints 0.3% of 1,000" in shown
    assert "it only tells" in shown
    daemon.answers["explain"] = explained(one, {**one, "id": "0abd"})
    assert penstock("explain", "gmail.com").stdout.count("guard complaints") == 1
