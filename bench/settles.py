"""Whether the pace of a provider that hides its limit is found, by real processes.

A provider on loopback takes 200 messages in any minute and puts off what is more, with the words
of a large one; nothing in the policies says so. A daemon with two workers and the shipped limits
has more mail for it than it will take. Each minute is counted from outside, as the provider sees
it: what it took, and what it put off.

    python -m bench.settles [--minutes N] [--rate 200/min] [--json FILE]
"""

from __future__ import annotations

import argparse
import pathlib
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench import report
from bench.daemon import Daemon
from bench.fill import Kind, fill
from bench.harness import ROOT, Failed, scratch, wait_until
from bench.provider import Provider
from penstock.policy.rate import Rate

WORKERS = 2
SITES = 4
SIZE = 2048
USED_MIN = 0.80
PUT_OFF_MAX = 0.03
SPARE = 1.5  # times what the provider can take is queued

_POLICY = 'mx = [".hidden.example"]\n[limits]\nadaptive = "on"\n'
_POOL = '[pool.hidden]\nsources = ["hidden"]\n'


@dataclass(frozen=True)
class Minute:
    """What the provider saw in one period of its limit."""

    taken: int
    put_off: int

    def used(self, limit: int) -> float:
        return self.taken / limit

    @property
    def share_put_off(self) -> float:
        offered = self.taken + self.put_off
        return self.put_off / offered if offered else 0.0


def minutes(
    taken: Sequence[float], put_off: Sequence[float], start: float, period_s: float, count: int
) -> list[Minute]:
    """``count`` periods from ``start`` on."""

    def within(times: Sequence[float], n: int) -> int:
        return sum(start + n * period_s <= at < start + (n + 1) * period_s for at in times)

    return [Minute(within(taken, n), within(put_off, n)) for n in range(count)]


def settled(found: Sequence[Minute], limit: int) -> int | None:
    """The first period from which on, to the end, the limit is used and little is put off; ``None``
    where that is not reached, or only by the last."""
    for first in range(len(found) - 1):
        rest = found[first:]
        offered = sum(one.taken + one.put_off for one in rest)
        put_off = sum(one.put_off for one in rest)
        used = sum(one.taken for one in rest) / (limit * len(rest))
        if used >= USED_MIN and put_off <= PUT_OFF_MAX * offered:
            return first
    return None


def policies(directory: pathlib.Path, provider: Provider) -> pathlib.Path:
    """The shipped ones, with one more provider of which nothing is known."""
    path = directory / "policies"
    shutil.copytree(ROOT / "policies", path)
    (path / "providers" / "hidden.toml").write_text(_POLICY)
    (path / "sources.toml").write_text(provider.source("hidden") + _POOL)
    return path


def measure(rate: Rate, periods: int, directory: pathlib.Path) -> dict[str, Any]:
    spool = directory / "spool"
    kind = Kind(pool="hidden", under="hidden.example", name="hidden")
    queued = int(rate.count * periods * SPARE)
    fill(spool, queued, shards=WORKERS, size=SIZE, domains=SITES, due_s=0.0, kind=kind)
    with Provider(directory, rate=str(rate)) as provider:
        daemon = Daemon(
            directory,
            "",
            workers=WORKERS,
            policies=policies(directory, provider),
            spool=spool,
            extra=provider.settings,
        )
        with daemon:
            wait_until(lambda: bool(provider.arrivals()), 60, "the first message comes", 0.05)
            start = provider.arrivals()[0].at_s
            paces = []
            for n in range(periods):
                time.sleep(max(0.0, start + (n + 1) * rate.period_s - time.monotonic()))
                paces.append(daemon.metric("penstock_pace_rate"))
            if not daemon.queued():
                raise Failed("the queue is empty: the provider took more than it should")
        taken = [one.at_s for one in provider.arrivals()]
        found = minutes(taken, provider.put_off(), start, rate.period_s, periods)
    at = settled(found, rate.count)
    return {
        "rate": str(rate),
        "limit": rate.count,
        "minutes": [asdict(one) for one in found],
        "pace_per_s": paces,
        "settled_after": at,
        "used": None
        if at is None
        else sum(m.taken for m in found[at:]) / rate.count / (periods - at),
        "put_off": None
        if at is None
        else sum(m.put_off for m in found[at:]) / sum(m.taken + m.put_off for m in found[at:]),
    }


def show(found: dict[str, Any]) -> None:
    rows = [
        (
            str(n + 1),
            str(one["taken"]),
            f"{one['taken'] / found['limit']:.0%}",
            str(one["put_off"]),
            f"{Minute(**one).share_put_off:.1%}",
            f"{pace * Rate.parse(found['rate']).period_s:.0f}",
        )
        for n, (one, pace) in enumerate(zip(found["minutes"], found["pace_per_s"], strict=True))
    ]
    title = f"A provider that hides a limit of {found['rate']}, {WORKERS} workers"
    heads = ("period", "taken", "of the limit", "put off", "of the attempts", "pace at its end")
    report.show(title, heads, rows)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.settles")
    parser.add_argument("--minutes", type=int, default=10, help="periods of the rate")
    parser.add_argument("--rate", default="200/min", help="the limit that is hidden")
    parser.add_argument("--json", type=pathlib.Path, help="default: bench/out/settles.json")
    options = parser.parse_args(arguments)
    with scratch("penstock-settles-") as directory:
        found = measure(Rate.parse(options.rate), options.minutes, directory)
    show(found)
    report.save("settles", found, options.json)
    if found["settled_after"] is None:
        print(f"NOT settled at {USED_MIN:.0%} with {PUT_OFF_MAX:.0%} put off")
        return 1
    print(
        f"settled after period {found['settled_after']}: {found['used']:.0%} of the limit used, "
        f"{found['put_off']:.1%} of the attempts put off"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
