"""The logs of a spool, each with a reader of ours; new ones are found when they are there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from penstock.events.reading import LogReader, log_directories

_LOOK_S = 1.0


class SpoolLogs:
    """Called in one thread at a time."""

    def __init__(self, spool: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._spool, self._monotonic = spool, monotonic
        self._readers: dict[str, LogReader] = {}
        self._looked_s = float("-inf")

    def __call__(self) -> Mapping[str, LogReader]:
        now = self._monotonic()
        if now - self._looked_s >= _LOOK_S:
            self._looked_s = now
            found = log_directories(self._spool)
            for log in self._readers.keys() - found.keys():
                self._readers.pop(log).close()
            for log, directory in found.items():
                if log not in self._readers:
                    self._readers[log] = LogReader(directory)
        return self._readers

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()
        self._readers = {}
