"""The main job side by side with other mail servers: 10 KiB messages in, on disk, and out again.

``smtp-source -s 20`` -> server -> a counting sink, all on loopback, the spool on a real disk. The
servers take turns, each round with a fresh spool, and the medians of all rounds are compared; every
message must arrive, or there is no result. Every server runs in the configuration that is best for
it here: ours with so many workers as relay most, of those asked for, and without the event log,
since no other keeps one. ``--events`` adds ours as it comes, with event log, statistics and
suppression list.

Messages/s count from the start of the injection until the sink has the last. CPU is that of all
processes of the server, with helpers that ended and, for Postfix, its milter.

    python -m bench.relay [--peers postfix,haraka,...] [--rounds N] [--count N] [--dkim|--no-dkim]
                          [--workers N,...] [--events] [--compiled]
                          [--patience S] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bench import keys, report
from bench.compiled import copy as compiled_copy
from bench.harness import Failed, NotThere, free_port, program, scratch, wait_until
from bench.load import SENDER, Load
from bench.servers import PEERS, Penstock, Server, missing
from bench.sink import Sink
from bench.targets import compare_rates
from bench.usage import CpuGroup, Patience, PeakMemory, cpu_s, machine_busy_s, tree

OURS = "penstock"
COMPILED = f"{OURS}, compiled"
WITH_EVENTS = "with events"
NO_EVENTS = "[events]\nenabled = false"
SESSIONS = 20
SIZE = 10240
WARM_UP = 200
SINK_HOST = "127.0.0.2"
# what else may run on the machine, as a share of one CPU, before the result is doubted
FOREIGN_MAX = 0.25
TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One round. ``foreign``: CPUs kept busy by what is neither server nor harness; the kernel's
    own threads, which write the disk for all, are in it."""

    messages_per_s: float
    cpu_ms: float
    peak_mib: float
    foreign: float


def injector() -> str:
    """What :func:`inject` uses here."""
    try:
        return program("smtp-source")
    except NotThere:
        return "bench.load, which pipelines"


