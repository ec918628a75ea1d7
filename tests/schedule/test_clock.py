"""The clock that decides: even, and slow to follow a jump of the machine's."""

from __future__ import annotations

import pytest

from penstock.schedule.clock import SLEW, STEP_S, SteadyClock


class Machine:
    def __init__(self) -> None:
        self.steady, self.wall = 50.0, 1_000_000.0
        self.clock = SteadyClock(lambda: self.wall, lambda: self.steady)

    def go_on(self, seconds: float) -> None:
        self.steady += seconds
        self.wall += seconds

    def look_for(self, seconds: int) -> list[float]:
        """A look a second; the jumps that were told."""
        told = []
        for _ in range(seconds):
            self.go_on(1.0)
            if jumped := self.clock.look():
                told.append(jumped)
        return told


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_it_begins_with_the_machines_and_runs_evenly(machine: Machine) -> None:
    assert machine.clock() == 1_000_000.0
    machine.go_on(90.0)
    assert machine.clock() == 1_000_090.0
    assert machine.look_for(10) == []


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_jump_is_told_once_and_followed_slowly(machine: Machine, jump: float) -> None:
    machine.look_for(5)
    before = machine.clock()
    machine.wall += jump
    assert machine.clock() == before
    assert machine.look_for(100) == [pytest.approx(jump)]
    assert machine.clock() == pytest.approx(before + 100 * (1 + SLEW * (1 if jump > 0 else -1)))
    assert machine.clock.offset_s == pytest.approx(jump * (1 - 100 * SLEW / 3600))
    assert machine.look_for(int(3600 / SLEW)) == []
    assert machine.clock() == pytest.approx(machine.wall)
    assert machine.clock.offset_s == 0.0


def test_it_never_goes_back(machine: Machine) -> None:
    machine.wall -= 86_400.0
    last = machine.clock()
    for _ in range(1000):
        machine.go_on(0.01)
        machine.clock.look()
        assert machine.clock() > last
        last = machine.clock()


def test_a_small_difference_is_followed_at_once(machine: Machine) -> None:
    machine.wall += STEP_S / 2
    assert machine.look_for(1) == []
    assert machine.clock() == machine.wall


def test_a_jump_there_and_back_leaves_nothing(machine: Machine) -> None:
    machine.wall += 3600.0
    assert machine.look_for(1) == [pytest.approx(3600.0)]
    machine.wall -= 3600.0
    assert machine.look_for(2) == [pytest.approx(-3600.0)]
    assert machine.clock() == pytest.approx(machine.wall)
