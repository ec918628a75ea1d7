"""The last minute by provider and source, and replies with one cause counted as one."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.events.pulse import OTHER, Pulse, PulseConfig, normalised
from penstock.mail.outcome import Kind

D, F, B = Kind.DELIVERED, Kind.DEFERRED, Kind.BOUNCED


def counts(pulse: Pulse, now: float) -> dict[tuple[str, str], tuple[int, int, int]]:
    return {
        (row["provider"], row["source"]): (
            row["delivered_60"],
            row["deferred_60"],
            row["bounced_60"],
        )
        for row in pulse.snapshot(now)
    }


def test_attempts_are_counted_by_provider_and_source() -> None:
    pulse = Pulse()
    for kind in (D, D, F, B, Kind.REQUEUED):
        pulse.attempt("gmail", "s1", kind, "421 no", 5.0)
    pulse.attempt("gmail", "s2", D, "", 5.9)
    assert counts(pulse, 6.0) == {("gmail", "s1"): (2, 1, 1), ("gmail", "s2"): (1, 0, 0)}


def test_what_is_a_minute_old_falls_out_and_then_the_row() -> None:
    pulse = Pulse()
    pulse.attempt("gmail", "s1", D, "", 100.0)
    pulse.attempt("gmail", "s1", F, "421 no", 130.0)
    assert counts(pulse, 159.9) == {("gmail", "s1"): (1, 1, 0)}
    assert counts(pulse, 160.0) == {("gmail", "s1"): (0, 1, 0)}
    pulse.attempt("gmail", "s1", D, "", 1_000.0)
    assert counts(pulse, 1_000.0) == {("gmail", "s1"): (1, 0, 0)}
    assert pulse.snapshot(1_060.0) == []


def test_the_rate_is_that_of_the_last_ten_whole_seconds() -> None:
    pulse = Pulse()
    for second in range(100, 121):
        for _ in range(1 if second < 111 else 4):
            pulse.attempt("gmail", "s1", D, "", second + 0.5)
    [row] = pulse.snapshot(121.0)
    assert row["rate_per_s"] == 4.0
    [row] = pulse.snapshot(126.0)
    assert row["rate_per_s"] == 2.0


@given(
    st.lists(
        st.tuples(
            st.floats(0, 40, allow_nan=False), st.sampled_from([D, F, B]), st.sampled_from("ab")
        ),
        max_size=60,
    ),
    st.floats(0, 100, allow_nan=False),
)
def test_counts_are_those_of_the_last_sixty_seconds(steps, after) -> None:
    pulse = Pulse()
    now, seen = 0.0, []
    for pause, kind, provider in steps:
        now += pause
        seen.append((int(now), kind, provider))
        pulse.attempt(provider, "s", kind, "450 no", now)
    now += after
    found = counts(pulse, now)
    for provider in "ab":
        wanted = tuple(
            sum(1 for at, k, p in seen if k is kind and p == provider and at > int(now) - 60)
            for kind in (D, F, B)
        )
        assert found.get((provider, "s"), (0, 0, 0)) == wanted


def test_a_clock_that_goes_back_stands() -> None:
    pulse = Pulse()
    pulse.attempt("gmail", "s1", D, "", 100.0)
    pulse.attempt("gmail", "s1", D, "", 40.0)
    assert counts(pulse, 101.0) == {("gmail", "s1"): (2, 0, 0)}


def test_rows_are_bounded_and_the_rest_is_counted_together() -> None:
    pulse = Pulse(PulseConfig(rows_max=2))
    for n in range(5):
        pulse.attempt(f"p{n}", "s", D, "", 100.0)
    assert counts(pulse, 100.0) == {
        ("p0", "s"): (1, 0, 0),
        ("p1", "s"): (1, 0, 0),
        (OTHER, OTHER): (3, 0, 0),
    }


def test_rows_that_are_idle_make_room() -> None:
    pulse = Pulse(PulseConfig(rows_max=2))
    pulse.attempt("old", "s", D, "", 100.0)
    pulse.attempt("new", "s", D, "", 150.0)
    pulse.attempt("more", "s", D, "", 161.0)
    assert set(counts(pulse, 161.0)) == {("new", "s"), ("more", "s")}


def test_the_most_frequent_replies_are_told_and_the_oldest_make_room() -> None:
    pulse = Pulse(PulseConfig(replies_max=4))
    for text, times in (("450 a", 9), ("450 b", 2), ("450 c", 3), ("450 d", 4)):
        for _ in range(times):
            pulse.attempt("gmail", "s1", F, text, 1.0)
    [row] = pulse.snapshot(1.0)
    assert row["replies"] == [[9, "450 a"], [4, "450 d"], [3, "450 c"]]
    pulse.attempt("gmail", "s1", F, "450 b", 1.0)
    pulse.attempt("gmail", "s1", B, "550 e", 1.0)  # "a" was not heard for longest
    [row] = pulse.snapshot(1.0)
    assert row["replies"] == [[4, "450 d"], [3, "450 b"], [3, "450 c"]]


@pytest.mark.parametrize(
    ("replies", "wanted"),
    [
        (
            [
                "421 4.7.28 [192.0.2.1] Unusual rate. Visit https://s.example/?p=U 5b1f1b1-43 - x",
                "421 4.7.28 [2001:db8::7]  Unusual rate. Visit https://s.example/?p=X d2e1a7si - x",
            ],
            "421 4.7.28 [<ip>] Unusual rate. Visit <url> <id> - x",
        ),
        (
            [
                "550 5.1.1 <bob@x.example>: Recipient address rejected: User unknown",
                "550 5.1.1 <ann.b+c@y.example>: Recipient address rejected: User unknown",
            ],
            "550 5.1.1 <address>: Recipient address rejected: User unknown",
        ),
        (
            ["421 [TSS04] Messages from 192.0.2.9 deferred - see mta7.am0.yahoodns.net"],
            "421 [TSS04] Messages from <ip> deferred - see <host>",
        ),
        (["550 5.1.1 No such 5.1.1 user 5.2.2 here"], "550 5.1.1 No such user N.N.N here"),
        (["421 RP-001 from 10.1.2.3 at 12:30:01"], "421 RP-001 from <ip> at N:N:N"),
        (["451 4.4.1 Connection failed: Connection refused"], None),
        (
            ["452 try again in 300 seconds", "452 try again in 15 seconds"],
            "452 try again in N seconds",
        ),
        (["250"], None),
        ([""], None),
    ],
)
def test_equal_causes_fall_together(replies, wanted) -> None:
    assert {normalised(reply) for reply in replies} == {wanted if wanted else replies[0]}


WORDS = st.lists(st.text(string.ascii_letters, min_size=1, max_size=8), min_size=1, max_size=8)
IDS = st.text(string.ascii_lowercase + string.digits, min_size=8, max_size=20).filter(
    lambda text: any(c.isdigit() for c in text) and any(c.isalpha() for c in text)
)


@given(WORDS, IDS, IDS, st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0), st.integers(0))
def test_ids_addresses_and_numbers_make_no_difference(words, id1, id2, ip1, ip2, n1, n2) -> None:
    one = normalised(f"450 4.2.1 {' '.join(words)} {id1} ({ip1}) x{n1}@a.example {n1}")
    two = normalised(f"450 4.2.1 {' '.join(words)} {id2} ({ip2}) y@b{n2}.example {n2}")
    assert one == two == f"450 4.2.1 {' '.join(words)} <id> (<ip>) <address> N"


@given(st.text(max_size=900))
def test_any_reply_is_taken_and_bounded(text) -> None:
    found = normalised(text)
    assert len(found) <= 400 * len("<address>")
    assert "\n" not in found
    assert "\r" not in found
