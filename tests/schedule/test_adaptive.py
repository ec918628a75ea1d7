"""What the controller makes of the replies, told as stories of one provider."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from penstock.schedule.adaptive import AdaptiveConfig, AdaptiveState, Tally, pace, step

CONFIG = AdaptiveConfig(rate_max_per_s=50.0)
NOON = 43_200.0 + 20_000 * 86_400


class Story:
    """Second by second; ``sends`` says what became of what was sent at the pace."""

    def __init__(self, config: AdaptiveConfig = CONFIG, state: AdaptiveState | None = None) -> None:
        self.config, self.state, self.now = config, state or AdaptiveState(), NOON
        self._credit = 0.0

    @property
    def rate(self) -> float:
        return pace(self.config, self.state, self.now).rate_per_s or 0.0

    @property
    def connections(self) -> int:
        return pace(self.config, self.state, self.now).connections or 0

    @property
    def reason(self) -> str:
        return pace(self.config, self.state, self.now).reason

    def hear(self, **tally: int | bool) -> Story:
        self.now += 1
        self.state = step(self.config, self.state, Tally(**tally), self.now)  # type: ignore[arg-type]
        return self

    def clean(self, seconds: int, *, in_use: int = 1) -> Story:
        for _ in range(seconds):
            self.hear(delivered=self._sent(), busy=True, in_use=in_use)
        return self

    def refused(self, seconds: int) -> Story:
        for _ in range(seconds):
            self.hear(throttled=self._sent(), busy=True)
        return self

    def _sent(self) -> int:
        self._credit += self.rate
        sent = int(self._credit)
        self._credit -= sent
        return sent


def known(rate: float, **more: float) -> AdaptiveState:
    """Found some time ago, and in use since."""
    state = AdaptiveState(rate_per_s=rate, flow_per_s=rate, allowed_per_s=rate, good=rate * 60)
    return replace(state, seen_at=NOON, good_at=NOON, grown_at=NOON, **more)  # type: ignore[arg-type]


def test_at_first_the_rate_doubles():
    story = Story().clean(60)
    assert story.rate > 2
    assert story.clean(240).rate == 50.0


def test_it_does_not_grow_where_nothing_waits_for_it():
    story = Story()
    for _ in range(600):
        story.hear(delivered=1, busy=False)
    assert story.rate == 1.0


def test_it_grows_no_further_than_twice_what_gets_through():
    story = Story(state=known(5.0))
    for _ in range(600):
        story.hear(delivered=5, busy=True)
    assert 9 < story.rate < 11


def test_a_few_refusals_cut_little_and_many_cut_much():
    few = Story(state=known(10.0)).hear(delivered=9, throttled=5, busy=True)
    many = Story(state=known(10.0)).hear(delivered=9, throttled=500, busy=True)
    assert few.rate == pytest.approx(9.0)
    assert 5 <= many.rate < 6
    assert few.reason.startswith("throttled 5 of 6")
    assert few.reason.endswith("cut from 10/s to 9/s")


def test_one_refusal_in_a_great_many_is_let_pass():
    assert Story(state=known(10.0)).hear(delivered=9, throttled=1, busy=True).rate == 10.0


def test_one_cut_for_all_that_was_refused_at_once():
    story = Story(state=known(10.0))
    for _ in range(9):
        story.hear(delivered=5, throttled=5, busy=True)
    assert story.rate == pytest.approx(9.0)
    story.hear(delivered=5, throttled=5, busy=True).hear(delivered=5, throttled=5, busy=True)
    assert story.rate < 6


def test_the_way_back_is_fast_and_then_slow():
    story = Story(state=known(10.0)).hear(delivered=9, throttled=20, busy=True)
    story = Story(state=replace(story.state, rate_per_s=5.0, flow_per_s=5.0, allowed_per_s=5.0))
    first, second = story.clean(70).rate, story.clean(60).rate
    third = story.clean(60).rate
    assert first - 5 > 2 * (second - first) > 4 * (third - second)
    assert third == pytest.approx(story.state.near_per_s, rel=0.05)
    assert story.clean(900).rate > 12  # past the mark it is fast again


def test_trouble_that_is_not_about_the_pace_changes_nothing():
    story = Story(state=known(10.0, connections=4))
    for _ in range(120):
        story.hear(deferred=4, refused=3, greylisted=3)
    assert (story.rate, story.connections) == (10.0, 4)


def test_greylisting_lets_it_grow():
    story = Story()
    for _ in range(60):
        story.hear(greylisted=max(1, int(story.rate)), busy=True)
    assert story.rate > 1.5


def test_where_nothing_gets_through_it_asks_ever_more_rarely():
    story = Story(state=known(20.0)).refused(30)
    assert story.rate <= 1.0
    story.refused(7200)
    assert story.rate == CONFIG.rate_min_per_s
    assert "probing at 4/h" in story.reason
    story.hear(delivered=1, busy=True)
    assert story.rate == 1.0
    assert story.clean(300).rate > 9


def test_a_block_suspends_and_the_next_one_for_twice_as_long():
    story = Story(state=known(10.0)).hear(blocked=40)
    first = pace(CONFIG, story.state, story.now)
    assert first.not_before == story.now + 900
    assert first.reason == "blocked at 12:00 UTC, suspended for 15 min"
    story.hear(blocked=40)
    assert pace(CONFIG, story.state, story.now).not_before == first.not_before
    story.now = first.not_before
    assert pace(CONFIG, story.state, story.now).not_before == 0.0
    assert story.rate == CONFIG.rate_probe_per_s
    story.hear(blocked=1)
    assert pace(CONFIG, story.state, story.now).not_before == story.now + 1800


def test_one_blocked_message_in_a_great_many_suspends_nothing():
    story = Story(state=known(10.0)).hear(delivered=10, blocked=1)
    assert pace(CONFIG, story.state, story.now).not_before == 0.0


def test_after_a_block_it_begins_slowly():
    story = Story(state=known(10.0)).hear(blocked=40)
    story.now += 900
    story.hear(delivered=1, busy=True)
    assert story.rate == 1.0
    assert story.clean(120).rate < 5.1


def test_connections_grow_only_where_the_rate_is_not_what_holds_mail_back():
    paced = Story(state=known(10.0, connections=2)).clean(60, in_use=2)
    assert paced.connections == 2
    story = Story(state=known(10.0, connections=2))
    for _ in range(120):
        story.hear(delivered=3, busy=True, in_use=story.connections)
    assert story.connections > 3


def test_too_many_connections_do_not_slow_the_rate():
    story = Story(state=known(10.0, connections=6))
    story.hear(delivered=9, throttled=1, crowded=1, in_use=6, busy=True)
    assert story.rate >= 10.0
    assert story.connections == 5
    assert story.reason == "6 connections were too many at 12:00 UTC"


def test_as_many_as_were_too_many_are_tried_again_after_a_while():
    story = Story(state=known(10.0, connections=6))
    story.hear(delivered=5, throttled=1, crowded=1, in_use=6, busy=True)
    seen = []
    for _ in range(620):
        story.hear(delivered=5, busy=True, in_use=story.connections)
        seen.append(story.connections)
    assert seen.count(5) == seen.index(6) == 599


def test_where_a_cut_of_the_rate_was_no_help_it_is_the_connections():
    story = Story(state=known(10.0, connections=6))
    for _ in range(14):
        story.hear(delivered=5, throttled=1, in_use=story.connections, busy=True)
    assert story.connections == 5
    assert story.rate >= 5


def test_one_dead_host_of_many_slows_nothing():
    story = Story(state=known(10.0, connections=8))
    for _ in range(600):
        story.hear(connected=1, connect_failed=3, hosts=5, hosts_failed=1, delivered=10)
    assert (story.rate, story.connections) == (10.0, 8)


def test_where_nothing_connects_for_a_minute_there_are_fewer():
    story = Story(state=known(10.0, connections=8))
    for _ in range(50):
        story.hear(connect_failed=3, hosts=2, hosts_failed=2)
    assert story.connections == 8
    for _ in range(20):
        story.hear(connect_failed=3, hosts=2, hosts_failed=2)
    assert story.connections == 4
    assert story.rate == 10.0


def test_it_goes_on_after_a_restart_where_it_was():
    story = Story(state=known(10.0)).hear(delivered=9, throttled=5, busy=True)
    written = json.dumps(story.state.to_dict())
    again = AdaptiveState.from_dict(json.loads(written))
    assert again == story.state
    assert pace(CONFIG, again, story.now + 60).rate_per_s == pytest.approx(9.0)


def test_a_long_stop_does_not_count_as_clean_time():
    story = Story(state=known(10.0, near_per_s=40.0))
    story.now += 86_400
    assert story.hear(delivered=1, busy=True).rate <= 20.0


def test_what_is_written_wrongly_is_as_if_never_learned():
    found = AdaptiveState.from_dict(
        {"rate_per_s": "fast", "connections": -4, "cut_at": math.nan, "probing": 1, "more": 1}
    )
    assert found == AdaptiveState()


def test_it_keeps_to_new_bounds_at_once():
    narrow = replace(CONFIG, rate_max_per_s=2.0, connections_max=1)
    found = pace(narrow, known(10.0, connections=8), NOON)
    assert (found.rate_per_s, found.connections) == (2.0, 1)


def test_a_clock_that_was_set_back_holds_nothing_for_long():
    story = Story(state=known(10.0)).hear(blocked=40)
    story.now -= 30 * 86_400
    story.hear()
    assert pace(CONFIG, story.state, story.now).not_before <= story.now + CONFIG.suspend_max_s
