"""Daemons that are killed, starved and overloaded, between an injector and a sink that remember.

The injector notes every Message-ID it got a 250 for, the sink every one it was given. What is in
the first list and not in the second is lost; what is twice in the second was doubled.
"""

import collections
import contextlib
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from bench.daemon import Daemon
from bench.harness import free_port, scratch
from bench.load import Load
from bench.sink import Sink

HOP = "127.0.0.2"


class Balance(NamedTuple):
    """``lost``: acknowledged, never delivered; ``doubled``: deliveries beyond the first."""

    acknowledged: int
    lost: list[str]
    doubled: int


class Doubles(NamedTuple):
    """``explained``: deliveries beyond the first of what a recovery named as in flight;
    ``unexplained``: the ids of the rest."""

    explained: int
    unexplained: list[str]


class Site:
    """One directory with everything a test runs; whatever still runs at its end is killed."""

    def __init__(self, directory: pathlib.Path, stack: contextlib.ExitStack) -> None:
        self.directory = directory
        self._stack = stack
        self._loads: list[Load] = []
        self.port = free_port(HOP)
        self.next_hop = f"{HOP}:{self.port}"

    def open_sink(self) -> Sink:
        self.sink = self._stack.enter_context(Sink(self.directory, HOP, self.port, record=True))
        return self.sink

    def daemon(self, **options: object) -> Daemon:
        """Not started yet."""
        made = Daemon(self.directory, self.next_hop, **options)
        self._stack.callback(lambda: print(made.log_tail()))
        self._stack.callback(made.end)
        return made

    def load(self, daemon: Daemon, **options: object) -> Load:
        """Starts at once; each has a name of its own, so numbers never meet."""
        name = f"load{len(self._loads)}"
        made = Load(self.directory, "127.0.0.1", daemon.port, name=name, **options)
        self._loads.append(self._stack.enter_context(made))
        return made

    def balance(self) -> Balance:
        """Of all injectors so far."""
        promised = {id_ for load in self._loads for id_ in load.acknowledged()}
        counts = collections.Counter(self.sink.delivered())
        lost = sorted(promised - counts.keys())
        return Balance(len(promised), lost, counts.total() - len(counts))

    def doubles(self, daemon: Daemon) -> Doubles:
        """What came twice, held against what the recoveries of ``daemon`` named."""
        named = daemon.maybe_doubled()
        counts = collections.Counter(self.sink.received_ids())
        twice = {id_: count - 1 for id_, count in counts.items() if count > 1}
        explained = sum(more for id_, more in twice.items() if id_ in named)
        return Doubles(explained, sorted(twice.keys() - named))


@pytest.fixture
def site() -> Iterator[Site]:
    with scratch("penstock-durability-") as directory, contextlib.ExitStack() as stack:
        yield Site(directory, stack)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a figure past pytest's capture: these tests are run to see them."""

    def show(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", end="", flush=True)

    return show
