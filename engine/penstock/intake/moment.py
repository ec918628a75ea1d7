"""A time as people and programs write it in a header field, in seconds since the epoch.

Four ways to write it, told apart by their look: RFC 3339 with its zone, a date as in the ``Date``
field (RFC 5322 3.3), Unix seconds, and a time from now such as ``+90m``. A time without its zone is
none: it would be somebody else's noon.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone

from penstock.policy.units import parse_duration

FORMS = 'RFC 3339 with its zone, an RFC 5322 date, Unix seconds, or "+90m", "+2d"'
CHARS_MAX = 80
LATEST = 253402300799.0  # 9999-12-31, the last that datetime knows
_NOT_A_MOMENT = f"is no time; give {FORMS}"
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(\.\d{1,9})?)?"
    r"(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_RFC5322 = re.compile(
    r"(?:([A-Za-z]{3}), ?)?(\d{1,2}) ([A-Za-z]{3}) (\d{4}) (\d\d):(\d\d)(?::(\d\d))?"
    r" (?:GMT|UTC?|([+-])(\d\d)(\d\d))(?: \([^()]*\))?",
    re.ASCII,
)
_UNIX = re.compile(r"\d{9,11}(?:\.\d{1,6})?", re.ASCII)  # fewer digits: rather a typo
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


def parse_moment(text: str, now: float) -> float:
    """Seconds since the epoch; ``ValueError`` goes on where a quotation of ``text`` ends."""
    text = " ".join(text.split())
    if len(text) > CHARS_MAX or not text.isascii():
        raise ValueError(_NOT_A_MOMENT)
    try:
        moment = _read(text, now)
    except (ValueError, OverflowError):  # the 30th of February, the hour 25, a zone of 99 h
        raise ValueError(_NOT_A_MOMENT) from None
    if not 0.0 <= moment <= LATEST:
        raise ValueError(_NOT_A_MOMENT)
    return moment


def _read(text: str, now: float) -> float:
    if text.startswith("+"):
        return now + parse_duration(text[1:])
    if _UNIX.fullmatch(text):
        return float(text)
    if found := _RFC3339.fullmatch(text):
        year, month, day, hour, minute, second, fraction, *zone = found.groups()
        on = date(int(year), int(month), int(day))
        return _seconds(on, (hour, minute, second), zone) + float(fraction or 0)
    if found := _RFC5322.fullmatch(text):
        week_day, day, name, year, hour, minute, second, *zone = found.groups()
        on = date(int(year), _MONTHS.index(name.lower()) + 1, int(day))
        if week_day and week_day.lower() != _DAYS[on.weekday()]:
            raise ValueError("another day of the week")
        return _seconds(on, (hour, minute, second), zone)
    raise ValueError("no form that is known")


def _seconds(on: date, clock: tuple[str, str, str | None], zone: list[str | None]) -> float:
    hour, minute, second = (int(part or 0) for part in clock)
    leap = second == 60  # datetime knows no leap seconds
    sign, hours, minutes = zone
    away = UTC
    if int(minutes or 0) > 59:
        raise ValueError("no zone")
    if sign:
        shift = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        away = timezone(-shift if sign == "-" else shift)
    moment = datetime(on.year, on.month, on.day, hour, minute, second - leap, tzinfo=away)
    return moment.timestamp() + leap
