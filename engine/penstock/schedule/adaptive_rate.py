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
_AHEAD = 2.0  # how far the rate may grow above what is let through
_BUSY_S, _BUSY_MESSAGES = 2.0, 2.0  # for so long, mail that waited is taken to wait still
_USED = 1.2  # how far above what is let through it is taken for used
_MARK = 1.05  # the mark above the rate after a cut; the rate before is more than what is possible


def binding(state: AdaptiveState) -> bool:
    """Whether the rate is what holds mail back, and not connections."""
    return state.flow_per_s >= _FAST_SHARE * state.allowed_per_s


def hear(config: AdaptiveConfig, state: AdaptiveState, tally: Tally, now: float) -> AdaptiveState:
    """The window and the flow, with this tally."""
    dt = now - state.seen_at if state.seen_at else 0.0
    window_s = max(config.window_s, config.window_messages / state.rate_per_s)
    flow_s = max(config.flow_s, config.flow_messages / state.rate_per_s)
    kept, fresh = math.exp(-dt / window_s), -math.expm1(-dt / flow_s)
    through = tally.delivered + tally.greylisted + tally.refused
    bad = tally.throttled + tally.blocked - tally.crowded
    weight = fresh / dt if dt else 1 / flow_s
    # about what was before the cut
    late = now < max(state.cut_at, state.connections_cut_at) + config.lag_s
    return replace(
        state,
        good=state.good * kept + (0 if late else through + tally.deferred),
        bad=state.bad * kept + (0 if late else bad),
        busy_at=now if tally.busy else state.busy_at,
        blocked=state.blocked * kept + tally.blocked,
        shut=0.0 if through else state.shut + bad,
        flow_per_s=state.flow_per_s * (1 - fresh) + through * weight,
        allowed_per_s=state.allowed_per_s * (1 - fresh) + state.rate_per_s * fresh,
    )


def step(
    config: AdaptiveConfig, state: AdaptiveState, tally: Tally, bad: int, now: float
) -> AdaptiveState:
    """``bad``: how many replies said that the rate is too high. The tally was heard already."""
    if bad:
        state = replace(state, grown_at=now, bad_at=now)
        since = now - max(state.cut_at, state.connections_cut_at)
        if _is_shut(config, state, now):
            due = since >= config.lag_s
        else:
            due = since >= config.settle_s and _is_much(config, state)
        return _cut(config, state, now) if due else state
    if tally.delivered and state.probing:
        return _leave_floor(config, state, now)
    if not tally.delivered + tally.greylisted:
        return state
    # at a slow rate, what waits is not seen in the same second as what got through
    busy = now <= state.busy_at + max(_BUSY_S, _BUSY_MESSAGES / state.rate_per_s)
    if not busy or now < state.cut_at + config.settle_s:
        return replace(state, grown_at=now)
    if state.rate_per_s < _AHEAD * state.flow_per_s:
        return _grow(config, state, min(now - state.grown_at, config.double_s), now)
    return state


def _is_shut(config: AdaptiveConfig, state: AdaptiveState, now: float) -> bool:
    """Nothing at all gets through: no need to wait for what a cut brings."""
    many = state.shut >= config.shut_replies and state.bad >= config.shut_again
    return many and now >= state.good_at + config.shut_s


def _is_much(config: AdaptiveConfig, state: AdaptiveState) -> bool:
    return state.bad > config.tolerated_share * (state.good + state.bad)


def _cut(config: AdaptiveConfig, state: AdaptiveState, now: float) -> AdaptiveState:
    before, heard = state.rate_per_s, state.good + state.bad
    dry = state.shut >= config.dry_replies and now >= state.good_at + config.dry_s
    if state.probing or (dry and before <= config.rate_probe_per_s):
        return _probe(config, state, now)
    # what was never used was never tried
    used = before if binding(state) else min(before, _USED * state.flow_per_s)
    if before > config.rate_probe_per_s and _is_shut(config, state, now):
        floor = min(config.rate_probe_per_s, before * config.cut_most)
        rate = max(before * config.cut_shut, floor)
        what = "all throttled"
    else:
        share = state.bad / (heard + config.cut_doubt)
        rate = used * min(max(1 - share, config.cut_most), config.cut_least)
        rate = max(rate, before * config.cut_most)
        what = f"throttled {state.bad:.0f} of {heard:.0f}"
    if state.good < 1:  # closed for a time: that says little of how much is too much
        near = (state.near_per_s or before) * config.cut_least
    else:
        near = max(rate * _MARK, min(state.flow_per_s, before))
    rate = min(max(rate, config.rate_min_per_s), before)
    return replace(
        state,
        rate_per_s=rate,
        near_per_s=near,
        far_per_s=max(state.far_per_s, used),
        cut_at=now,
        good=0.0,
        bad=0.0,
        reason=f"{what} at {clock(now)}, cut from {per_time(before)} to {per_time(rate)}",
    )


def _probe(config: AdaptiveConfig, state: AdaptiveState, now: float) -> AdaptiveState:
    """Nothing gets through at any rate, as when a day's quota is used up: ask, ever more rarely."""
    rate = max(state.rate_per_s * config.cut_most, config.rate_min_per_s)
    return replace(
        state,
        rate_per_s=rate,
        near_per_s=0.0,
        far_per_s=state.far_per_s if state.probing else state.far_per_s / 2,
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
    slow = dt * min(1.0, rate / config.pass_rate_per_s)
    if not near:
        grown = rate * math.exp2(dt / config.double_s)
    elif rate < near:
        grown = rate + (near - rate) * -math.expm1(-dt / config.approach_s)
        grown += near * config.pass_share_per_s * slow
    else:
        grown = rate + (rate - near) * math.expm1(slow / config.pass_s)
        grown += near * config.pass_share_per_s * slow
    rate = min(grown, rate * 2)
    if near and rate > near * (1 + config.passed_share):
        near, far = 0.0, far if far > rate else 0.0
    return replace(state, rate_per_s=rate, near_per_s=near, far_per_s=far, grown_at=now)
