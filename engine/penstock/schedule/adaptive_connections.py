"""How many connections: found apart from the rate, for providers that count them.

One more is tried where mail waits, all that are allowed are in use, and the rate would let more
through. Where a provider says that there are too many there is one fewer, or as many fewer as the
share that it turned away; as many as were too many are tried again only after a while.

A host that does not answer is not the provider's word on connections. Only where nothing at all
connects for a time are there fewer, so that one dead host of many slows nothing.
"""

from __future__ import annotations

from dataclasses import replace

from penstock.schedule.adaptive_rate import binding
from penstock.schedule.adaptive_state import AdaptiveConfig, AdaptiveState, Tally, clock


def crowded(config: AdaptiveConfig, state: AdaptiveState, tally: Tally, now: float) -> int:
    """How many replies are taken to speak of connections: those that say so, or, where none
    does, all if every connection was in use and a cut of the rate just before was no help."""
    if state.connections <= config.connections_min:
        return 0
    if tally.crowded or tally.in_use < state.connections or state.good < 1:
        return tally.crowded
    since = now - state.cut_at
    untried = state.connections_cut_at < state.cut_at  # then it is the rate's turn again
    no_help = untried and config.settle_s <= since < config.settle_s * config.connections_again
    return tally.throttled if no_help else 0


def step(
    config: AdaptiveConfig, state: AdaptiveState, tally: Tally, bad: int, now: float
) -> AdaptiveState:
    """``bad``: from :func:`crowded`. The tally was heard already."""
    if bad:
        if now < state.connections_cut_at + config.settle_s:
            return state
        return _cut(config, state, tally, bad, now)
    state = _failing(config, state, tally, now)
    idle = not tally.busy or tally.in_use < state.connections or binding(state)
    if idle or tally.throttled or tally.blocked or not tally.delivered:
        return state
    if now < max(state.connections_set_at, state.connections_cut_at) + config.connections_step_s:
        return state
    return _grow(config, state, now)


def _cut(
    config: AdaptiveConfig, state: AdaptiveState, tally: Tally, bad: int, now: float
) -> AdaptiveState:
    share = min(bad / max(tally.in_use, 1), 1.0)
    wait_s = config.connections_retry_s if tally.crowded else config.connections_guess_s
    base = min(state.connections, max(tally.in_use, config.connections_min + 1))
    count = min(base - 1, round(base * max(1 - share, config.cut_most)))
    return replace(
        state,
        connections=max(count, config.connections_min),
        refused_connections=base,
        connections_cut_at=now,
        connections_retry_at=now + wait_s,
        bad_at=now,
        good=0.0,
        bad=0.0,
        reason=f"{base} connections were too many at {clock(now)}",
    )


def _failing(
    config: AdaptiveConfig, state: AdaptiveState, tally: Tally, now: float
) -> AdaptiveState:
    if tally.connected or tally.delivered:
        return replace(state, failing_at=0.0) if state.failing_at else state
    if not tally.connect_failed or tally.hosts_failed * 2 <= tally.hosts:
        return state
    if not state.failing_at:
        return replace(state, failing_at=now)
    if now < max(state.failing_at, state.connections_set_at) + config.failing_s:
        return state
    return replace(
        state,
        connections=max(state.connections // 2, config.connections_min),
        connections_set_at=now,
        reason=f"nothing connects since {clock(state.failing_at)}",
    )


def _grow(config: AdaptiveConfig, state: AdaptiveState, now: float) -> AdaptiveState:
    count, refused = state.connections + max(1, state.connections // 4), state.refused_connections
    if refused and count >= refused:
        if now >= state.connections_retry_at:
            count, refused = max(refused, state.connections + 1), 0
        else:
            count = max(refused - 1, state.connections)
    if count == state.connections:
        return state
    return replace(state, connections=count, refused_connections=refused, connections_set_at=now)
