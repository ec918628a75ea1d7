"""What every benchmark and every test with real processes needs: ports, patience, child programs.

Nothing here sleeps for a fixed time: whoever waits names a condition, a deadline and what is waited
for, so a failure says what did not happen.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import itertools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.usage import alive, identify, session, tree

ROOT = pathlib.Path(__file__).resolve().parents[1]
POLL_S = 0.02
SBIN = "/usr/sbin"
# Linux gives clients ports from 32768 on, others from 49152.
FIRST_PORT, LAST_PORT, PORTS_EACH = 10000, 30000, 1000


class NotThere(Exception):
    """Something that a benchmark needs is missing on this machine; the message says what."""


class Failed(Exception):
    """A program did not do what was waited for; the message says what, and shows its last log."""


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody uses now, nor will before this process has asked for many more.

    The kernel's own choice (port 0) would not do: until the program that it is for listens there,
    and each time that it is restarted, any client's connection can be given the same one.
    """
    for port in itertools.islice(_ports(), PORTS_EACH):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            return port
    raise NotThere(f"no free port on {host} from {FIRST_PORT} to {LAST_PORT}")


@functools.cache
def _ports() -> Iterator[int]:
    """This process's share of the ports below those that clients are given, over and over."""
    for first in range(FIRST_PORT, LAST_PORT, PORTS_EACH):
        name = f"penstock-ports-{os.getuid()}-{first}"
        lock = os.open(os.path.join(tempfile.gettempdir(), name), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held until the process ends
        except BlockingIOError:
            os.close(lock)
            continue
        return itertools.cycle(range(first, first + PORTS_EACH))
    raise NotThere("all shares of the ports are taken by processes that run now")


def wait_until(
    condition: Callable[[], bool], timeout_s: float, what: str, poll_s: float = POLL_S
) -> float:
    """Poll until ``condition`` holds; the seconds it took. Raises :class:`Failed`."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > timeout_s:
            raise Failed(f"after {timeout_s:g} s still not: {what}")
        time.sleep(poll_s)
    return time.monotonic() - start


def greets(host: str, port: int) -> bool:
    """Whether an SMTP server says 220 there."""
    try:
        with socket.create_connection((host, port), 2.0) as connection:
            ready = connection.recv(512).startswith(b"220")
            connection.sendall(b"QUIT\r\n")
            connection.recv(512)
            return ready
    except OSError:
        return False


def program(name: str) -> str:
    """The path of an installed program; raises :class:`NotThere`."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SBIN}")
    if found is None:
        raise NotThere(f"{name} is not installed")
    return found


@contextlib.contextmanager
def scratch(prefix: str = "penstock-bench-") -> Iterator[pathlib.Path]:
    """A directory on the real disk that other users may enter (Postfix drops its rights); removed
    at the end. ``PENSTOCK_BENCH_DIR`` says where; a memory file system would be no fair disk."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=scratch_base()))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def scratch_base() -> str:
    """Where :func:`scratch` makes its directories."""
    return os.environ.get("PENSTOCK_BENCH_DIR") or _disk_directory()


def _disk_directory() -> str:
    """The first temporary directory that is not in memory."""
    memory = set()
    with open("/proc/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            _, point, kind, *_ = line.split()
            if kind in ("tmpfs", "ramfs"):
                memory.add(point)
    for directory in (tempfile.gettempdir(), "/var/tmp"):
        if directory not in memory:
            return directory
    return str(ROOT / "bench")


class Program:
    """A child program in a session of its own, started in the checkout, its output in ``log``."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: pathlib.Path,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.log = name, log
        with open(log, "ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environ or {})},
                cwd=ROOT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float, what: str) -> float:
        """Like :func:`wait_until`, but fails at once when the program ends, and shows its log."""

        def settled() -> bool:
            return condition() or not self.running

        try:
            seconds = wait_until(settled, timeout_s, what)
        except Failed as error:
            raise Failed(f"{self.name}: {error}\n{self.tail()}") from None
        if not self.running and not condition():
            raise Failed(f"{self.name} ended with {self.exit_code}, not: {what}\n{self.tail()}")
        return seconds

    def tail(self, lines: int = 15) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, timeout_s: float) -> int:
        """The exit code; raises :class:`Failed` when it does not end in time."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} still runs after {timeout_s:g} s\n{self.tail()}") from None

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM, and SIGKILL for the whole tree when that was not enough."""
        if not self.running:
            return self._process.returncode
        family = identify(tree([self.pid]))
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{self.name} ignored SIGTERM for {timeout_s:g} s") from None
        with contextlib.suppress(Failed):
            wait_until(lambda: not alive(family), 5, "children gone")
        self._bury(family)
        return self._process.returncode

    def kill(self) -> None:
        """SIGKILL for the whole tree, the root first so that nothing is started again."""
        self.signal(signal.SIGSTOP)  # the root may not start children while we list them
        family = identify(tree([self.pid]))
        kill_all(list(family))
        self._process.wait(10)
        self._bury(family)

    def _bury(self, family: Mapping[int, str]) -> None:
        def gone() -> bool:
            # a child may have been on its way into the world when its parent was stopped
            rest = alive({**family, **identify(session(self.pid))})
            kill_all(rest)
            return not rest

        wait_until(gone, 10, f"{self.name} is dead")


def kill_all(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Lines:
    """A file that another process appends lines to, each read once."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._offset = 0
        self._found: list[str] = []

    def read(self) -> list[str]:
        """All complete lines so far; the list is kept and grows."""
        if self._path.exists():
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                data = file.read()
            end = data.rfind(b"\n") + 1
            self._offset += end
            self._found += data[:end].decode().split("\n")[:-1]
        return self._found
