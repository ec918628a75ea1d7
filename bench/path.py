"""Where the microseconds of a message go: the straight path, room by room.

The relay benchmark's load through one worker that samples itself: every millisecond of CPU time a
signal notes the innermost of our functions on the main thread's stack, so what the interpreter and
the kernel do on its behalf is in it. A sample that comes in between two callbacks is the event
loop's own. The other threads' time is that of writing and syncing the queue.

With ``--suppressed`` the suppression list holds so many addresses, none of which is written to.

    python -m bench.path [--count N] [--dkim] [--suppressed N] [--json FILE]
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import pathlib
import signal
import sys
from collections.abc import Mapping, Sequence
from unittest import mock

from bench import keys, report
from bench.harness import Failed, NotThere, free_port, scratch, wait_until
from bench.relay import SINK_HOST, WARM_UP, _through
from bench.servers import Penstock
from bench.sink import Sink
from bench.suppression import fill
from bench.usage import tree

LOOP = "event loop: polling and reading sockets"
DISK = "committing thread: write and sync"
EVENT_LOG = "event log: making and writing lines"
# The first that is found in "function (file" of a frame, from the innermost frame outwards.
ROOMS = (
    ("_write (penstock/intake/connection", "replies to clients: write()"),
    ("_release (penstock/relay/connection", "content to next hops: writev()"),
    ("(penstock_queue/direct", "commit: groups to the kernel"),
    ("(penstock_queue/", "queue: records, index, settlements"),
    ("(penstock/relay/spool", "queue: records, index, settlements"),
    ("(penstock/smtp/content", "content checks: line ends, line lengths, dots"),
    ("(penstock/smtp/data", "content checks: line ends, line lengths, dots"),
    ("(penstock/relay/content", "content checks: line ends, line lengths, dots"),
    ("(penstock/mail/dkim", "DKIM"),
    ("(penstock/mail/canonical", "DKIM"),
    ("(penstock/mail/record", "queue: records, index, settlements"),
    ("(penstock/mail/", "header: scan and trace fields"),
    ("(penstock/suppression/", "suppression list"),
    ("(penstock/intake/sifting", "suppression list"),
    ("(penstock/relay/screening", "suppression list"),
    ("(penstock/intake/accept", "header: scan and trace fields"),
    ("(penstock/smtp/client_reply", "relay: conversation with next hops"),
    ("(penstock/smtp/", "intake: commands and replies"),
    ("(penstock/intake/", "intake: commands and replies"),
    ("(penstock/worker/sink", "intake: commands and replies"),
    *((f"(penstock/events/{name}", EVENT_LOG) for name in ("journal", "making", "stamps", "store")),
    ("(penstock/worker/journals", EVENT_LOG),
    ("(penstock/events/", "attempt log and metrics"),
    ("(penstock/relay/telemetry", "attempt log and metrics"),
    ("(penstock/worker/observe", "attempt log and metrics"),
    ("(penstock/relay/settle", "settling outcomes"),
    ("(penstock/schedule/", "schedule: which message next"),
    ("(penstock/relay/dispatch", "schedule: which message next"),
    ("(penstock/relay/stage", "schedule: which message next"),
    ("(penstock/relay/feed", "schedule: which message next"),
    ("(penstock/limits/", "schedule: which message next"),
    ("(penstock/relay/", "relay: conversation with next hops"),
)


# Found by every Python that is started with its folder on PYTHONPATH; only a worker samples itself.
SAMPLER = """
import atexit, collections, json, os, signal, sys, time

def start():
    counts, last = collections.Counter(), [time.thread_time_ns()]

    def sample(number, frame):
        now = time.thread_time_ns()
        spent, last[0] = now - last[0], now
        if frame.f_lasti <= 2 and frame.f_back is not None:
            frame = frame.f_back  # signals are looked at where a function begins: it was its caller
        names = []
        while frame is not None and len(names) < 12:
            names.append(f"{frame.f_code.co_name} ({frame.f_code.co_filename}")
            frame = frame.f_back
        counts[";".join(names)] += spent

    def dump():
        signal.setitimer(signal.ITIMER_PROF, 0)
        with open(os.environ["PATH_SAMPLES"] + f".{os.getpid()}", "w") as file:
            json.dump(counts, file)

    signal.signal(signal.SIGPROF, sample)
    signal.siginterrupt(signal.SIGPROF, False)
    atexit.register(dump)
    signal.signal(signal.SIGRTMIN, lambda number, frame: (
        counts.clear(), last.__setitem__(0, time.thread_time_ns()),
        signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)))

