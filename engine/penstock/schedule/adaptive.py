"""The pace of one source at one provider, found from what the provider replies.

``step`` takes what is known, what came of the mail since, and the time, and says what is known
then; ``pace`` says what may be done. Both are pure, so that a replay of the tallies is a replay of
the decisions. In order: a block suspends; what speaks of connections changes their number; what
speaks of the rate changes the rate. Replies that say nothing of the pace (a full mailbox, a
greylisting, trouble of the other system) change nothing.

How it is done is said in the parts: ``adaptive_rate``, ``adaptive_connections``.
"""

from __future__ import annotations

from dataclasses import replace

from penstock.schedule import adaptive_connections, adaptive_rate
from penstock.schedule.adaptive_state import (
    AdaptiveConfig,
    AdaptiveState,
    Tally,
    clock,
    per_time,
)
from penstock.schedule.pace import Pace

__all__ = ["AdaptiveConfig", "AdaptiveState", "Tally", "pace", "step"]


def step(config: AdaptiveConfig, state: AdaptiveState, tally: Tally, now: float) -> AdaptiveState:
    """What is known after ``tally`` at ``now``. A fresh ``AdaptiveState()`` knows nothing."""
    state = _sound(config, _forget(config, _sound(config, state, now), now), now)
    if now < state.suspended_until:
        return replace(state, seen_at=now, grown_at=now)
    state = adaptive_rate.hear(config, state, tally, now)
    if _is_blocked(config, state, tally):
        return replace(_suspend(config, state, now), seen_at=now)
    crowded = adaptive_connections.crowded(config, state, tally, now)
    state = adaptive_connections.step(config, state, tally, crowded, now)
    bad = tally.throttled + tally.blocked - crowded
    state = adaptive_rate.step(config, state, tally, bad, now)
    if tally.delivered:
        state = replace(state, good_at=now)
    return replace(_sound(config, state, now), seen_at=now)


def pace(config: AdaptiveConfig, state: AdaptiveState, now: float) -> Pace:
    """What may be done at ``now``."""
    state = _sound(config, state, now)
    reason = state.reason or "nothing is known yet"
    not_before = state.suspended_until if now < state.suspended_until else 0.0
    return Pace(state.rate_per_s, state.connections, not_before, reason)


def _is_blocked(config: AdaptiveConfig, state: AdaptiveState, tally: Tally) -> bool:
    """One message in a great many that is told so was itself the reason."""
    heard = state.good + state.blocked
    return bool(tally.blocked) and state.blocked >= config.blocked_share * heard


def _suspend(config: AdaptiveConfig, state: AdaptiveState, now: float) -> AdaptiveState:
    again = now < state.suspended_until + config.suspend_again_s
    length = state.suspend_s * 2 if again and state.suspend_s else config.suspend_s
    length = min(length, config.suspend_max_s)
    return replace(
        state,
        rate_per_s=min(config.rate_probe_per_s, state.rate_per_s * config.cut_most),
        near_per_s=0.0,
        far_per_s=max(state.far_per_s, state.rate_per_s) / 2,
        probing=True,
        good=0.0,
        bad=0.0,
        blocked=0.0,
        cut_at=now,
        bad_at=now,
        suspended_until=now + length,
        suspend_s=length,
        reason=f"blocked at {clock(now)}, suspended for {length / 60:.0f} min",
    )


def _forget(config: AdaptiveConfig, state: AdaptiveState, now: float) -> AdaptiveState:
    if not state.bad_at or now < max(state.bad_at, state.suspended_until) + config.forget_s:
        return state
    return replace(
        state,
        near_per_s=0.0,
        far_per_s=0.0,
        refused_connections=0,
        good=0.0,
        bad=0.0,
        blocked=0.0,
        shut=0.0,
        suspend_s=0.0,
        suspended_until=0.0,
        bad_at=0.0,
        reason=f"no bad news for {config.forget_s / 3600:.0f} h, {per_time(state.rate_per_s)}",
    )


def _sound(config: AdaptiveConfig, state: AdaptiveState, now: float) -> AdaptiveState:
    """Within the bounds, which may have changed, and with no time that is still to come, as when
    the clock was set back."""
    rate = state.rate_per_s or config.rate_start_per_s
    connections = state.connections or config.connections_start
    return replace(
        state,
        rate_per_s=min(max(rate, config.rate_min_per_s), config.rate_max_per_s),
        connections=min(max(connections, config.connections_min), config.connections_max),
        seen_at=min(state.seen_at, now),
        grown_at=min(state.grown_at or now, now),
        cut_at=min(state.cut_at, now),
        bad_at=min(state.bad_at, now),
        busy_at=min(state.busy_at, now),
        good_at=min(state.good_at or now, now),
        connections_cut_at=min(state.connections_cut_at, now),
        connections_set_at=min(state.connections_set_at or now, now),
        connections_retry_at=min(state.connections_retry_at, now + config.connections_retry_s),
        failing_at=min(state.failing_at, now),
        suspended_until=min(state.suspended_until, now + config.suspend_max_s),
    )
