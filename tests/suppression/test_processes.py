"""Several processes and one list: what one changes the others see; killed, nothing is half done."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from penstock.suppression.entry import Entry
from penstock.suppression.store import (
    Store,
    StoreConfig,
    SuppressionError,
    SuppressionFull,
    Suppressions,
)
from penstock.suppression.writer import SuppressionWriter

OTHER = """
import sys
from penstock.suppression.entry import Entry
from penstock.suppression.store import Store, Suppressions
from penstock.suppression.writer import SuppressionWriter
store = Store(sys.argv[1])
writer, list_ = SuppressionWriter(store), Suppressions(store)
for line in sys.stdin:
    verb, address = line.split()
    if verb == "add":
        print(writer.add([Entry(address)]), flush=True)
    elif verb == "remove":
        print(writer.remove(address), flush=True)
    else:
        print(list_.find(address, "", "bulk", 0) is not None, flush=True)
"""
IMPORT = """
import io, itertools, sys
from penstock.suppression import transfer
from penstock.suppression.entry import Entry
from penstock.suppression.rows import Row
from penstock.suppression.store import Store
from penstock.suppression.writer import SuppressionWriter
transfer.TRANSACTION_KEYS = 500
rows = (Row(n, (Entry(f"a{n:06d}@b.example", "shop"),)) for n in range(200_000))
def told(progress):
    if progress.written:
        print(progress.written, flush=True)
transfer.import_rows(SuppressionWriter(Store(sys.argv[1])), rows, progress=told)
"""


class Other:
    """Another process that has the list open."""

    def __init__(self, directory: str, code: str = OTHER) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.heard()

    def heard(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __enter__(self) -> Other:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


@pytest.mark.parametrize("readonly", [True, False])
def test_changes_of_others_show_at_once(tmp_path: pathlib.Path, readonly: bool) -> None:
    store = Store(str(tmp_path), readonly=readonly)
    suppressions = Suppressions(store)
    assert suppressions.find("x@a.example", "", "bulk", 0) is None
    with Other(str(tmp_path)) as other:
        assert other.ask("add X@A.example") == "1"
        assert suppressions.find("x@a.example", "", "bulk", 0) is not None
        assert other.ask("remove x@a.example") == "1"
        assert suppressions.find("x@a.example", "", "bulk", 0) is None
    if not readonly:
        with Other(str(tmp_path)) as other:
            assert other.ask("find y@a.example") == "False"
            SuppressionWriter(store).add([Entry("y@a.example")])
            assert other.ask("find y@a.example") == "True"
    store.close()


def test_readers_open_it_while_a_writer_is_in_the_middle(tmp_path: pathlib.Path) -> None:
    """An import of an hour must not keep a worker from starting."""
    store = Store(str(tmp_path))
    with SuppressionWriter(store).change() as change:
        change.put(Entry("x@a.example"))
        code = OTHER.replace("Store(sys.argv[1])", "Store(sys.argv[1], readonly=True)")
        with Other(str(tmp_path), code) as other:
            assert other.ask("find x@a.example") == "False"
    store.close()


def test_a_killed_import_leaves_whole_transactions(tmp_path: pathlib.Path) -> None:
    with Other(str(tmp_path), IMPORT) as other:
        told = int(other.heard())
        other.process.send_signal(signal.SIGKILL)
        other.process.wait()
    assert [name for name in os.listdir(tmp_path) if not name.endswith(".mdb")] == []
    store = Store(str(tmp_path))
    found = [entry.address for entry in store.walk()]
    assert told <= len(found) < 200_000
    assert len(found) % 500 == 0
    assert found == [f"a{number:06d}@b.example" for number in range(len(found))]
    writer = SuppressionWriter(store)
    assert [one.entries for one in writer.count()] == [len(found)]
    assert writer.add([Entry("more@b.example")]) == 1  # the dead process's lock is nobody's
    store.close()


def test_a_full_map_is_a_clear_error_and_changes_nothing(tmp_path: pathlib.Path) -> None:
    store = Store(str(tmp_path), StoreConfig(map_bytes=1 << 20))
    writer, suppressions = SuppressionWriter(store), Suppressions(store)
    writer.add([Entry("first@a.example")])
    with pytest.raises(
        SuppressionFull, match=r"full at 1 MiB; nothing was changed: raise map_bytes"
    ):
        writer.add([Entry(f"a{number}@b.example", "shop") for number in range(50_000)])
    assert suppressions.find("first@a.example", "", "bulk", 0)
    assert suppressions.find("a1@b.example", "shop", "bulk", 0) is None
    assert [one.entries for one in writer.count()] == [1]
    assert writer.add([Entry("second@a.example")]) == 1
    usage = store.usage()
    assert usage.bytes <= usage.map_bytes == 1 << 20
    store.close()
    larger = Store(str(tmp_path), StoreConfig(map_bytes=64 << 20))
    SuppressionWriter(larger).add([Entry(f"a{n}@b.example", "shop") for n in range(50_000)])
    larger.close()


def test_another_process_with_a_larger_map(tmp_path: pathlib.Path) -> None:
    """As after a restart of the one and not yet of the other."""
    small = Store(str(tmp_path), StoreConfig(map_bytes=1 << 20))
    suppressions = Suppressions(small)
    assert suppressions.find("a7@b.example", "shop", "bulk", 0) is None
    code = IMPORT.replace("Store(sys.argv[1])", "Store(sys.argv[1], StoreConfig(64 << 20))")
    code = code.replace("import Store\n", "import Store, StoreConfig\n").replace(
        "200_000", "20_000"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, stdout=subprocess.PIPE)
    assert suppressions.find("a000007@b.example", "shop", "bulk", 0)
    assert len(suppressions.lookup("a019999@b.example")) == 1
    small.close()


def test_a_reader_pins_no_pages(tmp_path: pathlib.Path) -> None:
    """Pages that a change has freed are used again although somebody reads all the time."""
    store = Store(str(tmp_path), StoreConfig(map_bytes=1 << 20))
    with Other(str(tmp_path)) as other:
        writer = SuppressionWriter(store)
        for number in range(300):
            writer.add([Entry("x@a.example", cause=str(number))])
            if number % 50 == 0:
                assert other.ask("find x@a.example") == "True"
        assert store.usage().bytes < 200_000
    store.close()


def test_what_cannot_be_opened_says_why(tmp_path: pathlib.Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"no database" * 1000)
    with pytest.raises(SuppressionError, match=str(tmp_path)):
        Store(str(tmp_path))
    with pytest.raises(SuppressionError, match=str(tmp_path)):
        Store(str(tmp_path), readonly=True)


@pytest.mark.slow
def test_a_look_up_is_a_matter_of_microseconds(tmp_path: pathlib.Path) -> None:
    """A tenth of the bound would be slow; what it is, says bench/suppression.py."""
    store = Store(str(tmp_path))
    SuppressionWriter(store).add([Entry(f"a{number}@b.example") for number in range(10_000)])
    suppressions, times = Suppressions(store), []
    for number in range(0, 20_000, 7):
        began = time.perf_counter()
        suppressions.find(f"a{number}@b.example", "shop", "bulk", 0)
        times.append(time.perf_counter() - began)
    assert sorted(times)[len(times) // 2] < 50e-6
    store.close()
