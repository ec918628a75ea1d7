"""Random work, the power cut at every single I/O call, and what must be true afterwards.

A failure names its seed and call: ``replay(model, seed, call)`` runs just that one again. More
seeds: ``PENSTOCK_CRASH_SEEDS=100 pytest tests/queue/test_crash.py``.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from penstock_queue import PowerCut, SimDisk

STEPS = 60
SEEDS = int(os.environ.get("PENSTOCK_CRASH_SEEDS", "6"))
Factory = Callable[..., Any]


def work(model: Any, steps: int = STEPS) -> None:
    model.open()
    for _ in range(steps):
        model.step()


def calls_of(model: Factory, seed: int) -> int:
    disk = SimDisk(seed)
    work(model(seed, disk))
    return disk.calls


def replay(model: Factory, seed: int, call: int) -> None:
    """Cut at ``call``, cut the recovery as well where chance says so, then check three times."""
    disk = SimDisk(seed)
    subject = model(seed, disk)
    disk.cut_at = call
    try:
        work(subject)
    except PowerCut:
        pass
    else:
        pytest.fail("the power was not cut")
    rng = random.Random(seed * 100_003 + call)
    crash = disk.crash if rng.random() < 0.8 else lambda _: disk.kill()
    crash(rng)
    for _ in range(rng.randrange(3)):
        disk.cut_at = disk.calls + rng.randrange(1, 30)
        try:
            subject.open()
        except PowerCut:
            disk.crash(rng)
        else:
            disk.cut_at = None
            subject.queue.close()
    live = subject.verify()
    subject.queue.close()
    disk.crash(rng)
    assert subject.verify() == live, "a second recovery finds something else"
    for _ in range(15):
        subject.step()
    subject.queue.close()
    disk.crash(rng)
    subject.verify()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_lost_or_comes_back_whenever_the_power_is_cut(model: Factory, seed: int) -> None:
    calls = calls_of(model, seed)
    assert calls > STEPS // 4, "there is something to cut"
    for call in range(1, calls + 1):
        try:
            replay(model, seed, call)
        except Exception as error:
            raise AssertionError(f"replay(model, {seed}, {call})") from error
