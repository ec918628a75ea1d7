"""An operator gives up a million messages of one tenant, while mail of others goes on.

The real daemon with one worker, behind a route of 50 messages a second to a counting sink. Queued
are a million messages of tenant ``a``, all due, and some of tenant ``b``; a probe of another tenant
comes ten times a second. Then ``a`` is bounced by selector. Measured are when the last message of
``a`` arrives at the sink after the order, what memory all processes of the daemon take beyond what
they had, until all is gone, and how long probes take from their first command to the sink, before
the order and after it. Suspending and listing by selector are timed with all of it queued.

    python -m bench.bounce [--full] [--count N] [--json FILE]
"""

from __future__ import annotations

import argparse
import pathlib
import smtplib
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from bench import report
from bench.daemon import Daemon
from bench.fill import Kind, fill
from bench.harness import Failed, Lines, NotThere, free_port, scratch, wait_until
from bench.sink import Sink
from bench.targets import Verdict
from bench.usage import resident_bytes

MIB = 1 << 20
SINK_HOST = "127.0.0.2"
SIZE = 2048
DOMAINS = 1000
OTHERS = 20_000
RATE = "50/s"
PROBE_S = 0.1
BEFORE_S = 15.0
READY_S_MAX = 300.0
GONE_S_MAX = 900.0
LAST_S_MAX, MEMORY_MIB_MAX, SUSPEND_S_MAX = 2.0, 50.0, 0.2


class Probes:
    """Transactional mail of another tenant, one message each ``PROBE_S``, on a connection each."""

    def __init__(self, port: int) -> None:
        self._port, self._over = port, threading.Event()
        self.begun_ns: dict[str, int] = {}
        self.taken_ns: dict[str, int] = {}
        self.failed: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Probes:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        due, number = time.monotonic(), 0
        while not self._over.is_set():
            number += 1
            due += PROBE_S
            self._send(f"probe-{number}", time.monotonic_ns())
            self._over.wait(max(0.0, due - time.monotonic()))

    def _send(self, name: str, now_ns: int) -> None:
        text = (
            f"From: <p@src.example>\r\nMessage-ID: <{name}>\r\nX-Penstock-Tenant: probe\r\n"
            "X-Penstock-Class: transactional\r\nSubject: probe\r\n\r\nprobe\r\n"
        )
        try:
            with smtplib.SMTP("127.0.0.1", self._port, timeout=60) as client:
                client.sendmail("p@src.example", ["u@live.example"], text)
                self.taken_ns[name] = time.monotonic_ns()
            self.begun_ns[name] = now_ns
        except (OSError, smtplib.SMTPException) as error:
            self.failed.append(f"{name}: {error}")


