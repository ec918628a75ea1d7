"""What the figures are to reach, and a line for each that says whether they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# times the messages/s of a peer; of any other, simply more
RATE_PLAIN = {"postfix": 5.0}
RATE_SIGNED = {"postfix + opendkim": 4.0, "haraka": 4.0}
CPU_PLAIN = {"postfix": 1 / 7}  # of a peer's CPU a message

ACCEPT_P99_MS = 30.0
END_TO_END_P99_MS = 150.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """``what`` was reached, what was asked for, and whether that is met."""

    what: str
    target: str
    met: bool

    def __str__(self) -> str:
        return f"{self.what}, target {self.target}: {'met' if self.met else 'NOT met'}"


def compare_rates(
    middle: Mapping[str, Mapping[str, float]], signed: bool, how: str = ""
) -> list[Verdict]:
    """Of the medians of all servers, ours the first; ``how`` ours was run, as words for the end."""
    (_, ours), *others = middle.items()
    found = []
    for name, other in others:
        label = f"{name}{', signed' if signed else ''}{how}"
        times = ours["messages_per_s"] / other["messages_per_s"]
        least = (RATE_SIGNED if signed else RATE_PLAIN).get(name, 1.0)
        found.append(
            Verdict(f"{times:.2f}x the messages/s of {label}", f"{least:g}x", times >= least)
        )
        most = None if signed else CPU_PLAIN.get(name)
        if most is not None:
            parts = other["cpu_ms"] / ours["cpu_ms"]
            found.append(
                Verdict(
                    f"1/{parts:.1f} of the CPU of {label}", f"1/{1 / most:g}", parts * most >= 1
                )
            )
    return found


def latency(accept_p99_ms: float, end_to_end_p99_ms: float) -> list[Verdict]:
    """Of the 99th percentiles at half of the maximum rate."""
    return [
        Verdict(
            f"accepted within {accept_p99_ms:.1f} ms (p99 at half of the maximum)",
            f"{ACCEPT_P99_MS:g} ms",
            accept_p99_ms <= ACCEPT_P99_MS,
        ),
        Verdict(
            f"at the next hop within {end_to_end_p99_ms:.1f} ms (p99 at half of the maximum)",
            f"{END_TO_END_P99_MS:g} ms",
            end_to_end_p99_ms <= END_TO_END_P99_MS,
        ),
    ]
