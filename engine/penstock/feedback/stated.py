"""How long a reply asks to wait, as greylisting does: "try again in 5 minutes"."""

from __future__ import annotations

import re
from typing import Final

STATED_S_MAX: Final = 3600.0  # more is no greylisting
_UNITS = {"s": 1, "m": 60, "h": 3600}
_WAIT = re.compile(
    r"\b(?:in|after|for|within|least|another|next|wait|:)[ \t]{1,3}(?:"
    r"(?P<clock>\d{1,2}:[0-5]\d:[0-5]\d)\b|"
    r"(?P<count>\d{1,5})[ \t]{0,2}(?P<unit>s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)\b)",
    re.IGNORECASE,
)


def stated_wait(text: str) -> float:
    """Seconds, at most ``STATED_S_MAX``; 0: it does not say, or nothing that can be meant."""
    found = _WAIT.search(text)
    if found is None:
        return 0.0
    clock = found["clock"]
    if clock is not None:
        hours, minutes, seconds = map(int, clock.split(":"))
        wait_s = hours * 3600 + minutes * 60 + seconds
    else:
        wait_s = int(found["count"]) * _UNITS[found["unit"][0].lower()]
    return float(wait_s) if wait_s <= STATED_S_MAX else 0.0
