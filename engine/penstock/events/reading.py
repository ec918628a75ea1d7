"""Stub of the reader of the event log: plain files, no compression. Replaced on merging."""

from __future__ import annotations

import os
from typing import NamedTuple

import msgspec

from penstock.events import records
from penstock.mail.envelope import id_number

_SUFFIX = ".ndjson"


class Position(NamedTuple):
    segment: int
    offset: int


class LogReader:
    def __init__(self, directory: str) -> None:
        self._directory = directory

    def read(self, position: Position, bytes_max: int) -> tuple[list[bytes], Position]:
        segments = self._segments()
        segment, offset = position
        while True:
            if segment in segments:
                with open(self._path(segment), "rb") as file:
                    file.seek(offset)
                    data = file.read(bytes_max)
                end = data.rfind(b"\n") + 1
                if end:
                    return data[: end - 1].split(b"\n"), Position(segment, offset + end)
            later = [one for one in segments if one > segment]
            if not later:
                return [], Position(segment, offset)
            segment, offset = later[0], 0

    def start(self) -> Position:
        return Position(min(self._segments(), default=1), 0)

    def end(self) -> Position:
        last = max(self._segments(), default=1)
        try:
            return Position(last, os.path.getsize(self._path(last)))
        except FileNotFoundError:
            return Position(last, 0)

    def at(self, time_s: float) -> Position:
        return self.start()

    def accepted(self, ref: int) -> records.Accepted | None:
        position = self.start()
        while True:
            lines, position = self.read(position, 1 << 20)
            if not lines:
                return None
            for line in lines:
                one = msgspec.json.decode(line, type=records.AnyEvent)
                if isinstance(one, records.Accepted):
                    first = id_number(one.message)
                    if first <= ref < first + len(one.recipients):
                        return one

    def _segments(self) -> list[int]:
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return []
        return sorted(int(name[: -len(_SUFFIX)]) for name in names if name.endswith(_SUFFIX))

    def _path(self, segment: int) -> str:
        return os.path.join(self._directory, f"{segment:08d}{_SUFFIX}")


def log_directories(spool: str) -> dict[str, str]:
    root = os.path.join(spool, "events")
    try:
        names = sorted(os.listdir(root))
    except FileNotFoundError:
        return {}
    paths = {name: os.path.join(root, name) for name in names}
    return {name: path for name, path in paths.items() if os.path.isdir(path)}
