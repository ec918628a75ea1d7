"""Those who wait for a limit, in line, one line a limit: nobody looks at them until it is time.

A limit may stand in the way of one site or of a hundred thousand of them (a tenant's rate, a
source's connections). When it says *not before then*, whoever asked joins its line, and one timer
is set. When it fires the first in line is woken and asks again; if it is granted the next is woken
at once, since there may be more, and if it is refused it goes back to its place. So a token costs
two questions, however many wait for it, and they get their turns in order.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

_PAUSE_S_MIN = 0.001
_SEATS = "seats "
_AT_ONCE = 200  # woken together where a gate opens for everybody
_AT_ONCE_S = 0.005


class Sleeper(Protocol):
    """Stands in one line at most. ``turn``: the line that woke it, until it waits again."""

    gate: Gate | None
    turn: str

    def awake(self) -> None:
        """Its gate may have opened: ask again."""
        ...


class Gate:
    """One line. ``until`` is on the loop's axis; ``everybody``: a time that came is no scarce
    token, and all may go; ``seats``: it is for the seats of ``key`` and not for its tokens."""

    __slots__ = ("everybody", "first", "key", "rest", "seats", "step_s", "timer", "until")

    def __init__(self, key: str, seats: bool, everybody: bool) -> None:
        self.key, self.seats = key, seats
        self.everybody = everybody
        self.until = 0.0
        self.step_s = 0.0
        self.first: Sleeper | None = None
        self.rest: dict[Sleeper, None] | None = None
        self.timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return (self.first is not None) + (len(self.rest) if self.rest else 0)

    @property
    def line(self) -> str:
        """What sets it apart from all others: a key may have a number of seats and a rate."""
        return line_of(self.key, self.seats)

    @property
    def last_turn(self) -> float:
        """About when it is the turn of the last in line."""
        return self.until if self.everybody else self.until + self.step_s * (len(self) - 1)

    def join(self, sleeper: Sleeper) -> None:
        """Last in line; first, if it was its turn and nobody took the place."""
        if self.first is None and (sleeper.turn == self.line or not self.rest):
            self.first = sleeper
        else:
            self.rest = self.rest if self.rest is not None else {}
            self.rest[sleeper] = None
        sleeper.gate, sleeper.turn = self, ""

    def pop(self) -> Sleeper | None:
        sleeper = self.first
        if sleeper is None and self.rest:
            sleeper = next(iter(self.rest))
            del self.rest[sleeper]
        self.first = None
        if sleeper is not None:
            sleeper.gate = None
        return sleeper

    def leave(self, sleeper: Sleeper) -> None:
        if self.first is sleeper:
            self.first = None
        elif self.rest:
            self.rest.pop(sleeper, None)
        sleeper.gate = None


class Gates:
    """All lines of one worker: by the key of the limit, seats and tokens apart."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._gates: dict[str, Gate] = {}

    def __len__(self) -> int:
        return len(self._gates)

    def wait(
        self,
        key: str,
        sleeper: Sleeper,
        until: float,
        step_s: float,
        *,
        everybody: bool = False,
        seats: bool = False,
    ) -> None:
        """``sleeper`` waits for ``key``, which said *not before* ``until``; ``step_s``: how far
        apart its tokens are. One that waits elsewhere already is taken from there."""
        if sleeper.gate is not None:
            self.leave(sleeper)
        gate = self.get(key, seats)
        if gate is None:
            gate = Gate(key, seats, everybody)
            self._gates[gate.line] = gate
        gate.join(sleeper)
        gate.step_s = step_s
        self._arm(gate, max(_PAUSE_S_MIN, until - self._loop.time()))

    def leave(self, sleeper: Sleeper) -> None:
        """It does not wait any more, for whatever reason."""
        gate = sleeper.gate
        sleeper.turn = ""
        if gate is not None:
            gate.leave(sleeper)
            self._tidy(gate)

    def passed(self, key: str, seats: bool = False) -> None:
        """Something was granted, or given back: there may be more."""
        gate = self.get(key, seats)
        if gate is not None:
            self._next(gate)

    def get(self, key: str, seats: bool = False) -> Gate | None:
        """The line of ``key``, where somebody waits for it."""
        return self._gates.get(line_of(key, seats))

    def waiting(self, key: str, seats: bool = False) -> int:
        """How many stand in the line of ``key``."""
        gate = self.get(key, seats)
        return len(gate) if gate is not None else 0

    def close(self) -> None:
        for gate in self._gates.values():
            if gate.timer is not None:
                gate.timer.cancel()
        self._gates.clear()

    def _arm(self, gate: Gate, pause: float) -> None:
        if gate.timer is not None:
            gate.timer.cancel()
        gate.until = self._loop.time() + pause
        gate.timer = self._loop.call_later(pause, self._open, gate)

    def _open(self, gate: Gate) -> None:
        gate.timer = None
        if gate.everybody:
            for _ in range(_AT_ONCE):
                if not self._next(gate):
                    return
            self._arm(gate, _AT_ONCE_S)
            return
        self._next(gate)
        # who was woken may take its time, or have nothing to send any more: the next gets a turn
        # with the next token
        if len(gate) and gate.timer is None:
            self._arm(gate, max(_PAUSE_S_MIN, gate.step_s))

    def _next(self, gate: Gate) -> bool:
        sleeper = gate.pop()
        if sleeper is None:
            self._tidy(gate)
            return False
        sleeper.turn = gate.line
        sleeper.awake()
        self._tidy(gate)
        return True

    def _tidy(self, gate: Gate) -> None:
        if not len(gate) and self._gates.get(gate.line) is gate:
            if gate.timer is not None:
                gate.timer.cancel()
                gate.timer = None
            del self._gates[gate.line]


def line_of(key: str, seats: bool) -> str:
    """The name of a line."""
    return f"{_SEATS}{key}" if seats else key


def key_of(line: str) -> tuple[str, bool]:
    """The key of a line, and whether it is for seats."""
    return line.removeprefix(_SEATS), line.startswith(_SEATS)
