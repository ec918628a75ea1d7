"""Scenarios in virtual time; the world that they play in is ``penstock.sim.relay``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from penstock.sim.clock import VirtualClock, run_virtual

Scenario = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture
def play() -> Callable[[Scenario], None]:
    """Runs a scenario in virtual time."""

    def run(scenario: Scenario) -> None:
        run_virtual(scenario(), VirtualClock(1000.0))

    return run
