"""A real daemon as in tests/daemon, and events written into its logs as a worker would."""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.daemon.conftest import Daemon

from penstock.events import records
from penstock.events.journal import Journal, JournalConfig
from penstock.events.records import Event

_NUMBERS = itertools.count(1)


def at(seconds: float) -> str:
    """A time as events have it."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


def event(make: type[Event], now: float = 1_700_000_000.0, **fields: Any) -> Any:
    """One with what it must have; ``fields`` say the rest."""
    wanted: dict[str, Any] = {"id": f"t{next(_NUMBERS)}", "at": at(now)}
    if issubclass(make, records.OfDelivery):
        wanted |= {"message": "m", "recipient": "a@gmail.test", "phase": "final"}
    if make is records.Accepted:
        wanted |= {"message": "m", "sender": "s@shop.test", "recipients": ("a@x.test",), "size": 9}
    if make is records.Complained:
        wanted |= {"recipient": "a@gmail.test", "feedback_type": "abuse"}
    if make is records.Unsubscribed:
        wanted |= {"recipient": "a@gmail.test", "via": "one-click"}
    if make is records.Suppressed:
        wanted |= {"recipient": "a@gmail.test", "stage": "intake", "reason": "complaint"}
    return make(**{**wanted, **fields})


def write_events(spool: pathlib.Path, log: str, *told: tuple[type[Event], dict[str, Any]]) -> None:
    """Append to one log of a spool, as the process that owns it would; their time is now."""
    journal = Journal(str(spool / "events" / log), JournalConfig(), time.time)
    for make, fields in told:
        journal.write(make, **fields)
    journal.sync()
    journal.close()


@pytest.fixture
def daemon(tmp_path: pathlib.Path) -> Iterator[Daemon]:
    one = Daemon(tmp_path)
    yield one
    if one.process is not None and one.process.poll() is None:
        with contextlib.suppress(Exception):
            status = one.call("status")
            pids = [worker["pid"] for worker in status["workers"]]
            for pid in [*pids, status["collector"]["pid"]]:
                os.kill(pid, signal.SIGKILL)
        one.process.kill()
        one.process.wait()
        one.log.close()


@pytest.fixture
def write(tmp_path: pathlib.Path) -> Callable[..., None]:
    return lambda log, *told: write_events(tmp_path / "spool", log, *told)
