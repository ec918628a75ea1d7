"""One set of rules for the real disk and the simulated one."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from penstock_queue import Disk, PowerCut, QueueLocked, RealDisk, SimDisk
from penstock_queue.disk import IOV_MAX


@pytest.fixture(params=["real", "sim"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Disk, str]:
    disk: Disk = RealDisk() if request.param == "real" else SimDisk()
    directory = str(tmp_path / "a" / "b")
    disk.make_directory(directory)
    return disk, directory


def test_bytes_come_back_as_they_were_written(place: tuple[Disk, str]) -> None:
    disk, directory = place
    file = disk.create(f"{directory}/f")
    file.write([b"abc", b"", b"def"], 0)
    file.write([b"X"], 4)
    file.sync()
    assert file.read(0, 100) == b"abcdXf"
    assert file.read(2, 2) == b"cd"
    assert file.size() == 6
    file.truncate(3)
    assert file.read(0, 100) == b"abc"
    file.close()
    again = disk.open(f"{directory}/f", write=True)
    again.write([b"Z"], 5)
    assert again.read(0, 100) == b"abc\0\0Z"
    again.close()


def test_room_made_ahead_is_zeros(place: tuple[Disk, str]) -> None:
    disk, directory = place
    file = disk.create(f"{directory}/f")
    file.write([b"abc"], 0)
    file.allocate(10_000)
    assert file.size() == 10_000
    assert file.read(0, 20_000) == b"abc" + bytes(9_997)
    file.write([b"def"], 3)
    file.truncate(6)
    assert file.read(0, 100) == b"abcdef"
    file.close()


def test_more_buffers_than_one_call_takes(place: tuple[Disk, str]) -> None:
    disk, directory = place
    file = disk.create(f"{directory}/f")
    parts = [b"%d," % i for i in range(2 * IOV_MAX + 5)]
    file.write(parts, 7)
    assert file.read(7, 1 << 20) == b"".join(parts)
    file.close()


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RealDisk().create(str(tmp_path / "f"))
    whole, single = os.pwritev, os.pwrite
    monkeypatch.setattr(os, "pwritev", lambda fd, parts, at: whole(fd, [parts[0][:2]], at))
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: single(fd, data[:3], at))
    file.write([b"abcdef", b"ghij"], 0)
    assert file.read(0, 100) == b"abcdefghij"
    file.close()


def test_a_short_read_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RealDisk().create(str(tmp_path / "f"))
    file.write([b"abcdef"], 0)
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: read(fd, min(size, 2), at))
    assert file.read(1, 100) == b"bcdef"
    file.close()


def test_names(place: tuple[Disk, str]) -> None:
    disk, directory = place
    for name in ("one", "two"):
        disk.create(f"{directory}/{name}").close()
    with pytest.raises(FileExistsError):
        disk.create(f"{directory}/one")
    disk.rename(f"{directory}/one", f"{directory}/three")
    disk.delete(f"{directory}/two")
    disk.sync_directory(directory)
    assert disk.list(directory) == ["three"]
    for call in (disk.open, disk.delete):
        with pytest.raises(FileNotFoundError):
            call(f"{directory}/two")


def test_a_lock_is_for_one(place: tuple[Disk, str]) -> None:
    disk, directory = place
    lock = disk.lock(f"{directory}/lock")
    with pytest.raises(QueueLocked):
        disk.lock(f"{directory}/lock")
    lock.close()
    disk.lock(f"{directory}/lock").close()


def test_a_map_keeps_what_is_stored(place: tuple[Disk, str]) -> None:
    disk, directory = place
    first = disk.map(f"{directory}/m", 16)
    assert bytes(first.view) == bytes(16)
    first.view[3] = 9
    first.close()
    second = disk.map(f"{directory}/m", 8)
    assert len(second.view) == 16
    assert second.view[3] == 9
    second.close()


def test_room_and_tokens(place: tuple[Disk, str]) -> None:
    disk, directory = place
    space = disk.free(directory)
    assert space.bytes > 0
    assert space.inodes > 0 or space.inodes == -1
    assert len(disk.token()) == 8
    assert disk.token() != disk.token()


# What only the simulated one can show


def test_synced_bytes_survive_and_others_may() -> None:
    seen = set()
    for seed in range(60):
        disk = SimDisk()
        file = disk.create("d/f")
        disk.sync_directory("d")
        file.write([b"sure"], 0)
        file.sync()
        file.write([b"maybe"], 4)
        disk.crash(random.Random(seed))
        content = disk.open("d/f").read(0, 100)
        assert content.startswith(b"sure")
        seen.add(content)
    assert {b"sure", b"suremaybe"} < seen
    assert len(seen) > 2


def test_a_name_that_was_not_synced_may_be_lost_with_its_content() -> None:
    outcomes = set()
    for seed in range(20):
        disk = SimDisk()
        file = disk.create("d/f")
        file.write([b"x"], 0)
        file.sync()
        disk.crash(random.Random(seed))
        outcomes.add(tuple(disk.list("d")))
    assert outcomes == {(), ("f",)}


def test_after_a_failed_sync_a_later_one_brings_nothing_back() -> None:
    outcomes = set()
    for seed in range(30):
        disk = SimDisk(seed)
        file = disk.create("d/f")
        disk.sync_directory("d")
        file.write([b"abc"], 0)
        disk.failing["sync"] = errno.EIO
        with pytest.raises(OSError, match="Input/output"):
            file.sync()
        disk.failing.clear()
        file.sync()
        assert file.read(0, 10) == b"abc"
        disk.crash(random.Random(seed))
        outcomes.add(disk.open("d/f").read(0, 10))
    assert b"" in outcomes
    assert b"abc" in outcomes


def test_a_full_disk_takes_what_fits() -> None:
    disk = SimDisk()
    disk.capacity = 10
    file = disk.create("d/f")
    file.write([b"12345678"], 0)
    with pytest.raises(OSError, match="No space"):
        file.write([b"abcd"], 8)
    assert file.read(0, 100) == b"12345678ab"
    assert disk.free("d").bytes == 0


def test_after_the_power_cut_nothing_works() -> None:
    disk = SimDisk()
    disk.cut_at = 2
    disk.create("d/f")
    with pytest.raises(PowerCut):
        disk.create("d/g")
    with pytest.raises(PowerCut):
        disk.open("d/f")
    disk.crash(random.Random(1))
    disk.list("d")
    disk.create("d/h")
