"""A source warms up day by day as far as its results carry it, and never above its plan."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.warmup import Gates, Plan
from penstock.policy.window import Window
from penstock.schedule.hours import moment
from penstock.schedule.warmup import (
    HISTORY_DAYS_MAX,
    WarmupState,
    again,
    allowance,
    count,
    forecast,
    give_back,
    grant,
    pace,
    place,
    turn,
)
from penstock.schedule.warmup_day import Results, judge

DAY = 86400.0
MONDAY = 4 * DAY * 1.0 + 7 * DAY * 2900  # 00:00 UTC
PLAN = Plan(
    "p",
    (100, 200, 400, 800),
    hours=Window.parse("daily 08:00-18:00 UTC"),
    hour_max=0.25,
    transactional=0.2,
    step_back=2,
)
WEEKDAYS = replace(PLAN, hours=Window.parse("mon-fri 08:00-18:00 UTC"))


def at(day: int, hour: float) -> float:
    return MONDAY + day * DAY + hour * 3600


def send_all(plan: Plan, state: WarmupState, day: int, wanted: int = 10_000) -> WarmupState:
    """All that goes on one day, asked for every quarter of an hour, and what it delivered."""
    for quarter in range(96):
        state, n = grant(plan, "gmail", state, at(day, quarter / 4), wanted, first=False)
        state = count(plan, state, Results(delivered=n))
    return state


def warmed(days: int, plan: Plan = PLAN) -> WarmupState:
    state = WarmupState()
    for day in range(days):
        state = send_all(plan, state, day)
    return turn(plan, "gmail", state, at(days, 0))


def test_a_day_is_spread_over_its_hours() -> None:
    state, by_hour = WarmupState(), Counter[int]()
    for quarter in range(96):
        state, n = grant(PLAN, "", state, at(0, quarter / 4), 1000, first=False)
        by_hour[quarter // 4] += n
    assert set(by_hour) - {h for h, n in by_hour.items() if n} == {*range(8), *range(18, 24)}
    assert sum(by_hour.values()) == 98  # the last hour keeps two for transactional mail
    assert max(by_hour.values()) <= 25
    assert [by_hour[hour] for hour in range(8, 18)] == sorted(by_hour.values())[-10:]
    assert by_hour[8] == 8  # an even part of what is not kept back


def test_mail_that_comes_late_does_not_go_all_at_once() -> None:
    state, n = grant(PLAN, "", WarmupState(), at(0, 17.5), 1000, first=False)
    assert n == 25  # hour_max
    assert allowance(PLAN, "", state, at(0, 17.5)).next_at == at(1, 8)


def test_transactional_mail_goes_first_and_at_any_hour() -> None:
    state, n = grant(PLAN, "", WarmupState(), at(0, 3), 5, first=True)
    assert n == 5
    state, rest = grant(PLAN, "", state, at(0, 3), 5, first=False)
    assert rest == 0
    state = send_all(PLAN, state, 0)
    assert state.sent == 100 - 2 + 0
    state, n = grant(PLAN, "", state, at(0, 20), 50, first=True)
    assert n == 2  # all that is left, and no more than the day


def test_other_mail_leaves_what_is_kept_for_the_rest_of_the_day() -> None:
    state = WarmupState()
    for quarter in range(4 * 8, 4 * 13):  # half of the hours
        state, _ = grant(PLAN, "", state, at(0, quarter / 4), 1000, first=False)
    left = allowance(PLAN, "", state, at(0, 12.9))
    assert left.rest == 0
    assert left.first == 100 - state.sent >= 10


def test_good_days_lead_to_the_end_and_then_nothing_is_limited() -> None:
    assert [warmed(n).stage for n in range(4)] == [0, 1, 2, 3]
    warm = warmed(4)
    assert warm.warm
    assert grant(PLAN, "", warm, at(4, 3), 5000, first=False)[1] == 5000
    assert [day.sent for day in warm.history] == [98, 196, 392, 784]


@pytest.mark.parametrize(
    ("results", "verdict", "reason"),
    [
        (Results(delivered=95), "advance", "95 of 100 sent"),
        (Results(delivered=80, deferred=15), "hold", "15 of 95 deferred, 15.79%; at most 10.00%"),
        (Results(delivered=85, refused=10), "hold", "10 of 95 refused, 10.53%; at most 5.00%"),
        (
            Results(delivered=500, complaints=2),
            "hold",
            "2 of 500 complained about, 0.40%; at most 0.20%",
        ),
        (Results(delivered=499, complaints=9), "advance", "95 of 100 sent"),  # too few to say
        (Results(delivered=40, greylisted=55), "advance", "95 of 100 sent"),
        (
            Results(delivered=90, blocked=5),
            "back",
            "blocked: 5 of 95 refused for its reputation",
        ),
    ],
)
def test_what_a_day_leads_to(results: Results, verdict: str, reason: str) -> None:
    assert judge(Gates(), 100, 95, results) == (verdict, reason)


def test_a_day_without_the_volume_holds() -> None:
    assert judge(Gates(), 100, 89, Results(delivered=89))[0] == "hold"
    state, _ = grant(PLAN, "", WarmupState(), at(0, 9), 3, first=False)
    after = turn(PLAN, "", state, at(1, 0))
    assert (after.stage, after.history[-1].reason) == (0, "3 of 100 sent; 90% needed")


def test_a_block_stops_the_day_and_sets_back() -> None:
    state = warmed(3)
    state, n = grant(PLAN, "gmail", state, at(3, 9), 100, first=False)
    state = count(PLAN, state, Results(blocked=n))
    assert grant(PLAN, "gmail", state, at(3, 10), 100, first=False)[1] == 0
    assert grant(PLAN, "gmail", state, at(3, 10), 1, first=True)[1] == 0
    after = turn(PLAN, "gmail", state, at(4, 0))
    assert (after.stage, after.stopped, after.history[-1].verdict) == (1, "", "back")


def test_an_operator_holds_it_where_it_is_and_lets_it_go_on() -> None:
    state = send_all(PLAN, replace(warmed(1), held="postmaster asked"), 1)
    after = turn(PLAN, "gmail", state, at(2, 0))
    assert (after.stage, after.history[-1].reason) == (1, "held: postmaster asked")
    assert forecast(PLAN, "gmail", after) is None
    assert turn(PLAN, "gmail", send_all(PLAN, replace(after, held=""), 2), at(3, 0)).stage == 2


def test_idle_for_long_means_warming_again() -> None:
    warm = warmed(4)
    assert turn(PLAN, "", warm, at(3 + 29, 12)).warm
    cold = turn(PLAN, "", warm, at(3 + 30, 12))
    assert (cold.warm, cold.stage) == (False, 0)
    assert cold.history[-1].reason == "no mail for 30 days: warmed again"


def test_a_day_without_hours_is_no_day() -> None:
    state = warmed(5, WEEKDAYS)
    friday = turn(WEEKDAYS, "gmail", state, at(5, 12))
    assert friday.warm
    early = turn(WEEKDAYS, "gmail", warmed(3, WEEKDAYS), at(5, 12))
    assert allowance(WEEKDAYS, "gmail", early, at(5, 12)).rest == 0
    assert turn(WEEKDAYS, "gmail", early, at(7, 0)).stage == early.stage


def test_the_forecast_counts_sending_days() -> None:
    monday = moment(PLAN.hours, at(0, 0)).day
    assert forecast(PLAN, "gmail", turn(PLAN, "gmail", WarmupState(), at(0, 1))) == monday + 4
    late = replace(turn(WEEKDAYS, "gmail", WarmupState(), at(3, 1)))
    assert (
        forecast(WEEKDAYS, "gmail", late) == monday + 9
    )  # after thursday, friday, monday, tuesday
    assert pace(warmed(3)) == 1.0


def test_it_is_placed_where_an_operator_says() -> None:
    assert place(PLAN, "", WarmupState(), 2).stage == 2
    assert place(PLAN, "", WarmupState(), 4).warm
    assert again(warmed(4)).stage == 0


def test_another_plan_begins_no_higher_than_the_last_day() -> None:
    other = replace(PLAN, name="q", messages=(50, 100, 250, 300, 500))
    adopted = turn(other, "gmail", warmed(3), at(3, 9))
    assert (adopted.plan, adopted.stage) == ("q", 3)  # 300 is the last that 400 covers


def test_its_history_is_bounded() -> None:
    state = WarmupState()
    for day in range(100):
        state, _ = grant(PLAN, "", state, at(day, 9), 1, first=False)
    assert len(state.history) == HISTORY_DAYS_MAX


# whatever happens, never more than the plan

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(-30_000, 200_000)),
        st.tuples(st.just("send"), st.integers(1, 300)),
        st.tuples(st.just("first"), st.integers(1, 300)),
        st.tuples(st.just("back"), st.integers(0, 50)),
        st.tuples(st.just("deferred"), st.integers(1, 50)),
        st.tuples(st.just("blocked"), st.integers(1, 50)),
        st.tuples(st.just("set"), st.integers(0, 3)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_never_above_the_plan_on_any_day(steps: list[tuple[str, float]]) -> None:
    state, now = WarmupState(), at(0, 7)
    went, most = Counter[int](), Counter[int]()
    last, last_hour = 0, 0
    for what, how in steps:
        if what == "pass":
            now += how
        elif what in ("send", "first"):
            state, n = grant(PLAN, "", state, now, int(how), first=what == "first")
            went[state.day] += n
            most[state.day] = max(most[state.day], PLAN.messages[state.stage])
            last, last_hour = (n, state.hour) if what == "send" else (0, 0)
        elif what == "back":
            n = min(last, int(how))
            before = state.sent
            state = give_back(state, state.day, last_hour, n, first=False)
            went[state.day] -= before - state.sent
            last -= n
        elif what == "set":
            state = place(PLAN, "", state, int(how))
        elif what == "restart":
            state = WarmupState.from_dict(state.to_dict())
        else:
            state = count(PLAN, state, Results(**{what: int(how)}))
        if not state.warm:
            assert went[state.day] <= most[state.day] or not went[state.day]
        assert 0 <= state.hour_sent <= state.sent
        assert 0 <= state.sent_first <= state.sent
    for day, n in went.items():
        assert n <= most[day]


RESULTS = st.builds(
    Results,
    delivered=st.integers(0, 2000),
    deferred=st.integers(0, 300),
    refused=st.integers(0, 300),
    blocked=st.integers(0, 300),
    complaints=st.integers(0, 20),
)
ORDER = {"back": 0, "hold": 1, "advance": 2}


@given(RESULTS, st.sampled_from(["deferred", "refused", "blocked"]), st.integers(0, 300))
def test_worse_results_never_lead_further(results: Results, what: str, more: int) -> None:
    """What was delivered turned bad: as many attempts, fewer of them well."""
    more = min(more, results.delivered)
    worse = replace(
        results, **{what: getattr(results, what) + more, "delivered": results.delivered - more}
    )
    worse = replace(worse, complaints=0)
    good = judge(Gates(), 100, 95, replace(results, complaints=0))[0]
    assert ORDER[judge(Gates(), 100, 95, worse)[0]] <= ORDER[good]


def test_what_is_kept_and_not_used_is_for_later_mail() -> None:
    early = turn(PLAN, "", WarmupState(), at(0, 8.5))
    allowed = allowance(PLAN, "", early, at(0, 8.5))
    assert (allowed.rest, allowed.later) == (8, 90)
    last = turn(PLAN, "", WarmupState(), at(0, 17.5))
    assert allowance(PLAN, "", last, at(0, 17.5)).later == 0
