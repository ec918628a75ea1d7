"""The rate: how it grows while all is well, and how it is cut.

A cut remembers the rate that was too high. The way back is fast far below that mark, slow near it,
and fast again far above: the curve of CUBIC (RFC 9438), as a law of the distance to the mark
instead of the time, so that mail that pauses does not find a rate which nobody has tried. Where
there is no mark the rate doubles in equal times (slow start). A second mark, the highest rate that
was cut, is where growth slows down after the first has been passed: it brings the rate back when a
limit that fell has risen again.

Growth needs that the rate was what held mail back, and that mail got through.
"""

from __future__ import annotations

import math
from dataclasses import replace

from penstock.schedule.adaptive_state import AdaptiveConfig, AdaptiveState, Tally, clock, per_time

_FAST_SHARE = 0.9  # of the rate let through: the rate is what holds mail back
_AHEAD = 2.0  # how far the rate may be above what is let through


def binding(state: AdaptiveState) -> bool:
    """Whether the rate is what holds mail back, and not connections."""
    return state.flow_per_s >= _FAST_SHARE * state.rate_per_s


def hear(config: AdaptiveConfig, state: AdaptiveState, tally: Tally, now: float) -> AdaptiveState:
    """The window and the flow, with this tally."""
    dt = now - state.seen_at if state.seen_at else 0.0
    kept, flowing = math.exp(-dt / config.window_s), math.exp(-dt / config.flow_s)
    through = tally.delivered + tally.greylisted + tally.refused
    weight = (1 - flowing) / dt if dt else 1 / config.flow_s
    late = now < state.cut_at + config.lag_s  # about what was before the cut
    return replace(
        state,
        good=state.good * kept + (0 if late else through + tally.deferred),
        bad=state.bad * kept + (0 if late else tally.throttled + tally.blocked - tally.crowded),
        blocked=state.blocked * kept + tally.blocked,
        flow_per_s=state.flow_per_s * flowing + through * weight,
    )


def step(
    config: AdaptiveConfig, state: AdaptiveState, tally: Tally, bad: int, now: float
) -> AdaptiveState:
    """``bad``: how many replies said that the rate is too high. The tally was heard already."""
    if bad:
        state = replace(state, grown_at=now, bad_at=now)
        share = state.bad / (state.good + state.bad) if state.bad else 0.0
        if share <= config.tolerated_share or now < state.cut_at + config.settle_s:
            return state
        return _cut(config, state, now)
    if tally.delivered and state.probing:
        return _leave_floor(config, state, now)
    if not tally.busy or now < state.cut_at + config.settle_s:
        return replace(state, grown_at=now)
    if tally.delivered + tally.greylisted and state.rate_per_s < _AHEAD * state.flow_per_s:
        return _grow(config, state, min(now - state.grown_at, config.double_s), now)
    return state


def _cut(config: AdaptiveConfig, state: AdaptiveState, now: float) -> AdaptiveState:
    share = state.bad / (state.good + state.bad + config.cut_doubt)
    dry = state.good_at and now >= state.good_at + config.dry_s
    if state.probing or (dry and state.rate_per_s <= config.rate_probe_per_s):
        return _probe(config, state, now)
    factor = min(max(1 - share, config.cut_most), config.cut_least)
    base = min(state.rate_per_s, _AHEAD * state.flow_per_s)  # what was never used was never tried
    rate = min(max(base * factor, config.rate_probe_per_s), state.rate_per_s)
    heard = state.good + state.bad
    return replace(
        state,
        rate_per_s=rate,
        near_per_s=state.rate_per_s,
        far_per_s=max(state.far_per_s, state.rate_per_s),
        cut_at=now,
        good=0.0,
        bad=0.0,
        reason=f"throttled {state.bad:.0f} of {heard:.0f} at {clock(now)}, cut from "
        f"{per_time(state.rate_per_s)} to {per_time(rate)}",
    )


def _probe(config: AdaptiveConfig, state: AdaptiveState, now: float) -> AdaptiveState:
    """Nothing gets through at any rate, as when a day's quota is used up: ask, ever more rarely."""
    rate = state.rate_per_s / 2 if state.probing else config.rate_probe_per_s
    rate = min(max(rate, config.rate_min_per_s), state.rate_per_s)
    return replace(
        state,
        rate_per_s=rate,
        near_per_s=0.0,
        probing=True,
        cut_at=now,
        good=0.0,
        bad=0.0,
        reason=f"all throttled, as with a quota that is used up; probing at {per_time(rate)} "
        f"since {clock(now)}",
    )


def _leave_floor(config: AdaptiveConfig, state: AdaptiveState, now: float) -> AdaptiveState:
    """Something got through: from the start again, never above half of what was once too much."""
    rate = config.rate_start_per_s
    if state.far_per_s:
        rate = min(rate, state.far_per_s / 2)
    rate = max(rate, state.rate_per_s)
    return replace(
        state,
        rate_per_s=rate,
        near_per_s=0.0,
        probing=False,
        grown_at=now,
        reason=f"mail gets through again since {clock(now)}, from {per_time(rate)}",
    )


def _grow(config: AdaptiveConfig, state: AdaptiveState, dt: float, now: float) -> AdaptiveState:
    rate, near, far = state.rate_per_s, state.near_per_s, state.far_per_s
    if not near and far and rate * 2 >= far:
        near, far = far, 0.0
    if not near:
        rate *= math.exp2(dt / config.double_s)
    elif rate < near:
        rate += (near - rate) * -math.expm1(-dt / config.approach_s)
        rate += near * config.pass_share_per_s * dt
    else:
        rate += (rate - near) * math.expm1(dt / config.pass_s)
        rate += near * config.pass_share_per_s * dt
    if near and rate > near * (1 + config.passed_share):
        near, far = 0.0, far if far > rate else 0.0
    return replace(state, rate_per_s=rate, near_per_s=near, far_per_s=far, grown_at=now)
