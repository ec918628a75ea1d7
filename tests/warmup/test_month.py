"""A month of warming up in virtual time holds to its plan; ``bench/warmup.py`` plays and judges."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.warmup import BAD_DAY, PROVIDERS, Month, month

from penstock.sim.clock import VirtualClock, run_virtual


def _play(tmp_path: Path, days: int, restarts: int, seed: int) -> Month:
    play = month(str(tmp_path), days, restarts, seed)
    return run_virtual(play, VirtualClock(1000.0))


def test_some_days_with_restarts_keep_to_the_plan(tmp_path: Path) -> None:
    days = BAD_DAY + 3
    found = _play(tmp_path, days, 8, seed=3)
    assert found.problems == []
    assert found.verdicts["gmail"][BAD_DAY][0] == "hold"
    assert found.messages["gmail"][BAD_DAY + 1] == found.messages["gmail"][BAD_DAY]
    assert found.left == 0
    for provider in PROVIDERS:  # it gets on, and does not stay below what it may send
        assert found.sent[provider][-1] >= 0.9 * found.messages[provider][-1] > 40
    assert found.first_waited_s <= 60


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_a_month_with_twenty_restarts_and_other_numbers_of_workers(
    tmp_path: Path, seed: int
) -> None:
    found = _play(tmp_path, 30, 20, seed)
    assert found.problems == []
    assert found.restarts >= 20
