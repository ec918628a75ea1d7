"""What TLS costs on the way out, and what resuming sessions saves.

First one handshake by itself, full and resumed: our CPU alone (:mod:`bench.handshake`). Then the
relay benchmark with a next hop that offers STARTTLS (RSA-2048 and its issuer, TLS 1.3): one message
a connection, the worst case, and a hundred; sessions kept, and not; and a hundred in the clear, to
the same next hop. They take turns; medians. CPU is ours alone; the rate is that of the whole
machine, next hop included, which decrypts. At full speed the next hop's work on the same cores
makes for smaller commits with TLS, which costs us CPU, too; so the last comparison is at equal
load.

    python -m bench.tls [--rounds N] [--count N] [--workers N] [--handshakes N] [--json FILE]
"""

from __future__ import annotations

import argparse
import pathlib
import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict

from bench import handshake, keys, report
from bench.daemon import ROOT
from bench.harness import Failed, free_port, scratch
from bench.latency import measure_cpu_ms
from bench.relay import SINK_HOST, Measured, measure, median
from bench.servers import Penstock
from bench.sink import Sink

PER_CONNECTION = (1, 100)
ONCE_PART = 5  # of the messages, where each has a connection of its own
RESUMED_SHARE_MAX = 0.40
DEARER_MAX = 0.15
EQUAL_PER_S = 2000.0
EQUAL_SESSIONS = 20
_NO_SESSIONS = "[relay]\ntls_sessions_max = 0"
PLAIN = "100 a connection, in the clear"
REUSED = "100 a connection, sessions kept"


def _server(hop: str, workers: int, each: int, resume: bool) -> Penstock:
    how = "sessions kept" if resume else "full handshakes"
    return Penstock(
        hop,
        workers,
        None,
        name=f"{each} a connection, {how}",
        route=f"messages_per_connection = {each}",
        extra="" if resume else _NO_SESSIONS,
    )


def _plain(hop: str, workers: int, directory: pathlib.Path) -> Penstock:
    """The same with the policy that nothing is encrypted."""
    policies = directory / "policies"
    shutil.copytree(ROOT / "policies", policies)
    file = policies / "default.toml"
    file.write_text(file.read_text().replace('tls = "opportunistic"', 'tls = "none"', 1))
    route = "messages_per_connection = 100"
    return Penstock(hop, workers, None, name=PLAIN, route=route, policies=policies)


def run(options: argparse.Namespace) -> dict[str, object]:
    rounds: dict[str, list[Measured]] = {}
    handshakes: dict[str, list[int]] = {}
    with scratch() as directory:
        costs = handshake.measure(directory, options.handshakes)
        certificate, key = directory / "sink.crt", directory / "sink.key"
        keys.make_chain(certificate, key, "sink.example")
        port = free_port(SINK_HOST)
        hop = f"{SINK_HOST}:{port}"
        servers = [
            _server(hop, options.workers, each, resume)
            for each in PER_CONNECTION
            for resume in (False, True)
        ]
        once = {server.name for server in servers[:2]}
        servers.append(_plain(hop, options.workers, directory))
        with Sink(directory, SINK_HOST, port, tls=(certificate, key)) as sink:
            for _ in range(options.rounds):
                for server in servers:
                    before = sink.read()
                    count = options.count // (ONCE_PART if server.name in once else 1)
                    measured = measure(server, sink, count, signed=False)
                    after = sink.read()
                    rounds.setdefault(server.name, []).append(measured)
                    full, resumed = handshakes.setdefault(server.name, [0, 0])
                    resumed_now = after.resumed - before.resumed
                    full_now = after.handshakes - before.handshakes - resumed_now
                    handshakes[server.name] = [full + full_now, resumed + resumed_now]
        equal = _at_equal_load(options, directory, (certificate, key))
    shown = _show(rounds, handshakes, options.rounds)
    return {**shown, **_acceptance(costs, rounds, equal)}


