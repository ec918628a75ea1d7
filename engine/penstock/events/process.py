"""What the operating system says of this process: memory, CPU time, descriptors."""

from __future__ import annotations

import os
import resource
import time

_PAGE_BYTES = resource.getpagesize()


def process_snapshot() -> dict[str, float]:
    """``rss_bytes``, ``cpu_seconds`` (user and system), ``open_fds``, ``max_fds``, ``started``."""
    with open("/proc/self/statm", "rb") as file:
        rss_pages = int(file.read().split()[1])
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "rss_bytes": float(rss_pages * _PAGE_BYTES),
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "open_fds": float(len(os.listdir("/proc/self/fd")) - 1),  # less the one that lists
        "max_fds": float(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        "started": _STARTED,
    }


def _started() -> float:
    """When this process began, seconds since the epoch (proc(5), field 22 of stat)."""
    with open("/proc/self/stat", "rb") as file:
        ticks = float(file.read().rpartition(b")")[2].split()[19])
    with open("/proc/uptime", "rb") as file:
        uptime_s = float(file.read().split()[0])
    return time.time() - uptime_s + ticks / os.sysconf("SC_CLK_TCK")


_STARTED = _started()
