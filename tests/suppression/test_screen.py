"""What the engine asks of the list, and that it never stands in the way of mail."""

from __future__ import annotations

from typing import Any

import lmdb
import pytest

from penstock.events import records
from penstock.suppression.decide import SuppressionRules
from penstock.suppression.entry import Entry, pack
from penstock.suppression.screen import RETRY_S, Mail, Ports, Screen, described
from penstock.suppression.store import SuppressionError, Suppressions
from penstock.suppression.writer import SuppressionWriter

NOW = 1_800_000_000.0
BULK = Mail("shop", "bulk")


class Door:
    """Opens the list, or does not; counts and notes what it is told."""

    def __init__(self, suppressions: Suppressions) -> None:
        self.suppressions, self.shut = suppressions, False
        self.now, self.unread = NOW, 0
        self.told: list[Any] = []

    def __call__(self) -> Suppressions:
        if self.shut:
            raise SuppressionError("shut")
        return self.suppressions

    def count(self) -> None:
        self.unread += 1

    def screen(self, **rules: Any) -> Screen:
        ports = Ports(
            class_of=lambda tenant, class_: class_ or "triggered",
            now=lambda: self.now,
            write=lambda make, **fields: self.told.append(make(id="1", at="x", **fields)),
            counted=lambda stage, reason: self.told.append((stage, reason)),
            unread=self.count,
        )
        return Screen(self, ports, SuppressionRules(**rules))


@pytest.fixture
def door(suppressions: Suppressions) -> Door:
    return Door(suppressions)


def test_scopes_tenants_and_expiry(door: Door, writer: SuppressionWriter) -> None:
    writer.add(
        [
            Entry("bulk@a.example", "shop", "bulk", "unsubscribe"),
            Entry("list@a.example", "shop", "list:news", "unsubscribe"),
            Entry("all@a.example", "", "", "manual", until=NOW + 10),
        ]
    )
    screen = door.screen(list_tag="list")
    assert screen.find("Bulk@a.example", BULK)
    assert not screen.find("bulk@a.example", Mail("shop"))  # which is triggered
    assert not screen.find("bulk@a.example", Mail("other", "bulk"))
    assert screen.find("list@a.example", Mail("shop", "", {"list": "news"}))
    assert not screen.find("list@a.example", BULK)
    addresses = ["all@a.example", "nobody@a.example"]
    assert [bool(one) for one in screen.verdicts(addresses, Mail("any"))] == [True, False]
    door.now += 10
    assert not screen.find("all@a.example", Mail("any"))


@pytest.mark.parametrize(
    ("scopes", "class_", "permitted", "refused", "settled"),
    [
        ([""], "", (), True, True),
        (["bulk"], "bulk", ("bulk",), True, True),
        (["bulk"], "bulk", (), False, False),
        (["bulk"], "bulk", ("bulk", "triggered"), False, False),
        (["bulk", "triggered"], "", ("bulk",), True, True),
        (["bulk"], "", ("bulk",), False, False),  # without a field it is triggered
        (["bulk", "triggered", "transactional"], "", (), True, True),
        (["list:news"], "bulk", ("bulk",), False, False),
        ([], "", (), False, True),
    ],
)
def test_what_is_settled_before_the_message_is_there(
    door: Door,
    writer: SuppressionWriter,
    scopes: list[str],
    class_: str,
    permitted: tuple[str, ...],
    refused: bool,
    settled: bool,
) -> None:
    writer.add([Entry("x@a.example", "shop", scope) for scope in scopes])
    entry, known = door.screen().early("x@a.example", Mail("shop", class_), permitted)
    assert (entry is not None, known) == (refused, settled)


def test_a_list_that_cannot_be_opened_stops_no_mail(door: Door, writer: SuppressionWriter) -> None:
    writer.add([Entry("x@a.example")])
    door.shut = True
    screen = door.screen()
    assert screen.find("x@a.example", BULK) is None
    assert door.unread == 1
    door.shut = False
    screen.look()
    assert screen.find("x@a.example", BULK) is None  # not asked for all the time
    door.now += RETRY_S
    screen.look()
    assert screen.find("x@a.example", BULK) is not None
    assert door.unread == 2


def test_trouble_in_the_middle_stops_no_mail(
    door: Door, writer: SuppressionWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.add([Entry("x@a.example")])
    screen = door.screen()

    def breaks(*_: Any) -> list[Entry]:
        raise lmdb.CorruptedError("page")

    with monkeypatch.context() as patched:
        patched.setattr(door.suppressions, "entries", breaks)
        assert screen.find("x@a.example", BULK) is None
    assert screen.usable is None
    door.now += RETRY_S
    screen.look()
    assert screen.find("x@a.example", BULK) is not None


def test_one_damaged_entry_takes_the_others_from_nobody(
    door: Door, writer: SuppressionWriter
) -> None:
    writer.add([Entry("x@a.example")])
    with writer.store.begin(write=True) as transaction:
        value = pack([Entry("", scope="bulk")])[:-1]
        transaction.put(b"bad@a.example\0", value, db=writer.store.entries)
    screen = door.screen()
    assert screen.find("bad@a.example", BULK) is None
    assert screen.find("x@a.example", BULK) is not None
    assert door.unread == 1


def test_the_event(door: Door) -> None:
    entry = Entry("x@a.example", "shop", "bulk", "complaint", "e7", NOW)
    mail = Mail("shop", "bulk", {"k": "v"}, "spring", "a@b.example", "m1")
    door.screen().tell("delivery", "X@a.example", entry, mail)
    event = records.Suppressed(
        id="1",
        at="x",
        recipient="X@a.example",
        stage="delivery",
        reason="complaint",
        message="m1",
        sender="a@b.example",
        cause="e7",
        tenant="shop",
        campaign="spring",
        class_="bulk",
        tags={"k": "v"},
    )
    assert door.told == [("delivery", "complaint"), event]
    assert described(entry) == "complaint since 2027-01-15"
    assert described(entry._replace(until=NOW + 86400)).endswith("until 2027-01-16")
