"""Guards: when a share is too high, for whom, and how often that is said."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from penstock.feedback.guards import GuardWindow, Sender, Slot, Trip
from penstock.policy.guards import Guard
from penstock.policy.limits import Provenance

NOW = 1_700_000_000.0
GUARD = Guard(
    "spam",
    "complaints",
    0.002,
    window_s=3600.0,
    sample_min=500,
    per="campaign",
    action="pause",
    for_s=7200.0,
    at=Provenance("policies/guards.toml", 3),
    places={"above": Provenance("policies/guards.toml", 5)},
)
SHOP = Sender("shop", "spring")


def window_of(guard: Guard = GUARD, senders_max: int = 100) -> GuardWindow:
    return GuardWindow(guard, senders_max)


def test_it_trips_above_the_share_and_says_the_figures_and_the_line() -> None:
    window = window_of()
    window.add(SHOP, NOW - 60, 0, 1000)
    window.add(SHOP, NOW - 30, 2, 0)
    assert window.look(NOW) == [], "0.2 % is not above 0.2 %"
    window.add(SHOP, NOW, 1, 0)
    (trip,) = window.look(NOW)
    assert trip == Trip(
        "spam",
        SHOP,
        NOW,
        NOW + 7200,
        "pause",
        "complaints 0.3% of 1,000 delivered in 1h, above 0.2%",
        "policies/guards.toml:5",
    )
    assert trip.selector() == {"tenant": "shop", "campaign": "spring"}


def test_too_few_say_nothing() -> None:
    window = window_of()
    window.add(SHOP, NOW, 499, 499)
    assert window.look(NOW) == []
    window.add(SHOP, NOW, 0, 1)
    assert len(window.look(NOW)) == 1


def test_it_trips_once_and_again_when_the_pause_is_over_and_it_is_no_better() -> None:
    window = window_of()
    trips = []
    for minute in range(0, 5 * 60, 5):
        now = NOW + minute * 60
        window.add(SHOP, now, 10, 1000)
        trips += window.look(now)
    assert [trip.at - NOW for trip in trips] == [0.0, 7200.0, 14400.0]


def test_one_that_tells_is_quiet_for_its_window() -> None:
    window = window_of(replace(GUARD, action="tell"))
    trips = []
    for minute in range(0, 125, 5):
        now = NOW + minute * 60
        window.add(SHOP, now, 10, 1000)
        trips += window.look(now)
    assert [(trip.at - NOW, trip.until) for trip in trips] == [(0.0, 0.0), (3600, 0), (7200, 0)]


def test_what_is_older_than_the_window_counts_no_more() -> None:
    window = window_of()
    window.add(SHOP, NOW - 3700, 100, 1000)
    window.add(SHOP, NOW, 0, 600)
    assert window.look(NOW) == []
    assert window.share(SHOP, NOW) == (0, 600)
    window.tidy(NOW + 8000)
    assert len(window) == 0


def test_what_is_read_late_counts_where_it_belongs() -> None:
    window = window_of()
    window.add(SHOP, NOW - 5 * 3600, 100, 1000)  # the collector was away for hours
    assert window.look(NOW) == []


def test_a_tenant_is_counted_together_where_the_guard_says_so() -> None:
    window = window_of(replace(GUARD, per="tenant"))
    for campaign in ("a", "b"):
        window.add(window.sender("shop", campaign), NOW, 1, 300)
    (trip,) = window.look(NOW)
    assert trip.selector() == {"tenant": "shop"}


def test_mail_without_a_campaign_is_told_of_and_not_paused_with_all_of_its_tenant() -> None:
    window = window_of()
    window.add(Sender("shop", ""), NOW, 10, 1000)
    (trip,) = window.look(NOW)
    assert (trip.action, trip.until) == ("tell", 0.0)


def test_senders_are_bounded_and_the_one_unheard_for_longest_goes() -> None:
    window = window_of(senders_max=2)
    for name in ("a", "b", "a", "c"):
        window.add(Sender(name, ""), NOW, 0, 10)
    assert len(window) == 2
    assert window.forgotten == 1
    assert window.share(Sender("b", ""), NOW) == (0, 0)
    assert window.share(Sender("a", ""), NOW) == (0, 20)


@given(
    st.lists(
        st.tuples(
            st.integers(-8000, 0), st.sampled_from("ab"), st.integers(0, 5), st.integers(0, 50)
        ),
        max_size=60,
    ),
    st.integers(0, 60),
)
def test_a_share_is_that_of_the_slots_in_the_window_also_over_a_restart(adds, cut: int) -> None:
    """``cut``: so many were counted when it was saved and began again."""
    window = window_of()
    for seconds, name, part, whole in adds[:cut]:
        window.add(Sender(name, ""), NOW + seconds, part, whole)
    saved = list(window.dirty())
    assert all(isinstance(one, Slot) for one in saved)
    window = window_of()
    window.load(saved, [])
    for seconds, name, part, whole in adds[cut:]:
        window.add(Sender(name, ""), NOW + seconds, part, whole)
    for name in "ab":
        own = [
            (part, whole)
            for seconds, of, part, whole in adds
            if of == name and int((NOW + seconds) // window.slot_s) >= window.first_slot(NOW)
        ]
        assert window.share(Sender(name, ""), NOW) == (
            sum(part for part, _ in own),
            sum(whole for _, whole in own),
        )


@given(
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 3), st.integers(0, 900)), max_size=80)
)
def test_never_twice_in_a_window_and_always_above_the_bar(steps) -> None:
    window = window_of(replace(GUARD, action="tell"))
    now, trips = NOW, []
    for seconds, part, whole in steps:
        now += seconds
        window.add(SHOP, now, part, whole)
        part_now, whole_now = window.share(SHOP, now)
        for trip in window.look(now):
            assert whole_now >= 500
            assert part_now > 0.002 * whole_now
            trips.append(trip.at)
    assert all(b - a >= 3600 for a, b in itertools.pairwise(trips))


def test_a_restart_remembers_what_tripped() -> None:
    window = window_of()
    window.add(SHOP, NOW, 10, 1000)
    (trip,) = window.look(NOW)
    again = window_of()
    again.load(list(window.dirty()), [trip])
    again.add(SHOP, NOW + 60, 10, 1000)
    assert again.look(NOW + 60) == []
    again.add(SHOP, NOW + 7200, 10, 1000)
    assert len(again.look(NOW + 7200)) == 1
