"""A site has one name, whichever domain leads to it, and no two sites share one."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.sites import SITE_LENGTH_MAX, site_of


@pytest.mark.parametrize(
    ("mx", "site"),
    [
        ([], ""),
        ([(10, "MX.example.com.")], "mx.example.com"),
        (
            [(5, "gmail-smtp-in.l.google.com")]
            + [(n * 10, f"alt{n}.gmail-smtp-in.l.google.com") for n in range(1, 5)],
            "(alt1|alt2|alt3|alt4)?.gmail-smtp-in.l.google.com",
        ),
        (
            [(1, "mta7.am0.yahoodns.net"), (1, "mta5.am0.yahoodns.net")],
            "(mta5|mta7).am0.yahoodns.net",
        ),
        ([(10, "b.example.com"), (20, "a.example.com")], "(b|a).example.com"),
        ([(10, "mx.example.com"), (20, "mx.example.net")], "(mx.example.com|mx.example.net)"),
        ([(10, "a.x.example.com"), (20, "b.y.example.com")], "(a.x|b.y).example.com"),
        ([(10, "mx.example.com"), (20, "mx.example.com.")], "mx.example.com"),
    ],
)
def test_names_of_sites(mx: list[tuple[int, str]], site: str) -> None:
    assert site_of(mx) == site


def test_a_long_name_is_cut_and_still_its_own() -> None:
    first = [(n, f"host-with-a-long-name-{n}.example.com") for n in range(50)]
    second = [*first[:-1], (49, "another.example.com")]
    names = {site_of(first), site_of(second)}
    assert len(names) == 2
    assert {len(name) for name in names} == {SITE_LENGTH_MAX}


_LABEL = st.text(alphabet="abc", min_size=1, max_size=2)
_HOST = st.lists(_LABEL, min_size=1, max_size=3).map(".".join)


@given(st.lists(_HOST, min_size=1, max_size=4, unique=True), st.data())
def test_the_order_of_equal_preferences_and_of_answers_does_not_matter(
    hosts: list[str], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(hosts))
    assert site_of([(10, host) for host in hosts]) == site_of([(10, host) for host in shuffled])


@given(
    st.lists(_HOST, min_size=1, max_size=4, unique=True),
    st.lists(_HOST, min_size=1, max_size=4, unique=True),
)
def test_different_hosts_are_different_sites(first: list[str], second: list[str]) -> None:
    same = site_of(list(enumerate(first))) == site_of(list(enumerate(second)))
    assert same == (first == second)


@given(
    st.lists(st.tuples(st.integers(0, 65535), st.text(string.printable, max_size=80)), max_size=30)
)
def test_whatever_dns_says_the_name_is_bounded(mx: list[tuple[int, str]]) -> None:
    assert len(site_of(mx)) <= SITE_LENGTH_MAX
