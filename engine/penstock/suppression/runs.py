"""Sorts what does not fit into memory: sorted runs in files that have no name, then one merge.

A list that is imported in the order of its keys fills the pages of the tree one after the other;
in any other order each row is another page, and the file grows half as large again. A file without
a name is gone with its process, however that ends.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from operator import itemgetter
from typing import IO, Any

import msgpack

Pair = tuple[bytes, bytes]
RUN_PAIRS = 250_000  # held in memory at once: about 60 MB
_key = itemgetter(0)


class SortedRuns:
    """Pairs go in in any order and come out by their keys; of equal keys the earlier first."""

    def __init__(self, directory: str, run_pairs: int = RUN_PAIRS) -> None:
        self._directory, self._most = directory, run_pairs
        self._pairs: list[Pair] = []
        self._files = ExitStack()
        self._runs: list[IO[bytes]] = []

    def __enter__(self) -> SortedRuns:
        return self

    def __exit__(self, *_: Any) -> None:
        self._files.close()

    def add(self, pair: Pair) -> None:
        self._pairs.append(pair)
        if len(self._pairs) >= self._most:
            self._spill()

    def _spill(self) -> None:
        self._pairs.sort(key=_key)
        run = self._files.enter_context(tempfile.TemporaryFile(dir=self._directory))  # noqa: SIM115
        pack = msgpack.Packer().pack
        for start in range(0, len(self._pairs), 1000):
            run.write(b"".join(map(pack, self._pairs[start : start + 1000])))
        self._runs.append(run)
        self._pairs = []

    def __iter__(self) -> Iterator[Pair]:
        self._pairs.sort(key=_key)
        runs: list[Iterator[Pair]] = [_read(run) for run in self._runs]
        return heapq.merge(*runs, iter(self._pairs), key=_key) if runs else iter(self._pairs)


def _read(run: IO[bytes]) -> Iterator[Pair]:
    run.seek(0)
    yield from msgpack.Unpacker(run, raw=True, use_list=False, read_size=1 << 16)
