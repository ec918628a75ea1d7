"""When a delivery that failed is tried again: the times that Standard Webhooks proposes.

A little chance is added, so that a thousand batches which failed together do not come back
together. What the receiver asks for with ``Retry-After`` (RFC 9110 10.2.3) goes before the table.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime

_MINUTE_S, _HOUR_S = 60.0, 3600.0
# The wait before the second attempt, the third, and so on; the first is made at once.
WAITS_S = (
    *(5.0, 5 * _MINUTE_S, 30 * _MINUTE_S),
    *(hours * _HOUR_S for hours in (2, 5, 10, 14, 20, 24)),
)
ATTEMPTS_MAX = 1 + len(WAITS_S)
WAIT_MAX_S = WAITS_S[-1]
JITTER = 0.2
PROBE_WAIT_MAX_S = 5 * _MINUTE_S
RETRY_AFTER_CHARS_MAX = 64


def wait_s(attempts: int, chance: float, asked_s: float | None = None) -> float | None:
    """How long to wait after so many attempts of one batch, ``None``: give up.

    ``chance`` is 0 to 1 and adds up to ``JITTER`` of the wait; ``asked_s`` is what the receiver
    wants.
    """
    if attempts >= ATTEMPTS_MAX:
        return None
    wait = WAITS_S[max(attempts, 1) - 1] if asked_s is None else asked_s
    return min(max(wait, 1.0), WAIT_MAX_S) * (1.0 + JITTER * chance)


def probe_wait_s(failures: int, chance: float) -> float:
    """How long an endpoint is left alone after so many failures in a row, whatever the batches:
    as the table says, but not so long that it would be noticed late when it is back."""
    wait = WAITS_S[min(max(failures, 1), len(WAITS_S)) - 1]
    return min(wait, PROBE_WAIT_MAX_S) * (1.0 + JITTER * chance)


def retry_after_s(value: str, now: float) -> float | None:
    """The seconds that a ``Retry-After`` asks for: a number or a date; ``None``: neither."""
    text = value.strip()
    if not text or len(text) > RETRY_AFTER_CHARS_MAX or not text.isascii():
        return None
    if text.isdigit():
        return min(float(text), WAIT_MAX_S)
    try:
        asked = parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(asked, 0.0), WAIT_MAX_S)
