"""What benchmarks print and leave behind: tables for people, JSON for machines."""

from __future__ import annotations

import json
import os
import pathlib
import platform
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.harness import ROOT

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


def machine() -> dict[str, Any]:
    """Enough to see whether two results can be compared."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
