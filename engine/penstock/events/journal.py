"""Stub of the writer of the event log: one plain file. Replaced on merging."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from penstock.events.records import Event


@dataclass(frozen=True, slots=True)
class JournalConfig:
    buffer_bytes_max: int = 16 << 20


class Journal:
    def __init__(
        self, directory: str, config: JournalConfig, now: Callable[[], float] = time.time
    ) -> None:
        os.makedirs(directory, exist_ok=True)
        self._path = os.path.join(directory, "00000001.ndjson")
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lines: list[bytes] = []
        self._ids = itertools.count(time.time_ns())

    def write(self, make: type[Event], **fields: Any) -> str:
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        id_ = fields.pop("id", "") or f"e{next(self._ids)}"
        event = make(id=id_, at=now, **fields)
        self._lines.append(msgspec.json.encode(event) + b"\n")
        return event.id

    def flush(self) -> None:
        data, self._lines = b"".join(self._lines), []
        if data:
            os.write(self._fd, data)

    def stats(self) -> dict[str, float]:
        return {"dropped": 0}

    def sync(self) -> None:
        self.flush()
        os.fdatasync(self._fd)

    def close(self) -> None:
        self.sync()
        os.close(self._fd)
