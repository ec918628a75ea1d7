"""A sending window, ``"mon-fri 08:00-20:00 Europe/Berlin"``: when mail may go, by the clock there.

A window is a set of spans of the local week. Whether it is open is a question to the wall clock of
its zone, so a night in which the clock is put back opens it twice and one in which it is put
forward may leave a span out. Between two changes of the clock, local time runs as any other, so the
next opening is found by arithmetic; only a change on the way is looked for.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from math import floor, inf

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_S = 86400
_WEEK_S = 7 * _DAY_S
_MONDAY_S = 4 * _DAY_S  # the first Monday after the epoch, which was a Thursday
_STEP_S = 6 * 3600  # no zone changes its clock twice within this
_ROUNDS_MAX = 64
_TIME_MAX_S = 2.0**36  # some two thousand years: what datetime can tell
_SPAN = r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})"
WINDOW_PATTERN = rf"\s*[A-Za-z,-]+\s+{_SPAN}(?:,{_SPAN})*\s+\S+\s*"
_SHAPE = 'write days, hours and a time zone, like "mon-fri 08:00-20:00 Europe/Berlin"'

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Window:
    """``text`` as it was written, in one form; ``spans`` are seconds of the local week, which
    begins on Monday, each up to its end, in order and apart."""

    text: str
    zone: str
    spans: Spans
    _tz: zoneinfo.ZoneInfo = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Window:
        """``text`` is ``DAYS SPANS ZONE``; ``ValueError`` says what is wrong with it."""
        words = text.split()
        if len(words) != 3:
            raise ValueError(f"not a sending window: {text!r}; {_SHAPE}")
        days, hours, zone = words
        starts = [day * _DAY_S for day in _days(days)]
        pairs = [_span(part) for part in hours.split(",")]
        spans = _joined([(day + a, day + b) for day in starts for a, b in pairs])
        return cls(f"{days.lower()} {hours} {zone}", zone, spans, _zone(zone))

    def open_at(self, t: float) -> bool:
        """Whether mail may go at ``t``, in seconds since the epoch."""
        return _within(self.spans, self._wall(t))

    def next_open(self, t: float) -> float:
        """``t`` itself where the window is open, else when it opens next."""
        return self._first(self.spans, t)

    def closes_after(self, t: float) -> float:
        """When it closes next, for a ``t`` at which it is open; ``t`` where it is closed,
        infinity where it never closes."""
        return self._first(_between(self.spans), t)

    def local(self, t: float) -> tuple[int, float]:
        """The day there at ``t``, counted from the epoch, and the second of it by the clock."""
        wall = t + self._offset(t)
        day = floor(wall / _DAY_S)
        return day, wall - day * _DAY_S

    def spans_of(self, day: int) -> Spans:
        """When it is open on that day, in seconds of the day."""
        start = (day * _DAY_S - _MONDAY_S) % _WEEK_S
        return tuple(
            (max(a - start, 0), min(b - start, _DAY_S))
            for a, b in self.spans
            if a < start + _DAY_S and b > start
        )

    def __str__(self) -> str:
        return self.text

    def _first(self, spans: Spans, t: float) -> float:
        """The first moment from ``t`` on at which the wall clock is within ``spans``."""
        for _ in range(_ROUNDS_MAX):
            wall = self._wall(t)
            if not spans or _within(spans, wall):
                return t if spans else inf
            index = bisect_right(spans, (wall, _WEEK_S))
            start = spans[index][0] if index < len(spans) else spans[0][0] + _WEEK_S
            reached = t + (start - wall)
            change = self._change(t, reached)
            if change is None:
                return reached
            t = change
        return inf

    def _change(self, start: float, end: float) -> float | None:
        """When the zone's clock is changed after ``start`` and not after ``end``."""
        offset, low = self._offset(start), floor(start)
        while low < end:
            high = min(low + _STEP_S, floor(end) + 1)
            if self._offset(high) == offset:
                low = high
                continue
            while high - low > 1:
                middle = (low + high) // 2
                if self._offset(middle) == offset:
                    low = middle
                else:
                    high = middle
            return float(high) if high <= end else None
        return None

    def _wall(self, t: float) -> float:
        return (t + self._offset(t) - _MONDAY_S) % _WEEK_S

    def _offset(self, t: float) -> float:
        there = datetime.fromtimestamp(min(max(t, 0.0), _TIME_MAX_S), UTC).astimezone(self._tz)
        offset = there.utcoffset()
        return offset.total_seconds() if offset else 0.0


def _within(spans: Spans, wall: float) -> bool:
    index = bisect_right(spans, (wall, _WEEK_S)) - 1
    return index >= 0 and wall < spans[index][1]


def _joined(spans: list[tuple[int, int]]) -> Spans:
    """Within one week, in order; those that touch are one."""
    cut = [(a, min(b, _WEEK_S)) for a, b in spans]
    cut += [(0, b - _WEEK_S) for _, b in spans if b > _WEEK_S]
    joined: list[tuple[int, int]] = []
    for a, b in sorted(cut):
        if joined and a <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(b, joined[-1][1]))
        else:
            joined.append((a, b))
    return tuple(joined)


def _between(spans: Spans) -> Spans:
    """The rest of the week."""
    edges = [0, *(edge for span in spans for edge in span), _WEEK_S]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return tuple((a, b) for a, b in pairs if a < b)


def _days(text: str) -> list[int]:
    if text.lower() == "daily":
        return list(range(7))
    days: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        a, b = _day(first), _day(last if dash else first)
        days.update((a + n) % 7 for n in range((b - a) % 7 + 1))
    return sorted(days)


def _day(text: str) -> int:
    if text.lower() not in DAYS:
        raise ValueError(f'not a day: {text!r}; write {", ".join(DAYS)}, "mon-fri" or "daily"')
    return DAYS.index(text.lower())


def _span(text: str) -> tuple[int, int]:
    """The seconds of a day from and to; past its end where the span goes over midnight."""
    found = re.fullmatch(_SPAN, text)
    if found is None:
        raise ValueError(f'not a span of hours: {text!r}; write "08:00-20:00"')
    from_h, from_min, to_h, to_min = map(int, found.groups())
    start, end = from_h * 60 + from_min, to_h * 60 + to_min
    if from_min > 59 or to_min > 59 or start >= 1440 or end > 1440:
        raise ValueError(f"no such time of day in {text!r}; from 00:00 to 24:00")
    if start == end:
        raise ValueError(f'{text!r} never opens; the whole day is "00:00-24:00"')
    if end < start:
        end += 1440
    return start * 60, end * 60


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # OSError: a directory of the database, "Europe"
        near = difflib.get_close_matches(name, _zones(), n=1, cutoff=0.5)
        hint = f'did you mean "{near[0]}"?' if near else 'write one like "Europe/Berlin" or "UTC"'
        raise ValueError(f"unknown time zone {name!r}; {hint}") from None


@lru_cache(maxsize=1)
def _zones() -> list[str]:
    return sorted(zoneinfo.available_timezones())
