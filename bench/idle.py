"""What a daemon costs while much is queued and nothing may be sent.

A great many messages for as many domains wait for limits of every kind: a tenant's cap that they
all share, a rate of each site's own, a sending window that is closed, the order of an operator, a
retry. Every domain is a site of its own, found by DNS. Once all that may go has gone, the CPU of
all processes of the daemon is measured; then how quickly it answers those who look at it.

``python -m bench.idle [--domains N] [--messages N] [--full]``; ``--full`` is a hundred thousand and
a million.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from bench import report
from bench.daemon import Daemon
from bench.fill import Kind, fill
from bench.harness import scratch
from bench.provider import Provider
from bench.usage import cpu_s, resident_bytes

FULL = (100_000, 1_000_000)
SHARE_MAX = 0.02
ANSWER_S_MAX = 0.5
SETTLED_S = 20.0  # nothing came for so long
SETTLE_S_MAX = 900.0
SIZE = 1024
ASKED = 5


class Part(NamedTuple):
    """A part of the backlog: its share of all, and whose it is. ``due_s`` as in a fill."""

    share: float
    kind: Kind
    due_s: float = 0.0


PARTS = (
    Part(0.40, Kind("capped", under="capped.example")),
    Part(0.10, Kind("rated", under="rated.example")),
    Part(0.20, Kind("night", under="night.example")),
    Part(0.20, Kind("held", under="held.example")),
    Part(0.10, Kind("later", under="later.example"), 43_200.0),
)
_DEFAULT = """
[limits]
connections = 10
connection_rate = "unlimited"
message_rate = "1/h"
"""
_TENANTS = """
[tenant.capped]
message_rate = "1/h"
[tenant.night]
window = "daily {opens:%H:%M}-{closes:%H:%M} UTC"
"""


def policies(directory: pathlib.Path, provider: Provider, now: datetime) -> pathlib.Path:
    """A directory of policies; its sending window was closed an hour ago."""
    path = directory / "policies"
    (path / "providers").mkdir(parents=True)
    (path / "default.toml").write_text(_DEFAULT)
    (path / "sources.toml").write_text(provider.source("out"))
    opens, closes = now - timedelta(hours=2), now - timedelta(hours=1)
    (path / "tenants.toml").write_text(_TENANTS.format(opens=opens, closes=closes))
    return path


def settle(daemon: Daemon, provider: Provider) -> float:
    """Wait until nothing is looked up or sent any more; the seconds that took."""
    start = last = time.monotonic()
    before: Any = None
    while time.monotonic() - last < SETTLED_S:
        if time.monotonic() - start > SETTLE_S_MAX:
            raise SystemExit("it does not come to rest")
        worker = daemon.control("status")["workers"][0]
        state = (len(provider.arrivals()), worker["resolving"], worker["ready"])
        if worker["resolving"] or state != before:
            before, last = state, time.monotonic()
        time.sleep(0.5)
    return last - start


def answers(daemon: Daemon) -> dict[str, float]:
    """Seconds of the slowest of a few answers, by what was asked."""

    def metrics() -> None:
        urllib.request.urlopen(f"http://127.0.0.1:{daemon.http_port}/metrics", timeout=60).read()

    def suspend() -> None:
        answer = daemon.control(
            "queue.suspend", selector={"tenant": "rated"}, reason="bench", user="bench"
        )
        daemon.control("queue.cancel", id=answer["id"], user="bench")

    asked: dict[str, Callable[[], object]] = {
        "/metrics": metrics,
        "penstock top": lambda: daemon.control("top"),
        "penstock queue suspend and cancel": suspend,
    }
    found = {}
    for name, ask in asked.items():
        took = []
        for _ in range(ASKED):
            start = time.monotonic()
            ask()
            took.append(time.monotonic() - start)
        found[name] = max(took)
    return found


def measure(options: argparse.Namespace, directory: pathlib.Path) -> dict[str, Any]:
    spool = directory / "spool"
    for part in PARTS:
        fill(
            spool,
            int(options.messages * part.share),
            shards=1,
            size=SIZE,
            domains=max(1, int(options.domains * part.share)),
            due_s=part.due_s,
            kind=part.kind,
        )
    with Provider(directory) as provider:
        daemon = Daemon(
            directory,
            "",
            workers=1,
            policies=policies(directory, provider, datetime.now(UTC)),
            spool=spool,
            extra=provider.settings + "[log]\nattempts = false\n",
        )
        with daemon:
            daemon.control("queue.suspend", selector={"tenant": "held"}, reason="bench", user="b")
            settled_s = settle(daemon, provider)
            if options.wait:
                input(f"settled, pids {daemon.pids}; press enter")
            print(f"settled after {settled_s:.0f} s", flush=True)
            sent, used_s, start = len(provider.arrivals()), cpu_s(daemon.pids), time.monotonic()
            time.sleep(options.seconds)
            share = (cpu_s(daemon.pids) - used_s) / (time.monotonic() - start)
            if len(provider.arrivals()) > sent + 2:
                raise SystemExit("mail went out while the CPU was measured")
            return {
                "domains": options.domains,
                "queued": daemon.queued(),
                "sites": sent,
                "settled_s": settled_s,
                "cpu_share": share,
                "cpu_share_max": SHARE_MAX,
                "resident_mib": resident_bytes(daemon.pids) / 2**20,
                "answers_s": answers(daemon),
            }


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.idle")
    parser.add_argument("--domains", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--full", action="store_true", help=f"{FULL[0]:,} and {FULL[1]:,}")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long the CPU is measured")
    parser.add_argument("--wait", action="store_true", help="for somebody who wants to look at it")
    options = parser.parse_args(arguments)
    if options.full:
        options.domains, options.messages = FULL
        options.seconds = max(options.seconds, 60.0)
    with scratch("penstock-idle-") as directory:
        found = measure(options, directory)
    report.show(
        f"{found['queued']:,} queued for {found['domains']:,} domains, nothing may be sent",
        ["what", "measured", "at most"],
        [
            ["CPU of all processes, of a core", f"{found['cpu_share']:.2%}", f"{SHARE_MAX:.0%}"],
            ["resident memory, MiB", f"{found['resident_mib']:.0f}", ""],
            *(
                [f"slowest answer: {name}, ms", f"{took * 1e3:.0f}", f"{ANSWER_S_MAX * 1e3:.0f}"]
                for name, took in found["answers_s"].items()
            ),
        ],
    )
    met = found["cpu_share"] <= SHARE_MAX and max(found["answers_s"].values()) <= ANSWER_S_MAX
    print(f"at rest after {found['settled_s']:.0f} s; targets {'met' if met else 'NOT met'}")
    report.save("idle", found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
