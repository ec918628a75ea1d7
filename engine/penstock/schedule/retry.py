"""When to try again: exponential delay with jitter, never past the message's expiry.

The jitter's randomness is an argument. Recipients of one message that get the same ``u`` stay
together, so that a deferred message of a hundred recipients is again one transaction.
"""

from __future__ import annotations

from typing import NamedTuple


class NextAttempt(NamedTuple):
    """``due``: when to wake the message, on the axis of ``now``; ``expired``: it is over."""

    due: float
    expired: bool


def delay(
    attempts: int, initial_s: float, factor: float, max_s: float, jitter: float, u: float
) -> float:
    """Seconds to wait after ``attempts`` >= 1 failed attempts.

    ``initial_s * factor ** (attempts - 1)``, spread evenly over plus and minus ``jitter`` (0 to 1,
    a share) by ``u`` in [0, 1), and never above ``max_s``; at the cap the spread lies below it.
    """
    try:
        base = initial_s * factor ** (max(attempts, 1) - 1)
    except OverflowError:
        base = max_s
    return min(base, max_s / (1 + jitter)) * (1 + jitter * (2 * u - 1))


def next_attempt(
    now: float, expires: float, delay_s: float, not_before: float = 0.0
) -> NextAttempt:
    """The next wake-up: after ``delay_s``, not before ``not_before`` (a suspension's end, a time
    that the other side named), at ``expires`` at the latest."""
    if now >= expires:
        return NextAttempt(expires, True)
    return NextAttempt(min(max(now + delay_s, not_before), expires), False)
