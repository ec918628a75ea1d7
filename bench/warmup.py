"""``python -m bench.warmup [--draw] [--days N]``: a month of warming up, virtually.

One source is cold and shares a pool with two that are warm, three parts of seven to it. Every day a
mailing and some transactional mail go to two providers. Gmail defers much on one day and blocks the
source on another; Yahoo refuses much on one. The daemon is restarted twenty times, half of them as
by a crash, each time with another number of workers. What the providers saw is held against the
plan: never more on any day, a hold after the bad days, steps back after the block, the rest by the
warm sources in proportion.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field

from bench.warmup_world import (
    BLOCK_RULE,
    BLOCKED,
    DAY_S,
    DEFERRED,
    REFUSED,
    WORKERS_MAX,
    Fleet,
)
from penstock.mail.outcome import Outcome
from penstock.policy.load import load_policies
from penstock.policy.policies import Policies
from penstock.sim.clock import VirtualClock, run_virtual
from penstock.sim.relay import NOW, OK

DAYS = 30
RESTARTS = 20
PROVIDERS = ("gmail", "yahoo")
BAD_DAY, BLOCK_DAY, REFUSED_DAY = 9, 16, 12
MAILING, FIRST_A_DAY = 420, 24
MESSAGES = tuple(round(20 * 1.1**n) for n in range(24))
PLAN = f"""\
messages = {list(MESSAGES)}
hours = "daily 07:00-21:00 UTC"
hour_max = 0.2
transactional = 0.2
step_back = 3
[gates]
sample = 10
block_sample = 5
"""
SOURCES = """\
[source.cold]
ipv4 = "192.0.2.1"
warmup = "plan"
[source.warm1]
ipv4 = "192.0.2.2"
[source.warm2]
ipv4 = "192.0.2.3"
[pool.default]
sources = { cold = 3, warm1 = 3, warm2 = 1 }
[pool.alone]
sources = ["cold"]
"""
LIMITS = """\
[limits]
message_rate = "unlimited"
connection_rate = "unlimited"
retry_initial_s = "30m"
retry_max_s = "30m"
max_age_s = "30d"
"""


@dataclass
class Month:
    """``sent``: what the cold source sent, ``messages``: what its plan allowed, by day, for each
    provider; ``warm``: what the others took; ``problems``: what did not hold."""

    sent: dict[str, list[int]] = field(default_factory=dict)
    messages: dict[str, list[int]] = field(default_factory=dict)
    warm: dict[str, list[int]] = field(default_factory=dict)
    verdicts: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    ratio: float = 0.0
    first_waited_s: float = 0.0
    restarts: int = 0
    total: int = 0
    left: int = 0
    doubled: int = 0
    problems: list[str] = field(default_factory=list)


def policies(plan: str = PLAN, sources: str = SOURCES) -> Policies:
    """What the scenario and its tests run under."""
    loaded = load_policies(
        {
            "default.toml": LIMITS,
            "sources.toml": sources,
            "warmup/plan.toml": plan,
            "replies/any.toml": BLOCK_RULE,
        }
    )
    assert isinstance(loaded, Policies), loaded
    return loaded


def answer(source: str, provider: str, day: float) -> Outcome:
    """What a provider says; ``day`` counts from the beginning."""
    number = int((NOW % DAY_S) / DAY_S + day)
    if source == "cold" and (provider, number) == ("gmail", BLOCK_DAY):
        return BLOCKED
    if source == "cold" and (provider, number) == ("gmail", BAD_DAY):
        return DEFERRED if int(day * 1e5) % 3 == 0 else OK
    if source == "cold" and (provider, number) == ("yahoo", REFUSED_DAY):
        return REFUSED if int(day * 1e5) % 4 == 0 else OK
    return OK


async def _mail(fleet: Fleet, days: int) -> None:
    """A mailing at 09:00, transactional mail around the clock."""
    start = int(NOW // DAY_S)
    for day in range(start, start + days):
        for hour in range(24):
            at = (day * 24 + hour) * 3600.0
            if at < fleet.now:
                continue
            await asyncio.sleep(at - fleet.now)
            for provider in PROVIDERS:
                await fleet.send(provider, "transactional")
                if hour == 9:
                    for _ in range(MAILING):
                        await fleet.send(provider)


async def _restarts(fleet: Fleet, rng: random.Random, days: int, count: int) -> None:
    times = sorted(rng.uniform(0.1, days - 0.5) * DAY_S for _ in range(count))
    for number, at in enumerate(times):
        await asyncio.sleep(max(0.0, fleet.began + at - fleet.loop.time()))
        async with fleet.lock:
            await fleet.restart(rng.randint(1, WORKERS_MAX), crash=number % 2 == 0)


async def month(directory: str, days: int = DAYS, restarts: int = RESTARTS, seed: int = 1) -> Month:
    """Play it, and hold what the providers saw against the plan."""
    fleet = Fleet(directory, policies(), answer)
    fleet.begin(2)
    rng = random.Random(seed)
    await asyncio.gather(_mail(fleet, days), _restarts(fleet, rng, days, restarts))
    async with fleet.lock:
        await fleet.restart(WORKERS_MAX, crash=False)  # all that any of them has left
    await asyncio.sleep(2 * 3600)
    found = _judge(fleet, days)
    await fleet.end(crash=False)
    return found


def _judge(fleet: Fleet, days: int) -> Month:
    found = Month(restarts=fleet.restarts, total=fleet.sent, left=fleet.waiting)
    start = int(NOW // DAY_S)
    for provider in PROVIDERS:
        plan = fleet.policies.warmup("cold")
        assert plan is not None
        state = fleet.state("cold", provider)
        stages = {day.day: day.messages for day in state.history if day.messages}
        now = plan.stages(provider)[state.stage] if not state.warm else None
        sent = [fleet.came[day, "cold", provider] for day in range(start, start + days)]
        most = [stages.get(day, now or sent[day - start]) for day in range(start, start + days)]
        found.sent[provider], found.messages[provider] = sent, most
        found.warm[provider] = [
            fleet.came[day, "warm1", provider] + fleet.came[day, "warm2", provider]
            for day in range(start, start + days)
        ]
        verdicts = {day.day - start: (day.verdict, day.reason) for day in state.history}
        found.verdicts[provider] = [verdicts.get(day, ("", "")) for day in range(days)]
        found.problems += [
            f"{provider}, day {n}: {one} sent, {bar} planned"
            for n, (one, bar) in enumerate(zip(sent, most, strict=True))
            if one > bar
        ]
    _expect(found, "gmail", BAD_DAY, "hold", days)
    _expect(found, "gmail", BLOCK_DAY, "back", days)
    _expect(found, "yahoo", REFUSED_DAY, "hold", days)
    took = {
        name: sum(n for (_, source, _), n in fleet.came.items() if source == name)
        for name in ("warm1", "warm2")
    }
    found.ratio = took["warm1"] / max(1, took["warm2"])
    if not 2.7 <= found.ratio <= 3.3:
        found.problems.append(f"warm1 took {found.ratio:.2f} times what warm2 did; 3 expected")
    found.first_waited_s = fleet.first_waited
    found.doubled = sum(n > 1 for n in fleet.delivered.values())
    if found.doubled:
        found.problems.append(f"{found.doubled} delivered twice")
    if len(fleet.delivered) + found.left != fleet.sent:
        found.problems.append(f"{fleet.sent - len(fleet.delivered) - found.left} lost")
    return found


def _expect(found: Month, provider: str, day: int, verdict: str, days: int) -> None:
    if day < days - 1 and found.verdicts[provider][day][0] != verdict:
        said = " ".join(found.verdicts[provider][day])
        found.problems.append(f"{provider}, day {day}: {said!r} where {verdict} is expected")


def _print(found: Month) -> None:
    print("day      gmail: plan  sent  by others          yahoo: plan  sent  by others")
    for day in range(len(found.sent["gmail"])):
        row = f"{day + 1:3d}  "
        for provider in PROVIDERS:
            verdict = found.verdicts[provider][day][0]
            row += (
                f"{found.messages[provider][day]:14d}{found.sent[provider][day]:6d}"
                f"{found.warm[provider][day]:11d} {verdict if verdict != 'advance' else '':7s}"
            )
        print(row)
    for provider in PROVIDERS:
        for day, (verdict, reason) in enumerate(found.verdicts[provider]):
            if verdict in ("hold", "back"):
                print(f"  {provider}, day {day + 1}: {verdict}: {reason}")
    print(
        f"{found.restarts} restarts; warm1 : warm2 = {found.ratio:.2f} : 1; transactional mail "
        f"waited {found.first_waited_s:.0f} s at most; {found.left} of {found.total} still queued"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draw", action="store_true", help="docs/warmup.svg")
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        found = run_virtual(month(directory, options.days, seed=options.seed), VirtualClock(1000.0))
    _print(found)
    if options.draw:
        from bench.warmup_picture import draw

        draw(found)
    print(json.dumps({"warmup": {"problems": len(found.problems), "restarts": found.restarts}}))
    for problem in found.problems:
        print(problem, file=sys.stderr)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    return 1 if found.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
