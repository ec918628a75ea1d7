"""A consumer's thread, turn by turn: fed in order, from its checkpoint on, whatever others do."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from tests.collector.conftest import event

from penstock.collector.logs import Logs, Place
from penstock.collector.runner import Runner, RunnerConfig
from penstock.events import records
from penstock.events.reading import Position

NOW = 1_700_000_000.0


class MemoryLog:
    """A log in memory, as a LogReader gives it: one segment, a position is an offset in bytes."""

    def __init__(self) -> None:
        self.data = b""
        self.reads = 0

    def add(self, *events: Any) -> None:
        for one in events:
            line = one if isinstance(one, bytes) else msgspec.json.encode(one)
            self.data += line + b"\n"

    def read(self, position: Position, bytes_max: int) -> tuple[list[bytes], Position]:
        self.reads += 1
        part = self.data[position.offset : position.offset + bytes_max]
        part = part[: part.rfind(b"\n") + 1]
        return part.splitlines(), Position(position.segment, position.offset + len(part))

    def start(self) -> Position:
        return Position(1, 0)

    def end(self) -> Position:
        return Position(1, len(self.data))


class MemoryLogs(Logs):
    def __init__(self, **logs: MemoryLog) -> None:
        super().__init__("", 600, 4)
        self.all = logs

    def directories(self) -> dict[str, str]:
        return {name: name for name in self.all}

    def place(self) -> Place:
        return Place(self, lambda name: self.all[name])  # type: ignore[arg-type,return-value]


class Consumer:
    """Keeps what it took; ``fail`` makes the next call of ``take`` or ``flush`` fail."""

    name = "taking"

    def __init__(self) -> None:
        self.durable: list[str] = []
        self.taken: list[str] = []
        self.places: dict[str, Position] = {}
        self.kept: dict[str, Position] = {}
        self.fail = ""

    def checkpoint(self) -> dict[str, Position]:
        self.taken, self.places = [], dict(self.kept)
        return dict(self.kept)

    def take(self, log: str, events: Sequence[tuple[bytes, Any]], upto: Position) -> None:
        if self.fail == "take":
            raise ValueError("no")
        self.taken += [one.id for _, one in events]
        self.places[log] = upto

    def flush(self) -> dict[str, Position]:
        if self.fail == "flush":
            raise OSError("disk")
        self.durable += self.taken
        self.taken, self.kept = [], dict(self.places)
        return self.kept


class Times:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def times() -> Times:
    return Times()


def runner_of(consumer: Consumer, logs: MemoryLogs, times: Times, **heard: Any) -> Runner:
    return Runner(
        consumer,
        logs.place(),
        RunnerConfig(0.2, 1.0, 8.0),
        heard.get("fed", lambda events: None),
        heard.get("failed", lambda: None),
        times,
        lambda: NOW + times.now,
    )


def turns(runner: Runner, times: Times, count: int = 20) -> None:
    for _ in range(count):
        times.now += max(runner.turn(), 0.1)


def test_all_logs_are_fed_in_order_and_made_durable(times: Times) -> None:
    first, second, consumer = MemoryLog(), MemoryLog(), Consumer()
    told = [event(records.Delivered) for _ in range(30)]
    first.add(*told[:20])
    second.add(*told[20:])
    turns(runner_of(consumer, MemoryLogs(a=first, b=second), times), times)
    ids = [one.id for one in told]
    assert sorted(consumer.durable) == sorted(ids)
    assert [one for one in consumer.durable if one in ids[:20]] == ids[:20]
    assert consumer.kept == {"a": first.end(), "b": second.end()}


def test_a_log_that_appears_later_is_found(times: Times) -> None:
    logs, consumer = MemoryLogs(), Consumer()
    runner = runner_of(consumer, logs, times)
    turns(runner, times)
    logs.all["new"] = MemoryLog()
    logs.all["new"].add(event(records.Delivered))
    turns(runner, times)
    assert len(consumer.durable) == 1


@pytest.mark.parametrize("where", ["take", "flush"])
def test_what_failed_comes_again_once_with_growing_pauses(times: Times, where: str) -> None:
    log, consumer, failures = MemoryLog(), Consumer(), []
    log.add(*[event(records.Delivered) for _ in range(10)])
    consumer.fail = where
    runner = runner_of(
        consumer, MemoryLogs(a=log), times, failed=lambda: failures.append(times.now)
    )
    turns(runner, times, 40)
    assert consumer.durable == []
    pauses = [b - a for a, b in itertools.pairwise(failures)]
    assert pauses[0] < pauses[1] < pauses[2]
    assert max(pauses) <= 8.0 + 2.0, "bounded"
    assert runner.failures == len(failures)
    assert runner.lag.seconds > 0
    consumer.fail = ""
    turns(runner, times)
    assert len(consumer.durable) == len(set(consumer.durable)) == 10
    assert (runner.failures, runner.error) == (0, "")


def test_one_that_fails_holds_no_other_up(times: Times) -> None:
    log, bad, good = MemoryLog(), Consumer(), Consumer()
    log.add(event(records.Delivered))
    logs = MemoryLogs(a=log)
    bad.fail = "take"
    for runner in (runner_of(bad, logs, times), runner_of(good, logs, times)):
        turns(runner, times)
    assert (len(bad.durable), len(good.durable)) == (0, 1)


def test_lines_that_are_no_events_are_passed_over_and_counted_once(times: Times) -> None:
    log = MemoryLog()
    log.add(event(records.Delivered), b"torn", b'{"type":"later","id":"x"}')
    log.add(event(records.Delivered))
    logs, one, two = MemoryLogs(a=log), Consumer(), Consumer()
    for runner in (runner_of(one, logs, times), runner_of(two, logs, times)):
        turns(runner, times)
    assert (len(one.durable), len(two.durable), logs.unreadable) == (2, 2, 2)


def test_those_that_keep_up_read_and_decode_once(times: Times) -> None:
    log = MemoryLog()
    log.add(*[event(records.Delivered) for _ in range(3)])
    logs = MemoryLogs(a=log)
    runners = [runner_of(Consumer(), logs, times) for _ in range(5)]
    for runner in runners:
        runner.turn()
    assert log.reads == 1
    assert logs.kept <= 4


def test_the_lag_is_that_of_what_was_read_last(times: Times) -> None:
    log, consumer = MemoryLog(), Consumer()
    log.add(*[event(records.Delivered, NOW - 60) for _ in range(100)])
    runner = runner_of(consumer, MemoryLogs(a=log), times)
    runner.turn()
    assert 20 < runner.lag.events < 100
    assert runner.lag.seconds == pytest.approx(60, abs=1)
    turns(runner, times, 60)
    assert (runner.lag.events, runner.lag.seconds) == (0, 0.0)


def test_a_thread_is_ended_orderly_with_its_last_flush() -> None:
    log, consumer, taken = MemoryLog(), Consumer(), threading.Event()
    log.add(event(records.Delivered))
    runner = Runner(
        consumer,
        MemoryLogs(a=log).place(),
        RunnerConfig(0.01, 3600.0, 8.0),
        lambda events: taken.set(),
        lambda: None,
    )
    runner.start()
    assert taken.wait(10)
    runner.tell_to_stop()
    assert runner.join(10)
    assert len(consumer.durable) == 1
