"""What benchmarks print and leave behind: tables for people, JSON for machines."""

from __future__ import annotations

import json
import os
import pathlib
import platform
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.harness import ROOT, scratch_base

OUT = ROOT / "bench/out"
_WIDTH = 100


def console() -> Console:
    """As wide as a page where the output is no terminal."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=_WIDTH)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table; the first column is text, the others are figures."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def save(name: str, content: dict[str, Any], path: pathlib.Path | None = None) -> pathlib.Path:
    """Write ``bench/out/NAME.json`` (or ``path``), with the machine that it was measured on."""
    path = path or OUT / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **content}, indent=1) + "\n")
    return path


def load(name: str) -> dict[str, Any] | None:
    """What :func:`save` wrote last under this name."""
    path = OUT / f"{name}.json"
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def machine() -> dict[str, Any]:
    """Enough to see whether two results can be compared; not whose machine it is."""
    return {
        "cpu": _field("/proc/cpuinfo", "model name"),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(_field("/proc/meminfo", "MemTotal").split()[0]) / (1 << 20)),
        "kernel": platform.release(),
        "disk": _disk(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _field(path: str, name: str) -> str:
    """The first value of a file of ``name : value`` lines."""
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() == name:
            return value.strip()
    return "0"


def _disk() -> str:
    """Where benchmarks put their queues: device and file system."""
    best = ("", "", "")
    directory = scratch_base()
    for line in pathlib.Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        device, point, kind, *_ = line.split()
        inside = directory == point or directory.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best[0]):
            best = (point, device, kind)
    return f"{best[1]} {best[2]}"
