"""``python -m tests.fuzz.keep TARGET``: of what the fuzzer found, take into the corpus what reaches
a line in a way that the corpus does not, smallest first. Files are named by their content, so the
corpus stays a few kilobytes however long the fuzzer ran."""

from __future__ import annotations

import sys
from collections.abc import Callable
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.run import CORPUS, parse_options

BYTES_MAX = 24 << 10  # of one target's corpus
Arc = tuple[str, int, int]


def main() -> None:
    options = parse_options(None)
    target = import_module(f"tests.fuzz.{options.target}")
    kept, found = CORPUS / options.target, Path(options.work) / options.target / "found"
    kept.mkdir(parents=True, exist_ok=True)
    seen: set[Arc] = set()
    size = 0
    for path in sorted(kept.iterdir()):
        size += path.stat().st_size
        seen |= _arcs(target.check, path.read_bytes())
    for path in sorted(found.iterdir(), key=lambda path: path.stat().st_size):
        data = path.read_bytes()
        new = _arcs(target.check, data) - seen
        if new and size + len(data) <= BYTES_MAX:
            seen |= new
            size += len(data)
            (kept / sha256(data).hexdigest()[:12]).write_bytes(data)
    print(f"{options.target}: {len(list(kept.iterdir()))} files, {size} bytes, {len(seen)} arcs")


def _arcs(check: Callable[[bytes], None], data: bytes) -> set[Arc]:
    """The pairs of consecutive lines in the product that ``data`` runs through."""
    arcs: set[Arc] = set()

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        if "penstock" not in name or "/tests/" in name:
            return None
        last = 0

        def line(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal last
            arcs.add((name, last, frame.f_lineno))
            last = frame.f_lineno
            return line

        return line

    sys.settrace(enter)
    try:
        check(data)
    finally:
        sys.settrace(None)
    return arcs


if __name__ == "__main__":
    main()
