"""How the pace is found: the adaptive control against providers that hide their limits.

Virtual time, two runs for each provider. With mail that never ends: what share of the hidden
capacity is used once the pace is found, what share of the attempts is refused then, how long it
takes to find it, and to find it again. With a mailing of nine tenths of what the provider would
take until a deadline: what has arrived by then, beside three ways to do without.

``python -m bench.adaptive [--draw] [NAME ...]``; ``--draw`` writes the picture of the docs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from bench import report
from bench.adaptive_providers import (
    ByTheMinute,
    Crowding,
    Dropping,
    Escalating,
    Greylisting,
    Noisy,
    Provider,
    Quota,
    Rated,
    Reply,
)
from bench.adaptive_senders import Adaptive, Postfix, Sender, Static, TwoLevels
from bench.adaptive_world import Run, World

MIN_S, HOUR_S = 60, 3600
CAPACITY_MIN, DEFERRED_MAX, RECOVERED, RECOVERY_MAX_MIN = 0.85, 0.02, 0.8, 15.0
MAILING = 0.9
SENDERS: tuple[Callable[[], Sender], ...] = (
    Adaptive,
    Static,
    Postfix,
    *(partial(TwoLevels, slow) for slow in TwoLevels.SLOW_PER_S),
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """``hours`` of mail that never ends, steady after ``settled_h``; ``back_h``: when a limit
    that fell comes back."""

    name: str
    provider: Callable[[], Provider]
    hours: float
    settled_h: float
    deadline_h: float
    back_h: float = 0.0


SCENARIOS = (
    Scenario("200/min", lambda: Rated(200 / 60), 4, 0.5, 4),
    Scenario("200 by the clock's minute", lambda: ByTheMinute(200 / 60), 4, 0.5, 4),
    Scenario("600/h", lambda: Rated(600 / 3600, burst=2), 6, 1, 6),
    Scenario("5 connections", lambda: Crowding(5, 0.5), 4, 0.5, 4),
    Scenario("5 connections, unsaid", lambda: Crowding(5, 0.5, said=False), 4, 0.5, 4),
    Scenario("20,000 a day", lambda: Quota(20_000), 48, 24, 26),
    Scenario(
        "20/s, for 2 h a tenth", lambda: Dropping(20, 2 * HOUR_S, 4 * HOUR_S), 7, 0.5, 7, back_h=4
    ),
    Scenario("10/s, greylisting", lambda: Greylisting(10), 6, 1.5, 6),
    Scenario("5/s, blocks who goes on", lambda: Escalating(5), 8, 0.5, 8),
    Scenario("10/s, 6 % unrelated 4xx", lambda: Noisy(10), 4, 0.5, 4),
)


def capacity(provider: Provider, start_s: int, end_s: int) -> float:
    return sum(provider.capacity_per_s(float(at)) for at in range(start_s, end_s))


def endless(scenario: Scenario) -> tuple[dict[str, Any], Run]:
    """The adaptive control with mail that never ends."""
    provider = scenario.provider()
    end = int(scenario.hours * HOUR_S)
    run = World(Adaptive(), provider).run(end)
    spans = [(int(scenario.settled_h * HOUR_S), end)]
    if isinstance(provider, Dropping):  # what comes within a quarter of an hour is not steady yet
        marks = [0, int(provider.since_s), int(provider.until_s), end]
        spans = [(a + 15 * MIN_S, b) for a, b in pairwise(marks)]
    delivered = sum(run.count(a, b, Reply.DELIVERED) for a, b in spans)
    attempts = sum(run.count(a, b, *Reply) for a, b in spans)
    bad = sum(run.count(a, b, Reply.THROTTLED, Reply.CROWDED, Reply.BLOCKED) for a, b in spans)
    found = {
        "share": delivered / sum(capacity(provider, a, b) for a, b in spans),
        "deferred": bad / attempts,
        "blocks": provider.blocks if isinstance(provider, Escalating) else 0,
        "found_min": _reached(run, provider, 0),
        "back_min": None,
    }
    if scenario.back_h:
        found["back_min"] = _reached(run, provider, int(scenario.back_h * HOUR_S))
    return found, run


def _reached(run: Run, provider: Provider, since_s: int) -> float | None:
    """Minutes until a whole minute brings four fifths of what is possible."""
    for end in range(since_s + MIN_S, len(run.replies), 15):
        wanted = RECOVERED * capacity(provider, end - MIN_S, end)
        if run.count(end - MIN_S, end, Reply.DELIVERED) >= wanted:
            return (end - since_s) / MIN_S
    return None


def mailing(scenario: Scenario, sender: Sender) -> dict[str, Any]:
    """What has arrived by the deadline."""
    provider = scenario.provider()
    end = int(scenario.deadline_h * HOUR_S)
    whole = capacity(provider, 0, end)
    if isinstance(provider, Quota):
        whole = provider.per_day * (1 + scenario.deadline_h // 24)
    messages = int(whole * MAILING)
    run = World(sender, provider, messages=messages).run(end)
    return {
        "arrived": run.count(0, end, Reply.DELIVERED) / messages,
        "deferred": run.throttled_share(0, end),
        "blocks": provider.blocks if isinstance(provider, Escalating) else 0,
    }


def verdict(found: dict[str, Any]) -> list[str]:
    """What is wrong; nothing where all is met."""
    first, mailings = found["endless"], found["mailing"]
    wrong = []
    if first["share"] < CAPACITY_MIN:
        wrong.append(f"{endless['share']:.0%} of the capacity")
    if first["deferred"] > DEFERRED_MAX:
        wrong.append(f"{endless['deferred']:.1%} deferred")
    if first["blocks"]:
        wrong.append("blocked")
    if first["back_min"] is not None and first["back_min"] > RECOVERY_MAX_MIN:
        wrong.append("back too late")
    ours = mailings[Adaptive.name]["arrived"]
    for name, other in mailings.items():
        if name != Adaptive.name and other["arrived"] >= ours:
            what = "wins" if other["arrived"] > ours else "as good"
            wrong.append(f"{name} {what}, {other['deferred']:.0%} deferred")
    return wrong


def measure(scenario: Scenario) -> tuple[dict[str, Any], Run]:
    first, run = endless(scenario)
    mailings: dict[str, dict[str, Any]] = {}
    for make in SENDERS:
        sender = make()
        result = mailing(scenario, sender)
        best = mailings.setdefault(sender.name, result)
        if result["arrived"] > best["arrived"]:  # of several settings, the best for this provider
            mailings[sender.name] = result
    return {"endless": first, "mailing": mailings}, run


def show(found: dict[str, dict[str, Any]]) -> None:
    rows, others = [], []
    for name, one in found.items():
        first = one["endless"]
        minutes = [f"{at:.0f}" if at else "" for at in (first["found_min"], first["back_min"])]
        figures = [f"{first['share']:.1%}", f"{first['deferred']:.2%}", *minutes]
        rows.append([name, *figures, str(first["blocks"])])
        for each in one["mailing"].values():
            each["cell"] = f"{each['arrived']:.1%}, {each['deferred']:.0%}"
        others.append([name, *(each.pop("cell") for each in one["mailing"].values())])
    report.show(
        "Mail that never ends, once the pace is found (of a day's quota: the second day)",
        ["the hidden limit", "of capacity", "deferred", "found, min", "back, min", "blocks"],
        rows,
    )
    report.show(
        f"A mailing of {MAILING:.0%} of what is possible: arrived by the deadline, "
        "and attempts refused",
        ["the hidden limit", *next(iter(found.values()))["mailing"]],
        others,
    )
    for name, one in found.items():
        for what in verdict(one):
            report.console().print(f"NOT met, {name}: {what}")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.adaptive")
    parser.add_argument("--draw", action="store_true", help="docs/pace.svg")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a part of a scenario's name")
    options = parser.parse_args(arguments)
    found, runs = {}, {}
    for scenario in SCENARIOS:
        if not options.names or any(name in scenario.name for name in options.names):
            found[scenario.name], runs[scenario.name] = measure(scenario)
    show(found)
    report.save("adaptive", found)
    if options.draw:
        from bench import adaptive_picture

        shown = {s.name: (s.provider(), runs[s.name]) for s in SCENARIOS if s.name in runs}
        print(adaptive_picture.draw(shown))
    return 1 if any(verdict(one) for one in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
