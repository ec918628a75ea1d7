"""Whatever is replied: within bounds, never faster for worse news, and old news is forgotten."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.schedule.adaptive import AdaptiveConfig, AdaptiveState, Pace, Tally, pace, step

THOROUGH = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
START = 1_700_000_000.0
COUNT = st.one_of(st.integers(0, 3), st.integers(0, 2000))


SMALL = st.integers(0, 20)


def _tally(
    numbers: tuple[int, ...], blocked: int, connections: tuple[int, ...], busy: bool
) -> Tally:
    delivered, throttled, greylisted, deferred = numbers
    in_use, crowded, failed, hosts = connections
    return Tally(
        delivered=delivered,
        throttled=throttled,
        blocked=blocked,
        greylisted=greylisted,
        deferred=deferred,
        connected=hosts,
        connect_failed=failed,
        hosts=hosts,
        hosts_failed=min(failed, hosts),
        busy=busy,
        in_use=in_use,
        crowded=min(crowded, throttled),
    )


TALLIES = st.builds(
    _tally,
    st.tuples(COUNT, COUNT, COUNT, COUNT),
    st.sampled_from([0, 0, 0, 1, 50]),
    st.tuples(SMALL, st.sampled_from([0, 0, 1, 5]), SMALL, SMALL),
    st.booleans(),
)


HISTORIES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.3, 1.0, 1.0, 5.0, 20.0, 200.0, 5000.0]), TALLIES),
    max_size=20,
)
CONFIGS = st.builds(
    AdaptiveConfig,
    rate_min_per_s=st.floats(1e-4, 0.1),
    rate_max_per_s=st.floats(0.1, 1e4),
    connections_max=st.integers(1, 50),
)


def after(
    config: AdaptiveConfig, history: list[tuple[float, Tally]]
) -> tuple[AdaptiveState, float]:
    state, now = AdaptiveState(), START
    for passed, tally in history:
        now += passed
        state = step(config, state, tally, now)
    return state, now


def within(config: AdaptiveConfig, found: Pace, now: float) -> bool:
    assert found.rate_per_s is not None
    assert found.connections is not None
    return (
        config.rate_min_per_s <= found.rate_per_s <= config.rate_max_per_s
        and config.connections_min <= found.connections <= config.connections_max
        and found.not_before <= now + config.suspend_max_s
    )


@given(CONFIGS, HISTORIES)
@THOROUGH
def test_never_out_of_bounds(config: AdaptiveConfig, history: list[tuple[float, Tally]]) -> None:
    state, now = AdaptiveState(), START
    for passed, tally in history:
        now += passed
        state = step(config, state, tally, now)
        assert within(config, pace(config, state, now), now)


ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3))


@given(
    CONFIGS,
    st.dictionaries(st.sampled_from([field.name for field in fields(AdaptiveState)]), ANYTHING),
    st.lists(TALLIES, max_size=5),
)
@THOROUGH
def test_never_out_of_bounds_whatever_the_file_says(
    config: AdaptiveConfig, written: dict[str, object], history: list[Tally]
) -> None:
    state, now = AdaptiveState.from_dict(written), START
    assert within(config, pace(config, state, now), now)
    for tally in history:
        now += 1
        state = step(config, state, tally, now)
        assert within(config, pace(config, state, now), now)


@given(HISTORIES, TALLIES, st.integers(1, 500), st.integers(0, 500), st.sampled_from([0.5, 1, 15]))
@settings(THOROUGH, max_examples=400)
def test_worse_news_never_makes_it_faster(
    history: list[tuple[float, Tally]], tally: Tally, throttled: int, blocked: int, passed: float
) -> None:
    config = AdaptiveConfig()
    state, now = after(config, history)
    now += passed
    worse = replace(tally, throttled=tally.throttled + throttled, blocked=tally.blocked + blocked)
    one = pace(config, step(config, state, tally, now), now)
    other = pace(config, step(config, state, worse, now), now)
    assert other.not_before >= one.not_before
    assert one.rate_per_s is not None
    assert other.rate_per_s is not None
    assert other.rate_per_s <= one.rate_per_s
    if other.not_before <= now:  # who is suspended opens none at all
        assert one.connections is not None
        assert other.connections is not None
        assert other.connections <= one.connections


@given(HISTORIES, HISTORIES)
@settings(THOROUGH, max_examples=6)
def test_after_a_long_clean_time_it_is_as_if_nothing_had_been(
    one: list[tuple[float, Tally]], other: list[tuple[float, Tally]]
) -> None:
    config = AdaptiveConfig(rate_max_per_s=20.0)
    found = [_clean(config, history) for history in (one, other)]
    assert found[0] == pytest.approx(found[1])
    assert found[0] == pytest.approx((20.0, 10, 0.0, 0.0, 0.0))


def _clean(
    config: AdaptiveConfig, history: list[tuple[float, Tally]]
) -> tuple[float | None, int | None, float, float, float]:
    """As much gets through as the rate allows, and two a second a connection."""
    state, now = after(config, history)
    credit, every_s = 0.0, 30.0
    for _ in range(int(20 * 3600 / every_s)):
        found = pace(config, state, now)
        assert found.rate_per_s is not None
        assert found.connections is not None
        credit += min(found.rate_per_s, found.connections * 2.0) * every_s
        sent = int(credit) if now >= found.not_before else 0
        credit -= int(credit)
        now += every_s
        tally = Tally(delivered=sent, busy=True, connected=1, in_use=found.connections)
        state = step(config, state, tally, now)
    found = pace(config, state, now)
    return found.rate_per_s, found.connections, found.not_before, state.near_per_s, state.suspend_s


@given(HISTORIES)
def test_written_and_read_it_is_the_same(history: list[tuple[float, Tally]]) -> None:
    state, _ = after(AdaptiveConfig(), history)
    assert AdaptiveState.from_dict(json.loads(json.dumps(state.to_dict()))) == state
