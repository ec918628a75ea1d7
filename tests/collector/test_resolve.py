"""Reports become events once each, whatever dies between which two steps."""

from __future__ import annotations

import pathlib
from typing import Any

import msgspec
import pytest

from penstock.collector.providers import Providers
from penstock.collector.reports import Resolved, Told
from penstock.collector.resolve import Resolver
from penstock.collector.written import OwnLog
from penstock.events import records
from penstock.events.journal import Journal, JournalConfig
from penstock.events.metrics import Registry
from penstock.events.reading import LogReader, Position
from penstock.events.records import Reported

NOW = 1_700_000_000.0


class Died(Exception):
    """The process is killed here."""


class FakeReports:
    """Every report tells of two recipients; those in ``unmatched`` of none."""

    def __init__(self) -> None:
        self.unmatched: set[str] = set()

    def resolve(self, event: Reported) -> Resolved:
        if event.id in self.unmatched:
            return Resolved(unmatched="forged")
        told = [
            Told(records.AutoReplied, {"recipient": f"{n}@x.test", "report": event.id})
            for n in range(2)
        ]
        return Resolved(tuple(told), 1)


class Process:
    """A resolver with its own log, as one process has it. ``die_at``: a write or a step at which
    it is killed."""

    def __init__(self, spool: pathlib.Path) -> None:
        self.spool = spool
        self.directory = spool / "events" / "collector"
        self.journal = OwnLog(Journal(str(self.directory), JournalConfig(), lambda: NOW))
        self.reports = FakeReports()
        self.registry = Registry()
        self.clock = 0.0
        self.resolver = Resolver(
            str(spool / "reports.json"),
            self.reports,  # type: ignore[arg-type]
            self.journal,
            LogReader(str(self.directory)),
            Providers(lambda domain: ""),
            self.registry,
            lambda: self.clock,
        )
        self.places = self.resolver.checkpoint()

    def take(self, *numbers: int) -> None:
        """Reports with these numbers, which are their places in the log too."""
        events = [Reported(id=f"r{n}", at="t", role="bounce") for n in numbers]
        begun = self.places.get("00", Position(1, 0)).offset
        read = [(b"", one) for n, one in zip(numbers, events, strict=True) if n > begun]
        if read:
            self.resolver.take("00", read, Position(1, max(numbers)))

    def told(self) -> list[str]:
        lines, position, reader = [], Position(0, 0), LogReader(str(self.directory))
        while True:
            some, position = reader.read(position, 1 << 20)
            if not some:
                break
            lines += some
        reader.close()
        return [msgspec.json.decode(line)["id"] for line in lines]


def ids(*numbers: int) -> list[str]:
    return [f"r{n}-{k}" for n in numbers for k in range(2)]


def test_each_report_is_told_once_and_the_place_is_kept(tmp_path) -> None:
    process = Process(tmp_path)
    process.take(1, 2)
    assert process.resolver.flush() == {"00": Position(1, 2)}
    process.journal.close()
    again = Process(tmp_path)
    assert again.places == {"00": Position(1, 2)}
    again.take(1, 2, 3)
    again.resolver.flush()
    assert again.told() == ids(1, 2, 3)
    series = again.registry.snapshot()["series"]
    counted = {labels[0]: n for labels, n in series["penstock_reports_resolved_total"]}
    assert counted == {"auto-replied": 2, "ignored": 1}
    again.journal.close()


@pytest.mark.parametrize("written", [0, 1, 2, 3, 4])
def test_a_process_that_dies_after_any_line_is_followed_by_one_that_goes_on(
    tmp_path, monkeypatch, written: int
) -> None:
    """It has written ``written`` lines and its place is not kept."""
    process = Process(tmp_path)
    process.take(1)
    process.resolver.flush()
    write, count = process.journal.write, 0

    def dying(make: Any, **fields: Any) -> str:
        nonlocal count
        if count == written:
            raise Died
        count += 1
        return write(make, **fields)

    monkeypatch.setattr(process.journal, "write", dying)
    if written < 4:
        with pytest.raises(Died):
            process.take(2, 3)
    else:
        process.take(2, 3)
    process.journal.flush()
    process.journal.close()
    again = Process(tmp_path)
    again.take(1, 2, 3)
    again.resolver.flush()
    assert sorted(again.told()) == sorted(ids(1, 2, 3))
    again.journal.close()


def test_after_a_failure_of_the_disk_the_same_resolver_goes_on(tmp_path, monkeypatch) -> None:
    process = Process(tmp_path)
    process.take(1, 2)

    def full() -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(process.journal, "sync", full)
        with pytest.raises(OSError):
            process.resolver.flush()
    process.places = process.resolver.checkpoint()
    process.take(1, 2)
    process.resolver.flush()
    assert process.told() == ids(1, 2)
    process.journal.close()


def test_without_reports_the_place_is_kept_now_and_then(tmp_path) -> None:
    process = Process(tmp_path)
    process.take(1)
    process.resolver.flush()
    process.resolver.take("00", [], Position(1, 50))
    process.clock += 1
    assert process.resolver.flush() == {"00": Position(1, 1)}, "it costs two syncs"
    process.clock += 10
    assert process.resolver.flush() == {"00": Position(1, 50)}
    process.journal.close()


def test_what_is_not_matched_is_counted_by_its_reason_and_tells_nothing(tmp_path) -> None:
    process = Process(tmp_path)
    process.reports.unmatched = {"r1"}
    process.take(1)
    process.resolver.flush()
    assert process.told() == []
    series = process.registry.snapshot()["series"]
    assert series["penstock_reports_unmatched_total"] == [[["forged"], 1]]
    process.journal.close()
