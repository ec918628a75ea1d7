"""Events become entries, each exactly once, whatever dies when."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import pytest

from penstock.events import records
from penstock.suppression.consumer import Position, SuppressionConsumer
from penstock.suppression.decide import SuppressionRules
from penstock.suppression.entry import Entry
from penstock.suppression.store import Store, StoreConfig, SuppressionFull, Suppressions
from penstock.suppression.writer import SuppressionWriter

DAY_S = 86400
NOW = 1_800_000_000.0
FULL = SuppressionRules(full_mailbox_times=3, full_mailbox_days=10)


class Told:
    """Stands for ``Journal.write``."""

    def __init__(self) -> None:
        self.events: list[tuple[type[records.Event], dict[str, Any]]] = []

    def __call__(self, make: type[records.Event], **fields: Any) -> str:
        make(at="x", **fields)
        self.events.append((make, fields))
        return "1"


def on(day: int, make: Any = records.Bounced, **more: Any) -> records.AnyEvent:
    fields = {"recipient": "ann@example.com", "tenant": "shop", "message": "m"} | more
    if make is records.Bounced:
        fields.setdefault("category", "mailbox-full")
    found: records.AnyEvent = make(id=f"e{day}", at=f"2026-01-{day:02d}T12:00:00.000Z", **fields)
    return found


def lines(*events: records.AnyEvent) -> Sequence[tuple[bytes, records.AnyEvent]]:
    return [(b"", event) for event in events]


def consumer(writer: SuppressionWriter, rules: SuppressionRules = FULL, **more: Any) -> Any:
    return SuppressionConsumer(writer, rules, now=lambda: NOW, **more)


def is_out(writer: SuppressionWriter, address: str = "Ann@example.com") -> Entry | None:
    return Suppressions(writer.store).find(address, "shop", "transactional", NOW)


def test_a_batch_shows_before_take_returns(writer: SuppressionWriter) -> None:
    one = consumer(writer)
    dead = on(1, category="bad-mailbox", suppress=True, fault="recipient")
    one.take("00", lines(on(1, records.Delivered), dead), Position(1, 50))
    found = is_out(writer)
    assert found is not None
    assert (found.reason, found.cause) == ("bounce:bad-mailbox", "e1")
    assert writer.checkpoints() == {"00": (1, 50)}
    assert one.added == 1


@pytest.mark.parametrize(
    ("days", "out"),
    [([1, 2, 3], True), ([1, 5, 12], False), ([1, 5, 12, 13], True), ([1, 2], False)],
)
def test_a_full_mailbox_counts_within_its_days(
    writer: SuppressionWriter, days: list[int], out: bool
) -> None:
    one = consumer(writer)
    for day in days:
        one.take("00", lines(on(day)), (0, day))
    found = is_out(writer)
    assert (found is not None) == out
    if found is not None:
        assert found.reason == "bounce:mailbox-full"


@pytest.mark.parametrize("together", [True, False])
def test_a_delivery_begins_the_count_anew(writer: SuppressionWriter, together: bool) -> None:
    one = consumer(writer)
    events = [on(1), on(2), on(3, records.Delivered), on(4), on(5)]
    for number, batch in enumerate([events] if together else [[event] for event in events]):
        one.take("00", lines(*batch), (0, number))
    assert is_out(writer) is None
    one.take("00", lines(on(6)), (0, 9))
    assert is_out(writer) is not None


def test_never_where_the_settings_say_never(writer: SuppressionWriter) -> None:
    one = consumer(writer, SuppressionRules(full_mailbox_times=0))
    one.take("00", lines(*map(on, range(1, 28))), (0, 1))
    assert is_out(writer) is None


def test_exactly_once_through_a_crash(writer: SuppressionWriter, monkeypatch: Any) -> None:
    """What is in the middle of a batch when it dies has not happened; it goes on from there."""
    first = consumer(writer)
    first.take("00", lines(on(1)), (0, 10))
    with monkeypatch.context() as patched:
        patched.setattr("penstock.suppression.writer.Change.checkpoint", _dies)
        with pytest.raises(RuntimeError):
            first.take("00", lines(on(2), on(3)), (0, 30))
    assert is_out(writer) is None
    second = consumer(writer)
    assert second.checkpoint() == {"00": Position(0, 10)}
    second.take("00", lines(on(2)), (0, 20))
    assert is_out(writer) is None
    second.take("00", lines(on(3)), (0, 30))
    assert is_out(writer) is not None


def _dies(*_: Any) -> None:
    raise RuntimeError


def test_a_place_without_changes_is_written_by_flush(writer: SuppressionWriter) -> None:
    one = consumer(writer)
    one.take("00", lines(on(1, records.Delivered)), (0, 10))
    one.take("01", [], (4, 4))
    assert writer.checkpoints() == {}
    assert one.flush() == {"00": (0, 10), "01": (4, 4)}
    assert consumer(writer).checkpoint() == {"00": (0, 10), "01": (4, 4)}


def test_what_was_not_written_comes_again_after_trouble(writer: SuppressionWriter) -> None:
    one = consumer(writer)
    one.take("00", lines(on(1)), (0, 10))
    one.take("00", lines(on(1, records.Delivered, recipient="x@a.example")), (0, 20))
    assert one.checkpoint() == {"00": (0, 10)}
    assert one.flush() == {"00": (0, 10)}


def test_a_recipient_that_is_none_stops_nothing(writer: SuppressionWriter) -> None:
    one = consumer(writer)
    redacted = on(1, records.Complained, recipient="[redacted]", feedback_type="abuse")
    dead = on(2, category="bad-mailbox", suppress=True)
    one.take("00", lines(redacted, dead), (0, 10))
    assert is_out(writer) is not None
    assert (one.added, one.unreadable) == (1, 1)


def test_without_room_nothing_of_the_batch_counts(tmp_path: pathlib.Path) -> None:
    store = Store(str(tmp_path / "small"), StoreConfig(map_bytes=1 << 20))
    one = consumer(SuppressionWriter(store))
    many = [
        on(1, suppress=True, category="bad-mailbox", recipient=f"a{number}@b.example")
        for number in range(20_000)
    ]
    with pytest.raises(SuppressionFull):
        one.take("00", lines(*many), (0, 10))
    assert one.checkpoint() == {}
    assert store.usage().addresses == 0
    one.take("00", lines(*many[:10]), (0, 5))
    assert store.usage().addresses == 10
    store.close()


def test_what_operators_did_becomes_events(writer: SuppressionWriter) -> None:
    note = {"action": "suppression add", "who": "ann", "selector": {"addresses": "x@a.example"}}
    writer.add([Entry("x@a.example")], note)
    writer.remove("nobody@a.example", note=note)
    told = Told()
    one = consumer(writer, write=told)
    one.flush()
    assert [(make, fields["action"], fields["who"]) for make, fields in told.events] == [
        (records.Admin, "suppression add", "ann")
    ]
    one.flush()
    assert len(told.events) == 1
    assert len(told.events[0][1]["id"]) == 32
    assert writer.notes(10) == []


def test_what_has_expired_goes_by_and_by(writer: SuppressionWriter) -> None:
    writer.add([Entry("x@a.example", until=NOW + 30), Entry("y@a.example")])
    at = [NOW]
    one = SuppressionConsumer(writer, FULL, now=lambda: at[0])
    one.flush()
    at[0] += 61
    one.flush()
    assert [entry.address for entry in writer.store.walk()] == ["y@a.example"]


def test_old_counts_of_full_mailboxes_go_too(writer: SuppressionWriter) -> None:
    with writer.change() as change:
        for number in range(10):
            change.bounced_full(f"a{number}@b.example", "shop", NOW - number * DAY_S, 5, 30)
    for _ in range(5):
        with writer.change() as change:
            change.purge(NOW, 3, 4.5)
    pairs = [(f"a{number}@b.example", "shop") for number in range(10)]
    assert writer.counted_among(pairs) == set(pairs[:5])
