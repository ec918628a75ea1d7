"""What the adaptive controller is told, what it is set to, and what it remembers.

The state of one (source, provider) is a handful of numbers. It survives restarts as JSON; what is
missing or makes no sense there is as if never learned, so that a file written by another version
does no harm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of one source's mail at one provider since the last step.

    Counts of recipients; of connections and hosts where said.
    """

    delivered: int = 0
    throttled: int = 0
    blocked: int = 0
    greylisted: int = 0
    deferred: int = 0  # any other temporary failure
    refused: int = 0  # permanent failures that are not the sender's fault
    connected: int = 0  # connections opened
    connect_failed: int = 0  # attempts that failed to connect
    hosts: int = 0  # distinct hosts tried
    hosts_failed: int = 0  # of which failed
    busy: bool = False  # mail was waiting for the pace, more could have been sent
    in_use: int = 0  # the most connections at once
    crowded: int = 0  # of those throttled: that spoke of connections, not of messages


@dataclass(frozen=True, slots=True)
class AdaptiveConfig:
    """Bounds, from the policies, and the controller's own constants."""

    # bounds: the pace never leaves them
    rate_min_per_s: float = 1 / 900  # the slowest probing
    rate_max_per_s: float = 100.0
    connections_min: int = 1
    connections_max: int = 10
    # where nothing is known yet
    rate_start_per_s: float = 1.0
    connections_start: int = 2
    # hearing
    window_s: float = 60.0  # over which the share of what was throttled is taken, and
    window_messages: float = 20.0  # at slow rates, until as many were sent
    flow_s: float = 30.0  # over which the rate of what was let through is taken, and
    flow_messages: float = 10.0
    settle_s: float = 10.0  # after a cut no other for so long
    lag_s: float = 2.0  # replies for so long after a cut are about what was before
    tolerated_share: float = 0.005  # throttled: not answered by a cut, growth waits
    # cutting
    cut_least: float = 0.9  # times the rate, whatever the share
    cut_most: float = 0.5
    cut_doubt: float = 5.0  # replies that are taken for good ones beside those of the window
    cut_shut: float = 0.1  # times the rate, where nothing at all gets through
    shut_replies: float = 50.0  # all of them throttled: nothing gets through
    shut_again: float = 10.0  # so many of them since the last cut
    shut_s: float = 2.0
    # growing
    double_s: float = 30.0  # slow start: time in which the rate doubles
    approach_s: float = 60.0  # time constant of coming back to the rate that was cut
    pass_share_per_s: float = 0.01 / 60  # creeping past it
    pass_s: float = 120.0  # time constant of growing away from it
    pass_rate_per_s: float = 1 / 3  # below this rate, passing takes as many messages, not as long
    passed_share: float = 0.25  # so far past it, it is forgotten
    # at the floor
    rate_probe_per_s: float = 1 / 60  # a rate that falls to this
    dry_replies: float = 4.0  # and nothing but so many throttled
    dry_s: float = 120.0  # for so long: probe, half as often after every refusal
    # connections
    connections_step_s: float = 10.0
    connections_retry_s: float = 600.0  # as many as were refused are tried again so much later,
    connections_guess_s: float = 120.0  # or where that was only a guess
    connections_again: float = 3.0  # times settle_s: a cut of the rate so soon before was no help
    failing_s: float = 60.0  # failing to connect so long without any success: fewer
    # suspension
    blocked_share: float = 0.05
    suspend_s: float = 900.0
    suspend_max_s: float = 8 * 3600.0
    suspend_again_s: float = 4 * 3600.0  # blocked again so soon after the end: twice as long
    # forgetting
    forget_s: float = 6 * 3600.0  # without bad news for so long: nothing is remembered of it


@dataclass(frozen=True, slots=True)
class AdaptiveState:
    """What is known of one source at one provider; zero where nothing is. Times: wall time."""

    rate_per_s: float = 0.0
    near_per_s: float = 0.0  # the rate that was cut last
    far_per_s: float = 0.0  # the highest that was cut in the time that is remembered
    connections: int = 0
    refused_connections: int = 0  # as many as were too many
    good: float = 0.0  # replies of the window that say nothing against the pace
    bad: float = 0.0  # throttled
    blocked: float = 0.0
    shut: float = 0.0  # throttled since something was let through
    flow_per_s: float = 0.0  # let through lately
    allowed_per_s: float = 0.0  # the rate lately, over the same time
    probing: bool = False
    seen_at: float = 0.0
    grown_at: float = 0.0
    cut_at: float = 0.0
    bad_at: float = 0.0  # the last bad news
    busy_at: float = 0.0  # mail waited last
    good_at: float = 0.0  # the last that was let through
    connections_cut_at: float = 0.0
    connections_set_at: float = 0.0
    connections_retry_at: float = 0.0  # then as many as were too many may be tried again
    failing_at: float = 0.0  # since when nothing connects; 0.0: something does
    suspended_until: float = 0.0
    suspend_s: float = 0.0  # how long the last suspension was
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> AdaptiveState:
        """What is missing, unknown or out of its type's range is as if never learned."""
        known: dict[str, Any] = {}
        for field in fields(cls):
            value = found.get(field.name)
            if field.type == "str" and isinstance(value, str):
                known[field.name] = value[:200]
            elif field.type == "bool" and isinstance(value, bool):
                known[field.name] = value
            elif (
                field.type in ("float", "int")
                and isinstance(value, (int, float))
                and not isinstance(value, bool)
                and math.isfinite(value)
                and 0 <= value < 1e15
            ):
                known[field.name] = int(value) if field.type == "int" else float(value)
        return cls(**known)


def clock(now: float) -> str:
    """``12:01`` in UTC, for reasons."""
    minutes = int(now) // 60 % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d} UTC"


def per_time(rate_per_s: float) -> str:
    """A rate as people say it."""
    for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
        if rate_per_s * seconds >= 1 or unit == "h":
            return f"{rate_per_s * seconds:.3g}/{unit}"
    raise AssertionError
