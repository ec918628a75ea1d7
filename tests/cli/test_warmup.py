"""How ``penstock warmup`` says where a source stands; with a daemon: tests/daemon."""

from __future__ import annotations

from typing import Any

from penstock.cli_warmup import lines_of

ROW: dict[str, Any] = {
    "source": "out9",
    "provider": "gmail",
    "plan": "conservative",
    "warm": False,
    "day": 5,
    "days": 28,
    "held": "",
    "stopped": "",
    "sent": 140,
    "messages": 200,
    "now": 3,
    "next_at": 1_800_000_000.0,
    "warm_on": "2026-12-22",
    "warm_on_at_pace": "2027-01-05",
    "history": [
        {
            "date": f"2026-11-2{n}",
            "day": day,
            "messages": sent,
            "sent": sent,
            "verdict": verdict,
            "reason": f"{sent} of {sent} sent",
        }
        for n, (day, sent, verdict) in enumerate(
            [(1, 50, "advance"), (2, 75, "hold"), (2, 75, "advance"), (3, 100, "back")]
        )
    ],
}

AT_PACE = "2027-01-05 at the pace of the last days"


def test_progress_days_reason_and_forecast() -> None:
    assert lines_of(ROW) == [
        "out9 → gmail: ███░░░░░░░░░░░░░░░░░░░░░ day 5 of 28, 140 of 200 used today",
        "    ▅▆▆█",
        "     = <   = held, < set back",
        "    2026-11-23: back: 100 of 100 sent",
        f"    plan conservative, warm on 2026-12-22 at best, {AT_PACE}",
    ]


def test_held_stopped_and_waiting() -> None:
    head, *_, last = lines_of({**ROW, "held": "asked to", "warm_on": None, "now": 0})
    assert head.endswith("used today; held: asked to")
    assert last.startswith(
        "    plan conservative, no end while it is held; more may go at 2027-01-1"
    )
    assert "stopped today: blocked" in lines_of({**ROW, "stopped": "blocked"})[0]


def test_warm_is_one_line() -> None:
    warm = {**ROW, "warm": True, "provider": "", "messages": None}
    assert lines_of(warm) == ["out9 → other: warm (plan conservative)"]
