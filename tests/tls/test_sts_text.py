"""The record and the policy of MTA-STS as texts that strangers write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.mta_sts import (
    MAX_AGE_S,
    MX_MAX,
    POLICY_BYTES_MAX,
    BadPolicy,
    StsPolicy,
    host_matches,
    parse_policy,
    parse_record,
)

GOOD = (
    b"version: STSv1\r\nmode: enforce\r\n"
    b"mx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800"
)
SPOILT = st.tuples(st.integers(0, 90), st.binary(max_size=20)).map(
    lambda drawn: GOOD[: drawn[0]] + drawn[1] + GOOD[drawn[0] :]
)


def test_a_policy() -> None:
    found = parse_policy(GOOD + b"\r\n", "42")
    lines = tuple(GOOD.decode().split("\r\n"))
    assert found == StsPolicy("enforce", ("mail.example.com", "*.example.net"), 604800, "42", lines)
    assert parse_policy(GOOD.replace(b"\r\n", b"\n"), "42") == found


def test_unknown_fields_and_those_said_again_are_passed_over() -> None:
    found = parse_policy(GOOD + b"\nmode: none\nx-more.y: z\nmx: Mail.Example.COM.\n")
    assert found.mode == "enforce"
    assert found.mx == ("mail.example.com", "*.example.net")


def test_a_policy_lasts_a_year_at_most() -> None:
    assert parse_policy(GOOD.replace(b"604800", b"9999999999")).max_age_s == MAX_AGE_S


@pytest.mark.parametrize(
    ("was", "becomes", "why"),
    [
        (b"STSv1", b"STSv2", "version is not STSv1"),
        (b"version: STSv1\r\n", b"", "version is not STSv1"),
        (b"enforce", b"Enforce", "mode is not"),
        (b"mode: enforce\r\n", b"", "mode is not"),
        (b"604800", b"week", "max_age is no number"),
        (b"604800", b"-1", "max_age is no number"),
        (b"604800", b"12345678901", "max_age is no number"),
        (
            b"mail.example.com",
            b"mail.*.example.com",
            "line 3 of the policy: the mx is no host name",
        ),
        (b"mail.example.com", b"*", "line 3"),
        (b"mail.example.com", b"", "line 3 of the policy is not name: value"),
        (b"mail.example.com", b"a\x00b", "line 3"),
        (b"mode: enforce", b"mode enforce", "line 2 of the policy is not name: value"),
        (b"mx: mail.example.com\r\nmx: *.example.net\r\n", b"", "names no mx"),
        (b"mail", b"\xff", "not UTF-8"),
        (b"version", b"\r\nversion", "line 1"),
    ],
)
def test_what_is_no_policy(was: bytes, becomes: bytes, why: str) -> None:
    with pytest.raises(BadPolicy, match=why):
        parse_policy(GOOD.replace(was, becomes, 1))


def test_bounds() -> None:
    with pytest.raises(BadPolicy, match="more than 65536 bytes"):
        parse_policy(GOOD + b"\n" * POLICY_BYTES_MAX)
    many = b"".join(b"\r\nmx: h%d.example.com" % n for n in range(MX_MAX))
    with pytest.raises(BadPolicy, match="more than 100 mx"):
        parse_policy(GOOD + many)
    with pytest.raises(BadPolicy, match="more than 1000 lines"):
        parse_policy(GOOD + b"\na: b" * 1000)


def test_none_needs_no_host() -> None:
    assert parse_policy(b"version: STSv1\nmode: none\nmax_age: 60").mode == "none"


@given(st.binary(max_size=200) | SPOILT)
def test_any_bytes_are_a_policy_or_none(body: bytes) -> None:
    try:
        found = parse_policy(body, "1")
    except BadPolicy:
        return
    assert found.mode in ("enforce", "testing", "none")
    assert 0 <= found.max_age_s <= MAX_AGE_S
    assert parse_policy("\n".join(found.lines).encode(), "1") == found, "as the store keeps it"


@pytest.mark.parametrize(
    ("texts", "id"),
    [
        (["v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
        (["v=STSv1;id=1"], "1"),
        (["v=STSv1 ; id=1 ; more=x"], "1"),
        (["v=spf1 -all", "v=STSv1; id=1;"], "1"),
        (["v=STSv12; id=1"], None),
        (["v=spf1 -all"], None),
        ([], None),
    ],
)
def test_a_record(texts: list[str], id: str | None) -> None:
    assert parse_record(texts) == id


@pytest.mark.parametrize(
    "texts",
    [
        ["v=STSv1; id=1;", "v=STSv1; id=2;"],
        ["v=STSv1;"],
        ["v=STSv1"],
        ["v=STSv1; id=;"],
        ["v=STSv1; id=a-b;"],
        ["v=STSv1; id=" + "1" * 33],
        ["v=STSv1; nonsense; id=1"],
    ],
)
def test_a_record_that_does_not_count(texts: list[str]) -> None:
    with pytest.raises(BadPolicy):
        parse_record(texts)


@given(st.lists(st.text(max_size=40).map(lambda text: f"v=STSv1;{text}"), max_size=2))
def test_any_text_is_a_record_or_none(texts: list[str]) -> None:
    try:
        found = parse_record(texts)
    except BadPolicy:
        return
    assert found is None or (found.isalnum() and found.isascii() and len(found) <= 32)


@pytest.mark.parametrize(
    ("host", "matches"),
    [
        ("mail.example.com", True),
        ("mail.example.com.", True),
        ("a.example.net", True),
        ("a.b.example.net", False),
        ("example.net", False),
        (".example.net", False),
        ("mail.example.org", False),
        ("xmail.example.com", False),
        ("", False),
    ],
)
def test_hosts(host: str, matches: bool) -> None:
    assert host_matches(host, ("mail.example.com", "*.example.net")) is matches
