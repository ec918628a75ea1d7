"""Who is served when not everybody can be, as the next hop sees it.

Urgent mail behind a great backlog of bulk at a slow destination: from the 250 to its arrival. Two
tenants of weights 3 and 1, both with more than can go: their shares. Bulk beside transactional mail
that never ends: its floor. The backlogs are on disk when the daemon starts.

``python -m bench.fairness [--full]``; ``--full`` has a million of bulk and takes four minutes.
"""

from __future__ import annotations

import argparse
import pathlib
import smtplib
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from bench import report
from bench.daemon import Daemon
from bench.fill import Kind, fill
from bench.harness import free_port, scratch, wait_until
from bench.sink import Sink

HOST = "127.0.0.2"
WORKERS = 2
SIZE = 1024
URGENT_S_MAX = 1.0
WEIGHTS = {"gold": 3, "iron": 1}
SHARE_OFF_MAX = 0.05
FLOOR = 0.05
START_S = 300.0
WARM_S = 2.0
_POLICIES = {
    "default.toml": '[limits]\nconnection_rate = "unlimited"\nmessage_rate = "unlimited"\n',
    "sources.toml": "",
    "tenants.toml": "".join(f"[tenant.{t}]\nweight = {w}\n" for t, w in WEIGHTS.items()),
}


class Plan(NamedTuple):
    """``bulk``: the backlog before urgent mail; ``urgent``: how much of that, one every
    ``every_s``; ``seconds``: how long shares are counted, at ``rate`` a second."""

    bulk: int
    urgent: int
    every_s: float
    seconds: float
    rate: int


FULL = Plan(1_000_000, 20, 3.0, 60.0, 200)
QUICK = Plan(2_000, 4, 0.7, 4.0, 200)


class Bench:
    """A directory with the policies, and a next hop limited to ``rate`` messages a second."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._policies = directory / "policies"
        (self._policies / "providers").mkdir(parents=True)
        for name, text in _POLICIES.items():
            (self._policies / name).write_text(text)
        self.sink = Sink(directory, HOST, free_port(HOST), record=True)

    def daemon(self, rate: int) -> Daemon:
        return Daemon(
            self._directory,
            f"{HOST}:{self.sink.port}",
            workers=WORKERS,
            policies=self._policies,
            spool=self._directory / "spool",
            route=f'message_rate = "{rate}/s"',
            extra="[log]\nattempts = false\n",
        )

    def fill(self, count: int, kind: Kind) -> None:
        spool = self._directory / "spool"
        fill(spool, count, shards=WORKERS, size=SIZE, domains=1, due_s=0.0, kind=kind)


def _submit(port: int, name: str) -> float:
    """One transactional message; when its 250 came, by ``time.monotonic``."""
    text = (
        f"Message-ID: <{name}@urgent.example>\r\nX-Penstock-Class: transactional\r\n"
        "Subject: your code\r\n\r\n1234\r\n"
    )
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.sendmail("shop@src.example", ["you@d0.example"], text)
        return time.monotonic()


def urgent(bench: Bench, plan: Plan) -> list[float]:
    """Seconds from the 250 of each urgent message to its arrival."""
    bench.fill(plan.bulk, Kind("news", "bulk", name="bulk"))
    daemon = bench.daemon(10)
    daemon.start(START_S)
    taken: dict[str, float] = {}
    try:
        wait_until(lambda: len(bench.sink.delivered()) > 10, START_S, "bulk flows")
        for number in range(plan.urgent):
            name = f"urgent-{number}"
            taken[f"{name}@urgent.example"] = _submit(daemon.port, name)
            time.sleep(plan.every_s)
        wait_until(lambda: taken.keys() <= bench.sink.times_ns().keys(), 60, "all came")
    finally:
        daemon.kill()
    came = bench.sink.times_ns()
    return [max(0.0, came[name] / 1e9 - at) for name, at in taken.items()]


def shares(bench: Bench, plan: Plan, kinds: Sequence[Kind]) -> dict[str, float]:
    """What part of all that arrives is of each kind, while there is more of both."""
    for kind in kinds:
        bench.fill(int(plan.rate * (plan.seconds + 2 * WARM_S) * 1.5), kind)
    daemon = bench.daemon(plan.rate)
    daemon.start(START_S)
    try:
        wait_until(lambda: bool(bench.sink.delivered()), START_S, "mail flows")
        time.sleep(WARM_S)
        before = len(bench.sink.delivered())
        time.sleep(plan.seconds)
        counted = Counter(name.partition("@")[0] for name in bench.sink.delivered()[before:])
    finally:
        daemon.kill()
    return {kind.name: counted[kind.name] / counted.total() for kind in kinds}


def measure(plan: Plan) -> dict[str, Any]:
    tenants = [Kind(name, "bulk", name=name) for name in WEIGHTS]
    classes = [Kind("shop", "transactional", name="urgent"), Kind("shop", "bulk", name="bulk")]
    found: dict[str, Any] = {"bulk": plan.bulk}
    with scratch("penstock-fairness-") as directory:
        for name in ("urgent", "weights", "floor"):
            (directory / name).mkdir()
            bench = Bench(directory / name)
            with bench.sink:
                if name == "urgent":
                    found["urgent_s"] = urgent(bench, plan)
                elif name == "weights":
                    found["weights"] = shares(bench, plan, tenants)
                else:
                    found["floor"] = shares(bench, plan, classes)
    return found


def verdicts(found: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """What, measured, wanted, whether that is met."""
    slowest, floor = max(found["urgent_s"]), found["floor"]["bulk"]
    ratio = found["weights"]["gold"] / found["weights"]["iron"]
    wanted = WEIGHTS["gold"] / WEIGHTS["iron"]
    return [
        (
            f"slowest urgent message behind {found['bulk']:,} of bulk, s",
            f"{slowest:.2f}",
            f"<= {URGENT_S_MAX:g}",
            slowest <= URGENT_S_MAX,
        ),
        (
            "share of weight 3 for one of weight 1",
            f"{ratio:.2f}",
            f"{wanted:g} ± {SHARE_OFF_MAX:.0%}",
            abs(ratio / wanted - 1) <= SHARE_OFF_MAX,
        ),
        (
            "share of bulk beside endless transactional mail",
            f"{floor:.1%}",
            f">= {FLOOR:.0%}",
            floor >= FLOOR * (1 - SHARE_OFF_MAX),
        ),
    ]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fairness")
    parser.add_argument("--full", action="store_true", help=f"{FULL.bulk:,} of bulk")
    options = parser.parse_args(arguments)
    found = measure(FULL if options.full else QUICK)
    rows = verdicts(found)
    report.show(
        f"Fairness at the next hop, {WORKERS} workers",
        ["what", "measured", "wanted", ""],
        [[what, value, wanted, "met" if met else "NOT met"] for what, value, wanted, met in rows],
    )
    report.save("fairness", found)
    return 0 if all(met for *_, met in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
