"""CPU time and memory of a tree of processes, read from ``/proc``.

CPU is user and system time of every living process of the tree plus what each has inherited from
children it waited for, so short-lived helpers count too. Memory is the proportional set size: pages
that several processes share are counted once.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str] | None:
    """The fields of ``/proc/PID/stat`` after the name: state is 0, ppid 1, session 3, utime
    11, start time 19."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def tree(roots: Iterable[int]) -> list[int]:
    """``roots`` that exist and all their descendants."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _stat(int(name))
            if fields is not None:
                children.setdefault(int(fields[1]), []).append(int(name))
    found, todo = [], [pid for pid in roots if _stat(pid) is not None]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def session(leader: int) -> list[int]:
    """All processes of the session that ``leader`` began, also those whose parents are gone."""
    found = []
    for name in os.listdir("/proc"):
        fields = _stat(int(name)) if name.isdigit() else None
        if fields is not None and int(fields[3]) == leader:
            found.append(int(name))
    return found


def identify(pids: Iterable[int]) -> dict[int, str]:
    """When each of them began: a number that is used again is another process."""
    found = {pid: _stat(pid) for pid in pids}
    return {pid: fields[19] for pid, fields in found.items() if fields is not None}


def alive(family: Mapping[int, str]) -> list[int]:
    """Those of :func:`identify` that still run; a zombie does not."""
    found = []
    for pid, began in family.items():
        fields = _stat(pid)
        if fields is not None and fields[19] == began and fields[0] not in "ZX":
            found.append(pid)
    return found


def cpu_s(pids: Sequence[int]) -> float:
    """Seconds of CPU that these processes and their reaped children have used."""
    ticks = 0
    for pid in pids:
        fields = _stat(pid)
        if fields is not None:
            ticks += sum(int(field) for field in fields[11:15])
    return ticks * _TICK_S


def memory_bytes(pids: Sequence[int]) -> int:
    """Proportional set size of all; resident size where that is not readable."""
    return sum(_memory_of(pid) for pid in pids)


def resident_bytes(pids: Sequence[int]) -> int:
    """Resident set size of all; pages that several share count several times."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/statm", encoding="utf-8") as file:
            total += int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


def _memory_of(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) << 10
    except OSError:
        return resident_bytes([pid])
    return 0


def machine_busy_s() -> float:
    """Seconds that all CPUs of the machine together have been busy since boot."""
    with open("/proc/stat", encoding="utf-8") as file:
        user, nice, system, _idle, _iowait, irq, softirq, *_ = file.readline().split()[1:]
    return sum(int(one) for one in (user, nice, system, irq, softirq)) * _TICK_S


class Patience:
    """Waits for a quiet machine, ``total_s`` in all; then no more."""

    def __init__(self, total_s: float, quiet_cpus: float, every_s: float = 1.0) -> None:
        self._left_s, self._quiet_cpus, self._every_s = total_s, quiet_cpus, every_s

    def wait(self) -> None:
        """Until fewer CPUs than that are busy, or the patience is at its end."""
        while self._left_s > 0:
            busy, start = machine_busy_s(), time.monotonic()
            time.sleep(self._every_s)
            wall = time.monotonic() - start
            self._left_s -= wall
            if (machine_busy_s() - busy) / wall < self._quiet_cpus:
                return


class PeakMemory:
    """Samples the memory of trees, and of a group, in a thread, from ``with`` to its end."""

    def __init__(
        self, roots: Sequence[int], every_s: float = 0.5, group: CpuGroup | None = None
    ) -> None:
        self.peak_bytes = 0
        self._roots, self._every_s, self._group = roots, every_s, group
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            inside = self._group.pids() if self._group is not None else []
            pids = sorted({*tree(self._roots), *inside})
            self.peak_bytes = max(self.peak_bytes, memory_bytes(pids))
            if self._over.wait(self._every_s):
                return


class CpuGroup:
    """Counts the CPU of all that is started inside :meth:`entered`, by a control group of its own.

    A server whose processes leave their parents (Exim) cannot be counted by its tree. Where control
    groups may not be made, ``usable`` is false, and the tree must do.
    """

    def __init__(self, name: str) -> None:
        self._path: pathlib.Path | None = None
        self._home: pathlib.Path | None = None
        for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, where = line.split(":", 2)
            if "cpuacct" in controllers.split(","):
                base = pathlib.Path("/sys/fs/cgroup/cpuacct")
            elif not controllers and self._path is None:
                base = pathlib.Path("/sys/fs/cgroup")
            else:
                continue
            home = base / where.strip("/")
            mine = home / f"penstock-bench-{name}-{os.getpid()}"
            with contextlib.suppress(OSError):
                mine.mkdir()
                self._remove()
                if self._used(mine) is not None:
                    self._path, self._home = mine, home
                else:
                    mine.rmdir()

    @property
    def usable(self) -> bool:
        return self._path is not None

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This process is inside meanwhile, and so is what it starts, for good."""
        if self._path is None or self._home is None:
            yield
            return
        (self._path / "cgroup.procs").write_text(str(os.getpid()))
        try:
            yield
        finally:
            (self._home / "cgroup.procs").write_text(str(os.getpid()))

    def cpu_s(self) -> float:
        """Seconds used by all that was ever inside."""
        used = self._used(self._path) if self._path is not None else None
        return used or 0.0

    def pids(self) -> list[int]:
        if self._path is None:
            return []
        return [int(pid) for pid in (self._path / "cgroup.procs").read_text().split()]

    def close(self, timeout_s: float = 10.0) -> None:
        """Kill what is still inside and remove the group."""
        end = time.monotonic() + timeout_s
        while (left := self.pids()) and time.monotonic() < end:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        self._remove()

    def _remove(self) -> None:
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.rmdir()
        self._path = None

    @staticmethod
    def _used(path: pathlib.Path) -> float | None:
        with contextlib.suppress(OSError):
            return int((path / "cpuacct.usage").read_text()) / 1e9
        with contextlib.suppress(OSError):
            for line in (path / "cpu.stat").read_text().splitlines():
                if line.startswith("usage_usec "):
                    return int(line.split()[1]) / 1e6
        return None
