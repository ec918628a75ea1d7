"""``penstock bounces unmatched``: which rules to write next."""

from __future__ import annotations

import json

ANSWER = {
    "rows": [
        {"provider": "gmail", "reply": "550 hm <id> [x]", "category": "unknown", "count": 7},
        {"provider": "", "reply": "450 oh", "category": "policy", "count": 1},
    ],
    "total": 5,
    "replies": 20,
    "away": [1],
}


def test_a_line_for_each_text(daemon, penstock) -> None:
    daemon.answers["bounces.unmatched"] = ANSWER
    result = penstock("bounces", "unmatched", "--limit", "2")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[1] == ["7", "gmail", "unknown", "550", "hm", "<id>", "[x]"]
    assert lines[2] == ["1", "-", "policy", "450", "oh"]
    assert "and 3 more texts" in result.stdout
    assert "worker 1 could not be asked" in result.stdout
    assert daemon.asked == [("bounces.unmatched", {"limit": 2})]


def test_json_and_one_provider(daemon, penstock) -> None:
    daemon.answers["bounces.unmatched"] = ANSWER
    result = penstock("bounces", "unmatched", "--json", "--provider", "gmail")
    assert json.loads(result.stdout) == ANSWER
    assert daemon.asked == [("bounces.unmatched", {"limit": 50, "provider": "gmail"})]


def test_nothing_is_said_in_words(daemon, penstock) -> None:
    daemon.answers["bounces.unmatched"] = {"rows": [], "total": 0, "replies": 0, "away": []}
    result = penstock("bounces", "unmatched")
    assert result.stdout == "every reply so far was known to a rule\n"
