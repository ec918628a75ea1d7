"""A penstock daemon of one's own: on free ports, in a directory that goes away.

It is the real command with a real config file; what a test or a benchmark wants different it says
in TOML.
"""

from __future__ import annotations

import json
import pathlib
import re
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from bench.harness import ROOT, Failed, Program, free_port, wait_until
from bench.usage import tree
from penstock.control import call_once

READY_S = 30.0
_FIGURE = re.compile(r"\b(entries|in_flight)=(\d+)")
_NAMED = re.compile(r"""\bmaybe_doubled="?\[([^\]]*)\]""")


def python() -> str:
    """The interpreter that runs this, if it is one of an environment; else the checkout's own."""
    inside = ROOT / ".venv/bin/python"
    if sys.prefix != sys.base_prefix or not inside.exists():
        return sys.executable
    return str(inside)


def _route_for_all(next_hop: str, more: str) -> str:
    if not next_hop:
        return ""
    return f'[[route]]\ndomains = ["*"]\nnext_hop = "{next_hop}"\n{more}\n'


class Daemon:
    """``smtp``: more lines of ``[[smtp]]``; ``extra``: more tables, such as ``[[dkim]]``; ``top``:
    more keys before the tables; ``relay_from``: who may relay;
    ``routes``: tables before the route for all. ``next_hop`` is ``host:port``; ``""``: by MX.
    ``package``: the folder to import the engine from, where it is not the installed one."""

    def __init__(
        self,
        directory: pathlib.Path,
        next_hop: str,
        *,
        workers: int = 2,
        relay_from: Sequence[str] = ("127.0.0.0/8",),
        policies: pathlib.Path = ROOT / "policies",
        spool: pathlib.Path | None = None,
        smtp: str = "",
        routes: str = "",
        route: str = "",
        top: str = "",
        extra: str = "",
        package: pathlib.Path | None = None,
    ) -> None:
        self.directory = directory
        self._environ = {"PYTHONPATH": str(package)} if package else {}
        self.spool = spool or directory / "spool"
        self.port, self.http_port = free_port(), free_port()
        self.workers = workers
        self.log = directory / "penstock.log"
        self.config = directory / "config.toml"
        self._text = (
            'hostname = "mta.example"\n'
            f'spool = "{self.spool}"\n'
            f'policies = "{policies}"\n'
            "workers = %WORKERS%\n"
            'delivery = "live"\n'
            f"{top}\n"
            "[[smtp]]\n"
            f'listen = "127.0.0.1:{self.port}"\n'
            f"relay_from = {json.dumps(list(relay_from))}\n"
            f"{smtp}\n"
            "[http]\n"
            f'listen = "127.0.0.1:{self.http_port}"\n'
            f"{routes}\n"
            f"{_route_for_all(next_hop, route)}"
            f"{extra}\n"
        )
        self.program: Program | None = None
        self._supervisor = 0  # where it is not the program that we started

    def start(self, ready_s: float = READY_S) -> float:
        """Start and wait until it takes mail; the seconds that took. Raises :class:`Failed`."""
        return self.spawn().wait_for(self.ready, ready_s, "GET /readyz answers 200")

    def spawn(self) -> Program:
        """Start, and wait for nothing."""
        self._supervisor = 0
        self.config.write_text(self._text.replace("%WORKERS%", str(self.workers)))
        command = [python(), "-m", "penstock", "run", "--config", str(self.config)]
        self.program = Program("penstock", command, self.log, self._environ)
        return self.program

    def stop(self, timeout_s: float = 60.0) -> int:
        """SIGTERM; the exit code."""
        return self._running().stop(timeout_s)

    def kill(self) -> None:
        """SIGKILL for the supervisor and all workers."""
        self._running().kill()

    def kill_supervisor(self) -> None:
        """SIGKILL for the supervisor alone; its workers end by themselves."""
        program = self._running()
        program.signal(signal.SIGKILL)
        program.wait(10)

    def end(self) -> None:
        """For cleaning up: whatever still runs is killed."""
        if self.program is not None and self.program.running:
            self.program.kill()

    def __enter__(self) -> Daemon:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def adopt(self, pid: int) -> None:
        """The daemon is another process now, by an upgrade."""
        self._supervisor = pid

    @property
    def pids(self) -> list[int]:
        """The supervisor first, then its descendants."""
        return tree([self._supervisor or self._running().pid])

    def worker_pids(self) -> list[int]:
        found = []
        for pid in self.pids[1:]:
            try:
                command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"penstock.worker" in command:
                found.append(pid)
        return sorted(found)

    # asking it

    def ready(self) -> bool:
        return self._get("/readyz") is not None

    def metric(self, name: str, labels: Mapping[str, str] | None = None) -> float:
        """The sum over all series of this name that have ``labels``; 0 where there is none.

        Raises :class:`Failed` when the daemon does not answer.
        """
        page = self._get("/metrics")
        if page is None:
            raise Failed("GET /metrics got no answer")
        wanted = [f'{key}="{value}"' for key, value in (labels or {}).items()]
        total = 0.0
        for line in page.splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and all(one in series for one in wanted):
                total += float(value)
        return total

    def queued(self) -> int:
        """Recipients in the queue, over all workers."""
        return int(self.metric("penstock_queue_entries"))

    def drain(self, timeout_s: float) -> float:
        """Wait until all workers serve and nothing is queued; the seconds it took."""

        def empty() -> bool:
            return self.ready() and self.queued() == 0

        return wait_until(empty, timeout_s, "the queue is empty", 0.1)

    def control(self, method: str, **params: Any) -> Any:
        """Ask what ``penstock queue`` asks; raises ``ControlError``, ``OSError``."""
        return call_once(str(self.spool / "control.sock"), method, params, 120.0)

    def recoveries(self) -> list[dict[str, int]]:
        """What each start of a worker found, by the log: ``entries`` and ``in_flight``."""
        found = []
        for line in self.log_text().splitlines():
            if "worker recovered" in line:
                fields = dict(_FIGURE.findall(line))
                found.append({name: int(fields[name]) for name in ("entries", "in_flight")})
        return found

    def maybe_doubled(self) -> set[str]:
        """The ids that the starts of workers named as perhaps delivered twice."""
        found: set[str] = set()
        for names in _NAMED.findall(self.log_text()):
            found.update(name.strip("' \"") for name in names.split(",") if name)
        return found

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_tail(self, lines: int = 30) -> str:
        """The last of what is not a line for an attempt."""
        kept = [one for one in self.log_text().splitlines() if "event=attempt" not in one]
        return "\n".join(kept[-lines:])

    def _get(self, path: str) -> str | None:
        """The body of a 200; anything else is ``None``."""
        try:
            url = f"http://127.0.0.1:{self.http_port}{path}"
            with urllib.request.urlopen(url, timeout=10) as answer:
                text: str = answer.read().decode()
                return text
        except (urllib.error.URLError, OSError):
            return None

    def _running(self) -> Program:
        if self.program is None:
            raise Failed("the daemon was not started")
        return self.program