class Memory:
    """The most that all processes have held, above what they had at the beginning."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon, self._over = daemon, threading.Event()
        self.first = self.peak = self.last = resident_bytes(daemon.pids)
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(0.2):
            self.last = resident_bytes(self._daemon.pids)
            self.peak = max(self.peak, self.last)


def measure(stack: ExitStack, directory: pathlib.Path, count: int) -> dict[str, Any]:
    port = free_port(SINK_HOST)
    stack.enter_context(Sink(directory, SINK_HOST, port, record=True))
    daemon = Daemon(
        directory,
        f"{SINK_HOST}:{port}",
        workers=1,
        route=f'message_rate = "{RATE}"',
        top="[log]\nattempts = true\n",
    )
    stack.callback(daemon.end)
    for tenant, number in (("a", count), ("b", OTHERS)):
        kind = Kind(tenant, name=f"backlog-{tenant}")
        fill(daemon.spool, number, shards=1, size=SIZE, domains=DOMAINS, due_s=0, kind=kind)
    daemon.start(READY_S_MAX)
    record = Lines(directory / "delivered.txt")
    wait_until(lambda: len(record.read()) >= 100, 120, "mail flows")
    with Probes(daemon.port) as probes:
        time.sleep(BEFORE_S)
        asking = _asking(daemon, count)
        with Memory(daemon) as memory:
            began_ns = time.monotonic_ns()
            told = daemon.control("queue.bounce", selector={"tenant": "a"}, reason="by mistake")
            told_s = (time.monotonic_ns() - began_ns) / 1e9
            wait_until(lambda: _over(daemon), GONE_S_MAX, "the bounce is carried out", 0.5)
            gone_s = (time.monotonic_ns() - began_ns) / 1e9
            time.sleep(3)
        ended_ns = time.monotonic_ns()
    if probes.failed:
        raise Failed(f"probes failed: {probes.failed[:3]}")
    if not count - 10_000 <= told["messages"] <= count:
        raise Failed(f"the order named {told['messages']} messages")
    came, late = _came(record), _late(record, began_ns)
    return {
        "messages": told["messages"],
        "told_s": told_s,
        "last_s": late,
        "gone_s": gone_s,
        "memory_mib": (memory.peak - memory.first) / MIB,
        "memory_after_mib": (memory.last - memory.first) / MIB,
        "resident_mib": memory.first / MIB,
        "taken_before": _latency(probes.begun_ns, probes.taken_ns, 0, began_ns),
        "taken_during": _latency(probes.begun_ns, probes.taken_ns, began_ns, ended_ns),
        "probe_before": _latency(probes.begun_ns, came, 0, began_ns),
        "probe_during": _latency(probes.begun_ns, came, began_ns, ended_ns),
        "log_dropped": daemon.metric("penstock_log_dropped_total"),
        **asking,
    }


def _asking(daemon: Daemon, count: int) -> dict[str, float]:
    """How long suspending, resuming and listing by selector take, the median of some."""

    def times(call: Callable[[], Any]) -> float:
        found = []
        for _ in range(5):
            start = time.monotonic()
            call()
            found.append(time.monotonic() - start)
        return max(found)

    def suspend(tenant: str) -> None:
        daemon.control("queue.suspend", selector={"tenant": tenant})

    def resume(tenant: str) -> None:
        daemon.control("queue.resume", selector={"tenant": tenant})

    found = {
        "suspend_s": times(lambda: suspend("a")),
        "resume_s": times(lambda: resume("a") or suspend("a")),
        "list_s": times(lambda: daemon.control("queue.list", selector={"tenant": "a"}, limit=50)),
        "list_all_s": times(lambda: daemon.control("queue.list", limit=50)),
    }
    resume("a")
    return found


def _over(daemon: Daemon) -> bool:
    return not daemon.control("queue.operations")["operations"]


def _came(record: Lines) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in record.read():
        name, at, _ = line.split(" ")
        found.setdefault(name, int(at))
    return found


def _late(record: Lines, began_ns: int) -> float:
    """Seconds from the order to the last arrival of what it names; 0 where none came after it."""
    rows = (line.split(" ") for line in record.read())
    return max(
        0.0,
        max((int(at) - began_ns) / 1e9 for name, at, _ in rows if name.startswith("backlog-a@")),
    )


def _latency(
    begun: dict[str, int], came: dict[str, int], start_ns: int, end_ns: int
) -> dict[str, float]:
    """Of probes that began in that time; one that did not come counts as having taken until its
    end."""
    found = sorted(
        (came.get(name, end_ns) - at) / 1e6 for name, at in begun.items() if start_ns <= at < end_ns
    )
    if not found:
        raise Failed("no probe was sent")
    return {
        "probes": len(found),
        "p50_ms": found[len(found) // 2],
        "p99_ms": found[min(len(found) - 1, len(found) * 99 // 100)],
        "max_ms": found[-1],
    }


def _show(found: dict[str, Any]) -> list[Verdict]:
    report.show(
        f"{found['messages']:,} messages of {SIZE} bytes bounced by tenant, 1 worker",
        ("", "figure"),
        [
            ("the order is answered", f"{found['told_s']:.2f} s"),
            ("last attempt of what it names", f"{found['last_s']:.2f} s"),
            ("all are given up", f"{found['gone_s']:.0f} s"),
            ("resident before", f"{found['resident_mib']:.0f} MiB"),
            ("rise at most", f"{found['memory_mib']:.0f} MiB"),
            ("rise at the end", f"{found['memory_after_mib']:.0f} MiB"),
            *(
                (f"{what} {when}, {name}", f"{found[f'{key}_{when}'][f'{name}_ms']:.0f} ms")
                for key, what in (("taken", "probe accepted"), ("probe", "probe at the sink"))
                for when in ("before", "during")
                for name in ("p50", "p99", "max")
            ),
            ("suspend by tenant, slowest of 5", f"{found['suspend_s'] * 1e3:.0f} ms"),
            ("resume and suspend, slowest of 5", f"{found['resume_s'] * 1e3:.0f} ms"),
            ("list 50 of a tenant, slowest of 5", f"{found['list_s'] * 1e3:.0f} ms"),
            ("list 50 of all, slowest of 5", f"{found['list_all_s'] * 1e3:.0f} ms"),
            ("lines of the log dropped", f"{found['log_dropped']:.0f}"),
        ],
    )
    last_s, memory, suspend_s = found["last_s"], found["memory_mib"], found["suspend_s"]
    return [
        Verdict(f"none attempted {last_s:.2f} s after", f"{LAST_S_MAX:g} s", last_s <= LAST_S_MAX),
        Verdict(f"{memory:.0f} MiB more", f"{MEMORY_MIB_MAX:g} MiB", memory <= MEMORY_MIB_MAX),
        Verdict(
            f"suspended within {suspend_s * 1e3:.0f} ms",
            f"{SUSPEND_S_MAX * 1e3:g} ms",
            suspend_s <= SUSPEND_S_MAX,
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.bounce")
    parser.add_argument("--full", action="store_true", help="a million messages, not 50,000")
    parser.add_argument("--count", type=int)
    parser.add_argument("--json", type=pathlib.Path, help="default: bench/out/bounce.json")
    given = parser.parse_args(arguments)
    count = given.count or (1_000_000 if given.full else 50_000)
    try:
        with scratch() as directory, ExitStack() as stack:
            result = measure(stack, directory, count)
    except (Failed, NotThere) as error:
        print(f"bench.bounce: {error}", file=sys.stderr)
        return 1
    verdicts = _show(result)
    for verdict in verdicts:
        report.console().print(str(verdict))
    path = report.save("bounce", {"count": count, "size": SIZE, **result}, given.json)
    report.console().print(f"Figures: {path}")
    return 0 if all(verdict.met for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