def inject(address: str, count: int, directory: pathlib.Path) -> None:
    """Send ``count`` messages by ``smtp-source`` where it is installed; else by our own injector,
    which pipelines: such results compare only among themselves."""
    host, _, port = address.rpartition(":")
    source = injector()
    if not source.startswith("/"):
        with Load(directory, host, int(port), sessions=SESSIONS, size=SIZE, count=count) as load:
            load.program.wait(TIMEOUT_S)
        return
    command = [source, "-d", "-s", str(SESSIONS), "-l", str(SIZE), "-m", str(count)]
    command += ["-M", "client.example", "-f", SENDER, "-t", "user@rcpt.example", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode:
        raise Failed(f"smtp-source failed: {done.stderr.strip()}")


def measure(server: Server, sink: Sink, count: int, signed: bool) -> Measured:
    """One round in a directory of its own. Raises :class:`Failed` if a message is missing."""
    with scratch() as directory:
        roots: list[int] = []
        group = CpuGroup("server")

        def cpu() -> float:
            return group.cpu_s() if group.usable else cpu_s(tree(roots))

        try:
            with group.entered():
                roots = server.start(directory)
            _through(server, sink, WARM_UP, directory)
            before = sink.read()
            cpu_before, busy, harness = cpu(), machine_busy_s(), _harness_s(sink)
            start = time.monotonic()
            with PeakMemory(roots, group=group) as memory:
                _through(server, sink, count, directory)
            elapsed = sink.read().last_ns / 1e9 - start
            wall = time.monotonic() - start
            used = cpu() - cpu_before
            foreign = (machine_busy_s() - busy - used - (_harness_s(sink) - harness)) / wall
        finally:
            try:
                server.stop()
            finally:
                group.close()
    after = sink.read()
    if after.messages - before.messages != count:
        raise Failed(f"{server.name}: {after.messages - before.messages} of {count} arrived")
    if signed and after.signed - before.signed != count:
        raise Failed(f"{server.name}: {after.signed - before.signed} of {count} were signed")
    return Measured(
        count / elapsed, used / count * 1e3, memory.peak_bytes / (1 << 20), max(0.0, foreign)
    )


def _harness_s(sink: Sink) -> float:
    """CPU of the sink, of this process and of the injectors it has waited for."""
    return cpu_s([sink.pid]) + sum(os.times()[:4])


def _through(server: Server, sink: Sink, count: int, directory: pathlib.Path) -> None:
    goal = sink.read().messages + count
    inject(server.address, count, directory)
    wait_until(
        lambda: sink.read().messages >= goal,
        TIMEOUT_S,
        f"{server.name}: all {count} messages arrive ({sink.read().messages - goal + count} have)",
        0.005,
    )


def compare(
    servers: Sequence[tuple[Server, int]],
    sink: Sink,
    rounds: int,
    signed: bool,
    patience: Patience,
) -> dict[str, list[Measured]]:
    """All rounds of all servers, taking turns. Each server comes with its count of messages."""
    found: dict[str, list[Measured]] = {server.name: [] for server, _ in servers}
    for _ in range(rounds):
        for server, count in servers:
            patience.wait()
            found[server.name].append(measure(server, sink, count, signed))
    return found


def median(rounds: Sequence[Measured]) -> Measured:
    """Each figure by itself."""
    columns = zip(*(asdict(one).values() for one in rounds), strict=True)
    return Measured(*(statistics.median(column) for column in columns))


def best_first(
    found: dict[str, list[Measured]],
) -> tuple[dict[str, str], dict[str, list[Measured]]]:
    """Of each kind of ours, the number of workers that relays most; and all of them, with those
    first, by the plain name of their kind."""
    best, first = {}, {}
    for kind in (OURS, COMPILED, WITH_EVENTS):
        ours = [name for name in found if name.startswith(f"{kind}, workers")]
        if ours:
            best[kind] = max(ours, key=lambda name: median(found[name]).messages_per_s)
            first[kind] = found[best[kind]]
    return best, first | {name: one for name, one in found.items() if name not in best.values()}


def print_table(title: str, found: dict[str, list[Measured]]) -> None:
    middle = {name: median(rounds) for name, rounds in found.items()}
    rows = []
    for name, one in middle.items():
        rates = [measured.messages_per_s for measured in found[name]]
        spread = f"{min(rates):,.0f}-{max(rates):,.0f}"
        rate = f"{one.messages_per_s:,.0f}"
        rows.append((name, rate, f"{one.cpu_ms:.3f}", f"{one.peak_mib:.0f}", spread))
    ours, *others = middle.values()
    for name, other in zip([*middle][1:], others, strict=True):
        rows.append(
            (
                f"we to {name}",
                f"{ours.messages_per_s / other.messages_per_s:.2f}x",
                f"{ours.cpu_ms / other.cpu_ms:.3f}x",
                f"{ours.peak_mib / other.peak_mib:.2f}x",
                "",
            )
        )
    report.show(title, ("", "messages/s", "CPU ms/message", "peak MiB", "range"), rows)
    busiest = max(r.foreign for rounds in found.values() for r in rounds)
    if busiest > FOREIGN_MAX:
        report.console().print(
            f"Doubtful: other work kept up to {busiest:.1f} CPUs busy meanwhile.", style="yellow"
        )


def line_up(
    options: argparse.Namespace,
    hop: str,
    key: pathlib.Path | None,
    absent: dict[str, str],
    compiled: pathlib.Path | None,
) -> list[tuple[Server, int]]:
    """We first, with every number of workers, then the peers that are here; each with its messages
    a round."""
    count = options.count // (2 if key else 1)
    kinds: list[tuple[str, str, pathlib.Path | None]] = [(OURS, NO_EVENTS, None)]
    if compiled:
        kinds.append((COMPILED, NO_EVENTS, compiled))
    if options.events:
        kinds.append((WITH_EVENTS, "", None))
    servers: list[tuple[Server, int]] = [
        (Penstock(hop, n, key, name=f"{kind}, workers: {n}", extra=extra, package=package), count)
        for kind, extra, package in kinds
        for n in options.workers
    ]
    for name in options.peers:
        if name not in absent:
            peer = PEERS[name]
            servers.append((peer.make(hop, key), max(1, int(count * peer.share))))
    return servers


def run(options: argparse.Namespace) -> dict[str, object]:
    """Every scenario asked for; returns what goes into the JSON."""
    results: dict[str, object] = {}
    verdicts: list[dict[str, object]] = []
    console = report.console()
    patience = Patience(options.patience, FOREIGN_MAX)
    with scratch() as directory:
        key = directory / "rsa2048.pem"
        keys.make_rsa(key)
        compiled = compiled_copy(directory / "compiled") if options.compiled else None
        address = (SINK_HOST, free_port(SINK_HOST))
        with Sink(directory, *address) as sink:
            hop = f"{SINK_HOST}:{address[1]}"
            for signed in (False, True) if options.dkim else (False,):
                absent = missing(options.peers, signed)
                for name, why in absent.items():
                    console.print(f"Without {name}: {why}.", style="yellow")
                servers = line_up(options, hop, key if signed else None, absent, compiled)
                best, found = best_first(compare(servers, sink, options.rounds, signed, patience))
                what = "DKIM RSA-2048" if signed else "plain"
                print_table(
                    f"Relay, {what}: {SIZE} bytes, {SESSIONS} sessions, durable, "
                    f"median of {options.rounds}, injected by {pathlib.Path(injector()).name}; "
                    f"we: {', '.join(best.values())}",
                    found,
                )
                middle = {name: asdict(median(rounds)) for name, rounds in found.items()}
                peers = [n for n in middle if not n.startswith((OURS, WITH_EVENTS))]
                for kind in (OURS, COMPILED)[: 1 + bool(compiled)]:
                    rates = {n: middle[n] for n in (kind, *peers)}
                    for verdict in compare_rates(rates, signed, kind.removeprefix(OURS)):
                        console.print(str(verdict), style="green" if verdict.met else "red")
                        verdicts.append(asdict(verdict))
                results[what] = {
                    "ours": best[OURS],
                    "missing": absent,
                    "median": middle,
                    "rounds": {name: [asdict(r) for r in rounds] for name, rounds in found.items()},
                }
    return {"results": results, "verdicts": verdicts}


def _numbers(text: str) -> list[int]:
    numbers = [int(number) for number in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError("at least 1 worker")
    return numbers


def _peers(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    unknown = sorted(set(names) - set(PEERS))
    if unknown:
        raise argparse.ArgumentTypeError(f"no peer {unknown[0]!r}; there are {', '.join(PEERS)}")
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.relay")
    parser.add_argument("--peers", type=_peers, default=list(PEERS), help=",".join(PEERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--count", type=int, default=8000, help="our messages a round; signed, half; peers, a part"
    )
    parser.add_argument(
        "--patience", type=float, default=0.0, help="seconds to wait, in all, for a quiet machine"
    )
    parser.add_argument("--dkim", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--workers", type=_numbers, default=[1, 2], help="one or several: 1,2")
    parser.add_argument("--events", action="store_true", help="ours with its event log as well")
    parser.add_argument(
        "--compiled", action="store_true", help="ours as `make native` makes it as well"
    )
    parser.add_argument("--json", type=pathlib.Path, help="default: bench/out/relay.json")
    options = parser.parse_args(arguments)
    try:
        result = run(options)
    except (Failed, NotThere) as error:
        print(f"bench.relay: {error}", file=sys.stderr)
        return 1
    about = {"rounds": options.rounds, "workers": options.workers, "size": SIZE}
    path = report.save("relay", {**about, **result}, options.json)
    report.console().print(f"Figures of all rounds: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
