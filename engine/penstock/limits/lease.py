"""Tokens that one worker holds and spends without asking: for rates too high to ask one by one.

A lease is a run of tokens, each with its own time, at most a quarter of a second ahead of now. The
worker spends a token when its time has come and drops it when it is later than ``late_s``: the
bucket that gave it out counted on that (``Gcra(late_s=...)``), so a lease bends no window, however
the worker spends it. What is not spent lapses; so a worker asks for one token at first and for
twice as many each time that it has used them all.
"""

from __future__ import annotations

from penstock.policy.rate import Rate
from penstock.schedule.rate import Gcra, bucket_for, slack_s

LEASE_S = 0.25
_TOKENS_MIN = 4  # fewer than that in LEASE_S: asked for exactly
_RUNS_MAX = 8


def lease_tokens(rate: Rate) -> int:
    """The most tokens that one lease of ``rate`` holds; 0: this rate is not leased."""
    if rate.period_s < 1.0 or rate.count < 2 or rate.counts_bytes:
        return 0
    tokens = int(rate.count / rate.period_s * LEASE_S)
    return tokens if tokens >= _TOKENS_MIN else 0


def shared_bucket(rate: Rate) -> Gcra:
    """The bucket that several workers draw on, by lease where the rate is high."""
    if lease_tokens(rate):
        return Gcra(rate, lead_s=LEASE_S, late_s=slack_s(rate))
    return bucket_for(rate)


class Lease:
    """What a worker holds of one key. Times are seconds on the worker's clock."""

    __slots__ = ("_lapsed", "_late_s", "_runs", "_size", "_size_max")

    def __init__(self, rate: Rate) -> None:
        self._late_s = slack_s(rate)
        self._runs: list[list[float]] = []  # [time of the first, step, how many], in order
        self._size = 1
        self._size_max = lease_tokens(rate)
        self._lapsed = True  # nothing was used yet

    def ask(self, want: int) -> int:
        """How many to ask for, when ``want`` are needed now."""
        self._size = 1 if self._lapsed else min(2 * self._size, self._size_max)
        self._lapsed = False
        return min(max(want, self._size), self._size_max)

    def fill(self, tokens: int, offset_s: float, step_s: float, now: float) -> None:
        """``tokens`` granted: the first to be used ``offset_s`` after ``now``, then one every
        ``step_s``; those whose time lies before ``now`` at once."""
        due = min(tokens, max(0, int(-offset_s / step_s) + 1)) if offset_s <= 0 else 0
        if due:
            self._runs.append([now, 0.0, due])
        if tokens > due:
            self._runs.append([now + offset_s + due * step_s, step_s, tokens - due])
        if len(self._runs) > _RUNS_MAX:
            del self._runs[0]

    def restore(self, tokens: int, now: float) -> None:
        """Spent by name only: usable again, for as long as any other."""
        self._runs.insert(0, [now, 0.0, min(tokens, self._size_max)])
        if len(self._runs) > _RUNS_MAX:
            del self._runs[0]

    def ready(self, now: float) -> int:
        """How many may be spent now."""
        self._lapse(now - self._late_s)
        total = 0
        for run in self._runs:
            due = _due(run, now)
            total += due
            if due < run[2]:
                break
        return total

    def spend(self, tokens: int, now: float) -> None:
        """Takes ``tokens`` <= ``ready(now)``."""
        while tokens > 0:
            run = self._runs[0]
            due = min(tokens, _due(run, now))
            tokens -= due
            _advance(run, due)
            if run[2] <= 0:
                del self._runs[0]

    def next_at(self) -> float | None:
        """When the next token's time comes; ``None`` if none is held."""
        return self._runs[0][0] if self._runs else None

    def _lapse(self, before: float) -> None:
        runs = self._runs
        while runs and runs[0][0] < before:
            self._lapsed = True
            run = runs[0]
            _advance(run, _due(run, before))
            if run[2] <= 0:
                del runs[0]


def _due(run: list[float], now: float) -> int:
    """How many tokens of a run have their time at ``now`` or before."""
    first, step, left = run
    if now < first:
        return 0
    return int(left) if step == 0.0 else min(int(left), int((now - first) / step) + 1)


def _advance(run: list[float], tokens: int) -> None:
    run[0] += tokens * run[1]
    run[2] -= tokens