if "penstock.worker" in sys.orig_argv:
    start()
"""


def room(stack: str) -> str:
    """Where a sample belongs; ``stack``: frames from the innermost, parted by ``;``."""
    for frame in stack.split(";"):
        for mark, name in ROOMS:
            name_, _, file = mark.partition("(")
            if file in frame and frame.startswith(name_.strip()):
                return name
    return LOOP


def thread_us(pid: int) -> tuple[float, float]:
    """CPU microseconds of the main thread, and of all others."""
    main = others = 0.0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        spent = int((task / "schedstat").read_text().split()[0]) / 1e3
        if task.name == str(pid):
            main += spent
        else:
            others += spent
    return main, others


def measure(count: int, signed: bool, suppressed: int = 0) -> dict[str, float]:
    """CPU microseconds a message, by room."""
    with scratch() as directory:
        (directory / "sitecustomize.py").write_text(SAMPLER)
        samples = directory / "samples"
        path = f"{directory}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        fill(str(directory / "spool/suppression"), suppressed)
        key = directory / "rsa2048.pem"
        keys.make_rsa(key)
        address = (SINK_HOST, free_port(SINK_HOST))
        with Sink(directory, *address) as sink:
            server = Penstock(f"{address[0]}:{address[1]}", 1, key if signed else None)
            with mock.patch.dict(os.environ, PYTHONPATH=path, PATH_SAMPLES=str(samples)):
                roots = server.start(directory)
            try:
                _through(server, sink, WARM_UP, directory)
                worker = next(pid for pid in tree(roots) if _is_worker(pid))
                os.kill(worker, signal.SIGRTMIN)  # begin
                before = thread_us(worker)
                _through(server, sink, count, directory)
                after = thread_us(worker)
                server.finish()
            finally:
                server.stop()
        left = samples.with_name(f"samples.{worker}")
        wait_until(left.exists, 5, "the worker leaves its samples")
        rooms = by_room(json.loads(left.read_text()), (after[0] - before[0]) / count)
    rooms[DISK] = (after[1] - before[1]) / count
    return dict(sorted(rooms.items(), key=lambda item: -item[1]))


def by_room(samples: Mapping[str, int], main_us: float) -> dict[str, float]:
    """The main thread's ``main_us``, shared out as the samples say."""
    rooms: collections.Counter[str] = collections.Counter()
    for stack, spent in samples.items():
        rooms[room(stack)] += spent
    total = sum(rooms.values())
    if not total:
        raise Failed("no samples")
    return {name: main_us * spent / total for name, spent in rooms.items()}


def _is_worker(pid: int) -> bool:
    try:
        return b"penstock.worker" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.path")
    parser.add_argument("--count", type=int, default=8000, help="messages")
    parser.add_argument("--dkim", action="store_true", help="signed with RSA-2048")
    parser.add_argument("--suppressed", type=int, default=0, help="addresses on the list")
    parser.add_argument("--json", type=pathlib.Path, help="default: bench/out/path.json")
    options = parser.parse_args(arguments)
    try:
        rooms = measure(options.count, options.dkim, options.suppressed)
    except (Failed, NotThere) as error:
        print(f"bench.path: {error}", file=sys.stderr)
        return 1
    used_us = sum(rooms.values())
    rows = [(name, f"{us:.0f}", f"{100 * us / used_us:.0f} %") for name, us in rooms.items()]
    title = f"CPU of one worker: {used_us:.0f} microseconds a message of 10 KiB"
    report.show(title, ("", "us", "share"), rows)
    report.save("path", {"us": used_us, "rooms": rooms, "signed": options.dkim}, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
