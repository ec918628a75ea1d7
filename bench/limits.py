"""Whether limits hold over all workers, as the provider sees them, and are used to the full.

A daemon with four workers has ten thousand messages for one provider that is limited to a rate, and
as many for one that is limited to a number of connections; both have several sites, so that only
the provider's own limit binds. In the middle one worker is killed. The providers note when each
message comes and how many connections are open.

``python -m bench.limits [--full]``; ``--full`` is ``60/min`` over three minutes and more.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench import report
from bench.daemon import Daemon
from bench.fill import Kind, fill
from bench.harness import scratch, wait_until
from bench.provider import Opened, Provider
from penstock.policy.rate import Rate

WORKERS = 4
SITES = 4
SEATS = 8
SIZE = 1024
BACK_S_MAX = 5.0
USED_MIN = 0.95
AROUND_S_MIN = 10.0  # a token is lost with its worker

_PROVIDERS = {
    "rated": 'mx = [".rated.example"]\n[limits]\nprovider_message_rate = "{rate}"\n',
    "seated": 'mx = [".seated.example"]\n[limits]\nprovider_connections = {seats}\n',
}
_DEFAULT = """
[limits]
connections = 50
connection_rate = "unlimited"
message_rate = "unlimited"
"""
_POOL = '[pool.{name}]\nsources = ["{name}"]\n'


@dataclass(frozen=True)
class Plan:
    """``periods``: how many of the rate's periods are measured; ``pause_s``: how long a message
    takes at the provider whose connections are counted."""

    rate: str
    periods: int
    queued: int
    pause_s: float

    @property
    def parsed(self) -> Rate:
        return Rate.parse(self.rate)

    @property
    def seconds(self) -> float:
        return self.periods * self.parsed.period_s


FULL = Plan("60/min", 4, 10_000, 0.2)
QUICK = Plan("24/6s", 2, 2000, 0.1)


def most_within(times: Sequence[float], window_s: float) -> int:
    """The most that came within any window of that length; ``times`` in order."""
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= window_s:
            first += 1
        most = max(most, last - first + 1)
    return most


def within(times: Sequence[float], start: float, end: float) -> int:
    return sum(start <= at < end for at in times)


def open_at(opened: Sequence[Opened], at: float) -> int:
    """How many connections were open then."""
    before = [one.number for one in opened if one.at_s <= at]
    return before[-1] if before else 0


def back_after(opened: Sequence[Opened], at: float, count: int) -> float | None:
    """How long after ``at`` so many were open for the first time again; ``None``: never."""
    fell = next((one.at_s for one in opened if one.at_s >= at and one.number < count), None)
    if fell is None:
        return 0.0
    again = next((one.at_s for one in opened if one.at_s > fell and one.number >= count), None)
    return None if again is None else again - at


def policies(directory: pathlib.Path, plan: Plan, providers: dict[str, Provider]) -> pathlib.Path:
    path = directory / "policies"
    (path / "providers").mkdir(parents=True)
    (path / "default.toml").write_text(_DEFAULT)
    for name, text in _PROVIDERS.items():
        text = text.format(rate=plan.rate, seats=SEATS)
        (path / "providers" / f"{name}.toml").write_text(text)
    tables = [
        provider.source(name, number) + _POOL.format(name=name)
        for number, (name, provider) in enumerate(providers.items(), 2)
    ]
    (path / "sources.toml").write_text("\n".join(tables))
    return path


def measure(plan: Plan, directory: pathlib.Path) -> dict[str, Any]:
    spool = directory / "spool"
    for name in _PROVIDERS:
        kind = Kind(pool=name, under=f"{name}.example", name=name)
        fill(spool, plan.queued, shards=WORKERS, size=SIZE, domains=SITES, due_s=0.0, kind=kind)
    with Provider(directory) as rated, Provider(directory, pause_s=plan.pause_s) as seated:
        found = policies(directory, plan, {"rated": rated, "seated": seated})
        daemon = Daemon(
            directory, "", workers=WORKERS, policies=found, spool=spool, extra=rated.settings
        )
        with daemon:
            wait_until(lambda: bool(rated.arrivals()), 60, "the first message comes", 0.05)
            start = rated.arrivals()[0].at_s
            _sleep_until(start + plan.seconds / 2)
            killed = time.monotonic()
            os.kill(daemon.worker_pids()[1], signal.SIGKILL)
            _sleep_until(start + plan.seconds + 0.5)
        return {
            **_rates(plan, [one.at_s for one in rated.arrivals()], start, killed),
            **_connections(seated.opened(), start, killed, start + plan.seconds),
            "delivered_meanwhile": len(seated.arrivals()),
        }


def _sleep_until(at: float) -> None:
    time.sleep(max(0.0, at - time.monotonic()))


def _rates(plan: Plan, times: list[float], start: float, killed: float) -> dict[str, Any]:
    rate, period_s = plan.parsed, plan.parsed.period_s
    around_s = max(period_s, AROUND_S_MIN)
    return {
        "rate": plan.rate,
        "count": rate.count,
        "burst": rate.burst,
        "most_in_a_period": most_within(times, period_s),
        "in_each_period": [
            within(times, start + n * period_s, start + (n + 1) * period_s)
            for n in range(plan.periods)
        ],
        "around_the_kill": within(times, killed - around_s / 2, killed + around_s / 2)
        * (period_s / around_s),
    }


def _connections(
    opened: Sequence[Opened], start: float, killed: float, end: float
) -> dict[str, Any]:
    """``share_open``: of the limit, how much was open on average between the first and the last
    look, a look each tenth of a second, without the seconds that a killed worker has."""
    looks = [start + 1 + n / 10 for n in range(int((end - start - 1) * 10))]
    quiet = [at for at in looks if not killed <= at < killed + BACK_S_MAX]
    return {
        "seats": SEATS,
        "most_open": max(one.number for one in opened),
        "share_open": sum(open_at(opened, at) for at in quiet) / len(quiet) / SEATS,
        "open_again_after_s": back_after(opened, killed, SEATS),
    }


def verdicts(found: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """What, measured, wanted, whether that is met."""
    least, most = USED_MIN * found["count"], found["count"] + found["burst"]
    used, back = min(found["in_each_period"][1:]), found["open_again_after_s"]
    around = found["around_the_kill"]
    return [
        (
            f"most messages in any sliding period, limit {found['rate']}",
            str(found["most_in_a_period"]),
            f"<= {most}",
            found["most_in_a_period"] <= most,
        ),
        ("fewest in a period after the first", str(used), f">= {least:g}", used >= least),
        ("a period in the time around the kill", f"{around:g}", f">= {least:g}", around >= least),
        (
            "most connections open at once",
            str(found["most_open"]),
            f"<= {SEATS}",
            found["most_open"] <= SEATS,
        ),
        (
            "connections open on average, of the limit",
            f"{found['share_open']:.0%}",
            f">= {USED_MIN:.0%}",
            found["share_open"] >= USED_MIN,
        ),
        (
            "all connections again after the kill, s",
            "never" if back is None else f"{back:.2f}",
            f"<= {BACK_S_MAX:g}",
            back is not None and back <= BACK_S_MAX,
        ),
    ]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.limits")
    parser.add_argument("--full", action="store_true", help="60/min; takes four minutes")
    options = parser.parse_args(arguments)
    with scratch("penstock-limits-") as directory:
        found = measure(FULL if options.full else QUICK, directory)
    rows = verdicts(found)
    report.show(
        f"Limits of a provider over {WORKERS} workers, one of them killed in the middle",
        ["what", "measured", "wanted", ""],
        [[what, value, wanted, "met" if met else "NOT met"] for what, value, wanted, met in rows],
    )
    report.save("limits", found)
    return 0 if all(met for *_, met in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
