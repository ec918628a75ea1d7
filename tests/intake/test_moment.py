"""Times in header fields: what is one, which one it is, and that everything else is refused."""

from __future__ import annotations

import calendar
import email.utils
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.intake.moment import FORMS, LATEST, parse_moment

NOW = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC
NOON = float(calendar.timegm((2024, 2, 29, 12, 0, 0)))

zones = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda m: timezone(timedelta(minutes=m)))
moments = st.datetimes(
    min_value=datetime(1970, 1, 3), max_value=datetime(9999, 12, 29), timezones=zones
)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2024-02-29T12:00:00Z", NOON),
        ("2024-02-29t12:00:00z", NOON),
        ("2024-02-29 12:00:00+00:00", NOON),
        ("2024-02-29T14:00+02:00", NOON),
        ("2024-02-29T06:30:00.25-05:30", NOON + 0.25),
        ("2016-12-31T23:59:60Z", float(calendar.timegm((2017, 1, 1, 0, 0, 0)))),
        ("Thu, 29 Feb 2024 12:00:00 +0000", NOON),
        ("Thu, 29 Feb 2024 13:00:00 +0100 (CET)", NOON),
        ("29 feb 2024 12:00 GMT", NOON),
        ("thu,29 Feb 2024 12:00:00 UT", NOON),
        ("Thu, 29 Feb 2024\r\n 12:00:00 -0000", NOON),
        ("1709208000", NOON),
        ("1709208000.5", NOON + 0.5),
        ("+90m", NOW + 5400),
        ("+2d", NOW + 2 * 86400),
        ("+1h30m", NOW + 5400),
        ("+ 1 h", NOW + 3600),
        ("+0s", NOW),
    ],
)
def test_a_time_can_be_written_in_four_ways(text: str, at: float) -> None:
    assert parse_moment(text, NOW) == at


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "tomorrow", "+", "+5", "90m", "-90m", "++90m", "+90", "+1y", "+9999999d",
        "2024-02-29", "2024-02-29T12:00:00", "12:00", "2024-02-30T12:00:00Z",
        "2024-02-29T25:00:00Z", "2024-02-29T12:61:00Z", "2024-02-29T12:00:61Z",
        "2024-02-29T12:00:00+24:00", "2024-02-29T12:00:00+05:60", "0000-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z", "24-02-29T12:00:00Z", "2024-2-29T12:00:00Z",
        "Fri, 29 Feb 2024 12:00:00 +0000", "29 Fev 2024 12:00:00 +0000",
        "Thu, 29 Feb 2024 12:00:00", "Thu, 29 Feb 2024 12:00:00 CET", "29 Feb 24 12:00:00 +0000",
        "1709208000000", "12", "1e9", "-1709208000", "0x65e06e40", "nan", "inf", "1_709_208_000",
        "\u0661\u0667\u0660\u0669\u0662\u0660\u0668\u0660\u0660\u0660", "+\u0669m",
        "+" + "1m" * 60,
    ],
)  # fmt: skip
def test_what_could_mean_two_times_or_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is no time; give RFC 3339"):
        parse_moment(text, NOW)


@given(moments)
def test_any_time_comes_back_in_any_zone(moment: datetime) -> None:
    at = moment.timestamp()
    assert parse_moment(moment.isoformat(), NOW) == pytest.approx(at, abs=2e-6)
    whole = moment.replace(microsecond=0)
    assert parse_moment(email.utils.format_datetime(whole), NOW) == whole.timestamp()
    utc = whole.astimezone(UTC).isoformat()
    assert parse_moment(utc.replace("+00:00", "Z"), NOW) == whole.timestamp()


@given(st.integers(0, 10**6), st.sampled_from([("s", 1), ("m", 60), ("h", 3600), ("d", 86400)]))
def test_times_from_now_add_up(count: int, unit: tuple[str, int]) -> None:
    name, seconds = unit
    if NOW + count * seconds <= LATEST:
        assert parse_moment(f"+{count}{name}", NOW) == NOW + count * seconds


REFUSAL = f"is no time; give {FORMS}"


def _answer(text: str) -> str:
    try:
        return str(parse_moment(text, NOW))
    except ValueError as error:
        return str(error)


pieces = st.sampled_from(
    ["+", "-", ":", "T", "Z", " ", ",", "(", ")", ".", "9", "0", "31", "2024", "9999", "Feb", "m"]
)


@given(st.one_of(st.text(max_size=100), st.lists(pieces, max_size=24).map("".join)))
def test_nothing_but_a_time_or_a_clean_refusal_comes_of_any_text(text: str) -> None:
    answer = _answer(text)
    assert answer == REFUSAL or 0.0 <= float(answer) <= LATEST
