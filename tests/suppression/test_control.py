"""What is asked of the list through the daemon: pages, one tenant alone, bounds, refusals."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.control import ControlError
from penstock.suppression import control as room
from penstock.suppression.control import SuppressionControl
from penstock.suppression.decide import SuppressionRules
from penstock.suppression.entry import Entry
from penstock.suppression.store import Store, StoreConfig
from penstock.suppression.writer import SuppressionWriter

NOW = 1_700_000_000.0


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[SuppressionWriter]:
    store = Store(str(tmp_path / "list"), StoreConfig(map_bytes=64 << 20))
    yield SuppressionWriter(store)
    store.close()


@pytest.fixture
def control(writer: SuppressionWriter) -> Iterator[SuppressionControl]:
    made = SuppressionControl(writer, SuppressionRules(), lambda: NOW)
    yield made
    made.close()


def add(writer: SuppressionWriter, *entries: tuple[str, str]) -> None:
    writer.add([Entry(address, tenant, "", "manual", "", NOW) for address, tenant in entries])


async def pages(control: SuppressionControl, **params: Any) -> list[list[str]]:
    found: list[list[str]] = []
    after = ""
    while True:
        page = await control.handle("suppression.list", {**params, "after": after})
        found.append([f"{one['address']} {one['tenant']}" for one in page["entries"]])
        after = page["next"]
        if not after:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_pages_leave_out_nothing_and_repeat_nothing(
    control: SuppressionControl, writer: SuppressionWriter, limit: int
) -> None:
    everything = [(f"u{n}@{d}.example", t) for n in range(3) for d in "ab" for t in ("", "t", "s")]
    add(writer, *everything)
    got = [row for page in await pages(control, limit=limit) for row in page]
    assert sorted(got) == sorted(f"{address} {tenant}" for address, tenant in everything)
    assert len(set(got)) == len(got)
    mine = [row for page in await pages(control, limit=limit, tenant="t") for row in page]
    assert mine == sorted(f"{address} t" for address, tenant in everything if tenant == "t")


async def test_few_of_many_are_found_in_pages_of_their_own(
    control: SuppressionControl, writer: SuppressionWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_LOOKED_AT_MAX", 10)
    add(writer, *((f"u{number:03}@x.example", "s") for number in range(50)))
    add(writer, ("v@x.example", "t"))
    found = await pages(control, limit=5, tenant="t")
    assert len(found) > 2
    assert [row for page in found for row in page] == ["v@x.example t"]


async def test_an_entry_that_is_added_meanwhile_moves_no_page(
    control: SuppressionControl, writer: SuppressionWriter
) -> None:
    add(writer, ("a@x.example", ""), ("c@x.example", ""))
    page = await control.handle("suppression.list", {"limit": 1})
    add(writer, ("b@x.example", ""))
    page = await control.handle("suppression.list", {"limit": 5, "after": page["next"]})
    assert [one["address"] for one in page["entries"]] == ["b@x.example", "c@x.example"]


async def test_a_list_with_one_tenant_s_rows_alone(
    control: SuppressionControl, writer: SuppressionWriter, tmp_path: Path
) -> None:
    file = tmp_path / "rows"
    file.write_text("address,tenant\na@x.example,t\nb@x.example,s\nc@x.example,\n")
    asked = {"path": str(file), "form": "csv", "tenant": "t", "only": True, "who": "ann"}
    found = await control.handle("suppression.import", asked)
    assert (found["rows"], found["bad"], found["new"]) == (3, 2, 1)
    assert [one["line"] for one in found["problems"]] == [3, 4]
    assert [one.address for one in writer.store.walk()] == ["a@x.example"]
    (_, note), *_ = writer.notes(10)
    assert (note["action"], note["who"], note["tenant"]) == ("suppression import", "ann", "t")


async def test_what_was_left_of_an_import_goes(
    control: SuppressionControl, writer: SuppressionWriter, tmp_path: Path
) -> None:
    directory = Path(writer.store.directory)
    for name, age_s in (("upload-old", 90_000), ("upload-new", 60), ("other-old", 90_000)):
        (directory / name).touch()
        os.utime(directory / name, (NOW - age_s, NOW - age_s))
    file = tmp_path / "rows"
    file.write_text("a@x.example\n")
    await control.handle("suppression.import", {"path": str(file), "form": "csv"})
    left = set(os.listdir(directory))
    assert left >= {"upload-new", "other-old"}
    assert "upload-old" not in left


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("suppression.drop", {}, "unknown-method", "no such method: suppression.drop"),
    ("suppression.add", {"addresses": ["no"]}, "bad-value", "no"),
    ("suppression.add", {"addresses": []}, "bad-value", "addresses: 1 to 1000 of them"),
    ("suppression.add", {"addresses": ["a@b.example"] * 1001}, "bad-value", "1 to 1000"),
    ("suppression.add", {"addresses": ["a@b.example"], "scope": "x"}, "bad-value", "scope: 'x'"),
    ("suppression.lookup", {"address": "no"}, "bad-value", "no"),
    ("suppression.import", {"form": "xml", "path": "x"}, "bad-value", "form: csv or ndjson"),
]


@pytest.mark.parametrize(("method", "params", "code", "text"), REFUSED)
async def test_what_is_wrong_is_said(
    control: SuppressionControl, method: str, params: dict[str, Any], code: str, text: str
) -> None:
    with pytest.raises(ControlError) as refusal:
        await control.handle(method, params)
    assert refusal.value.code == code
    assert text in str(refusal.value)


async def test_a_full_list_says_so(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "small"), StoreConfig(map_bytes=1 << 20))
    control = SuppressionControl(SuppressionWriter(store), SuppressionRules(), lambda: NOW)

    async def fill() -> None:
        for number in range(100):
            addresses = [f"{'x' * 50}{number}-{n}@full.example" for n in range(1000)]
            await control.handle("suppression.add", {"addresses": addresses})

    try:
        with pytest.raises(ControlError, match="is full") as refusal:
            await fill()
        assert refusal.value.code == "full"
    finally:
        control.close()
        store.close()


async def test_questions_are_bounded_and_counted(
    control: SuppressionControl, writer: SuppressionWriter
) -> None:
    held = threading.Event()
    control._methods["suppression.list"] = (control._looking, lambda params: held.wait(10))
    asked = [
        asyncio.ensure_future(control.handle("suppression.list", {})) for _ in range(room.ASKED_MAX)
    ]
    await asyncio.sleep(0)
    assert control.asked == room.ASKED_MAX
    with pytest.raises(ControlError, match="too much is asked") as refusal:
        await control.handle("suppression.lookup", {"address": "a@b.example"})
    assert refusal.value.code == "unavailable"
    held.set()
    await asyncio.gather(*asked)
    assert control.asked == 0