def _at_equal_load(
    options: argparse.Namespace, directory: pathlib.Path, tls: tuple[pathlib.Path, pathlib.Path]
) -> dict[str, list[float]]:
    """CPU milliseconds a message, sessions kept and in the clear, by a timetable."""
    found: dict[str, list[float]] = {}
    for number in range(2 * options.rounds):
        with scratch() as home:
            port = free_port(SINK_HOST)
            hop = f"{SINK_HOST}:{port}"
            server = (
                _plain(hop, options.workers, home)
                if number % 2
                else _server(hop, options.workers, PER_CONNECTION[-1], True)
            )
            (home / "server").mkdir()
            with Sink(home, SINK_HOST, port, record=True, tls=tls) as sink:
                try:
                    roots = server.start(home / "server")
                    cost = measure_cpu_ms(
                        home,
                        sink,
                        server,
                        roots,
                        rate=EQUAL_PER_S,
                        seconds=options.count / EQUAL_PER_S / 2,
                        sessions=EQUAL_SESSIONS,
                    )
                finally:
                    server.stop()
            found.setdefault(server.name, []).append(cost)
    return found


def _show(
    rounds: dict[str, list[Measured]], handshakes: dict[str, list[int]], count: int
) -> dict[str, object]:
    rows, results = [], {}
    for name, measured in rounds.items():
        middle = median(measured)
        full, resumed = handshakes[name]
        if bool(full) == (name == PLAIN):
            raise Failed(f"{name}: {full} handshakes")
        rows.append(
            (
                name,
                f"{middle.messages_per_s:,.0f}",
                f"{middle.cpu_ms:.3f}",
                f"{full:,}",
                f"{resumed:,}",
            )
        )
        results[name] = {
            **asdict(middle),
            "handshakes_full": full,
            "handshakes_resumed": resumed,
            "rounds": [asdict(one) for one in measured],
        }
    title = f"STARTTLS to the next hop, 10 KiB, median of {count}; handshakes of all rounds"
    report.show(title, ("", "messages/s", "CPU ms/message", "full", "resumed"), rows)
    return {"rounds": count, "results": results}


def _acceptance(
    costs: Sequence[handshake.Cost],
    rounds: dict[str, list[Measured]],
    equal: dict[str, list[float]],
) -> dict[str, object]:
    """What is asked for, and what was found."""
    rows = [
        (
            f"resumed of full, {one.what}: {one.resumed_us:.0f} of {one.full_us:.0f} us CPU",
            f"{one.share:.0%}",
            f"{RESUMED_SHARE_MAX:.0%}",
            _verdict(one.share, RESUMED_SHARE_MAX),
        )
        for one in costs
    ]
    plain, secured = median(rounds[PLAIN]), median(rounds[REUSED])
    dearer = secured.cpu_ms / plain.cpu_ms - 1
    slower = plain.messages_per_s / secured.messages_per_s - 1
    at_equal = statistics.median(equal[REUSED]) / statistics.median(equal[PLAIN]) - 1
    for what, value in (
        ("CPU a message than in the clear", dearer),
        ("time a message than in the clear", slower),
        (f"CPU a message, both at {EQUAL_PER_S:,.0f}/s", at_equal),
    ):
        rows.append((f"more {what}", f"{value:.0%}", f"{DEARER_MAX:.0%}", _verdict(value)))
    report.show("Acceptance", ("", "found", "at most", ""), rows)
    return {
        "handshakes": [{**asdict(one), "share": one.share} for one in costs],
        "cpu_more": dearer,
        "time_more": slower,
        "cpu_more_at_equal_load": at_equal,
    }


def _verdict(found: float, most: float = DEARER_MAX) -> str:
    return "ok" if found <= most else "SHORT OF IT"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.tls")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=6000, help="messages a round")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--handshakes", type=int, default=300, help="of each kind")
    parser.add_argument("--json", type=pathlib.Path, help="default: bench/out/tls.json")
    options = parser.parse_args(arguments)
    try:
        result = run(options)
    except Failed as error:
        print(f"bench.tls: {error}", file=sys.stderr)
        return 1
    path = report.save("tls", {"workers": options.workers, **result}, options.json)
    report.console().print(f"Figures: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
