"""A small JSON file that is replaced whole: written aside, synced, renamed, directory synced.

Whoever reads it after a crash at any moment finds what was written last or what was there before.
"""

from __future__ import annotations

import json
import os
from typing import Any


def write_whole(path: str, value: Any, mode: int = 0o666) -> None:
    """Raises ``OSError``; the file is the old one then. ``mode``: who may read it, less what the
    process's umask takes away."""
    aside = f"{path}.new"

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags, mode)

    with open(aside, "w", encoding="utf-8", opener=opener) as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
    handle = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_whole(path: str) -> Any:
    """``None`` where there is none; ``ValueError`` for one that is no JSON."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None
