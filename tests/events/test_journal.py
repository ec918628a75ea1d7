"""The event log: what is written comes back, whole, once and in order, whatever happens between."""

import errno
import json
import os
import threading
import time

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.events.journals import EPOCH, Clock, config, journal, numbers, read_all, say
from zstandard import ZstdDecompressor

from penstock.events.journal import Journal
from penstock.events.reading import LogReader, Position, log_directories
from penstock.events.records import Admin, Rejected
from penstock.events.segments import FRAME_BYTES
from penstock_queue import RealDisk, SimDisk

DAY_S = 86_400.0


@pytest.fixture
def clock():
    return Clock()


def test_what_was_written_is_read_back(tmp_path, clock):
    log = journal(tmp_path / "00", clock)
    first = say(log, 1)
    clock.now += 0.25
    second = say(log, 2)
    log.flush()
    lines, position = LogReader(str(tmp_path / "00")).read(Position(0, 0))
    assert [json.loads(line) for line in lines] == [
        {"type": "admin", "id": first, "at": "2027-01-15T08:00:00.000Z"}
        | {"action": "count", "reason": "1"},
        {"type": "admin", "id": second, "at": "2027-01-15T08:00:00.250Z"}
        | {"action": "count", "reason": "2"},
    ]
    assert position == Position(1, sum(map(len, lines)) + 2)
    assert first != second
    assert len(second) <= 32


def test_ids_are_unique_over_runs(tmp_path, clock):
    found = set()
    for _ in range(3):
        log = journal(tmp_path / "00", clock)
        found |= {say(log, n) for n in range(100)}
        log.close()
    assert len(found) == 300


def test_an_event_may_be_told_again_under_its_id(tmp_path, clock):
    log = journal(tmp_path / "00", clock)
    assert log.write(Admin, id="again-1", action="x") == "again-1"


def test_segments_are_ended_by_size_and_packed(tmp_path, clock):
    log = journal(tmp_path / "00", clock)
    for number in range(100):
        say(log, number)
        log.flush()
        clock.now += 1.5  # the thread looks once a second
    names = sorted(os.listdir(tmp_path / "00"))
    assert sum(name.endswith(".zst") for name in names) > 3
    assert sum(name.endswith(".ndjson") for name in names) == 1
    lines, _ = read_all(LogReader(str(tmp_path / "00")))
    assert numbers(lines) == list(range(100))
    stats = log.stats()
    assert stats["segments"] == len(names) - 1  # and the lock
    assert stats["oldest_age_s"] == pytest.approx(150, abs=2)


def test_a_packed_segment_is_what_zstd_reads(tmp_path, clock):
    log = journal(tmp_path / "00", clock, segment_bytes=3 * FRAME_BYTES)
    for number in range(4 * FRAME_BYTES // 1000):
        log.write(Admin, action="x" * 900, reason=str(number))
        log.flush()
    clock.now += 2
    log.flush()
    [packed] = (tmp_path / "00").glob("*.zst")
    with packed.open("rb") as file:
        reader = ZstdDecompressor().stream_reader(file, read_across_frames=True)
        plain = reader.read()
    assert numbers(plain.splitlines()) == list(range(4 * FRAME_BYTES // 1000))


def test_a_segment_ends_by_its_age(tmp_path, clock):
    log = journal(tmp_path / "00", clock)
    say(log, 1)
    log.flush()
    clock.now += DAY_S
    log.flush()
    assert [path.name for path in tmp_path.glob("00/*.zst")] == ["00000001.ndjson.zst"]


def test_what_is_too_old_is_deleted_and_a_reader_told_how_much_it_missed(tmp_path, clock):
    log = journal(tmp_path / "00", clock, retention_s=10 * DAY_S)
    reader = LogReader(str(tmp_path / "00"))
    for day in range(15):
        say(log, day)
        log.flush()
        clock.now += DAY_S
        log.flush()
    first, position = reader.read(Position(3, 0), 1)
    assert numbers(first)[0] == 5
    assert reader.lost == 3
    assert numbers(first + read_all(reader, position)[0]) == list(range(5, 15))
    assert reader.start() == Position(6, 0)


def test_the_oldest_go_when_all_together_are_too_large(tmp_path, clock):
    log = journal(tmp_path / "00", clock, retention_bytes=3000)
    for number in range(500):
        say(log, number)
        log.flush()
        clock.now += 1.5
    assert log.stats()["log_bytes"] < 3000 + 2000
    found = numbers(read_all(LogReader(str(tmp_path / "00")))[0])
    assert found == list(range(found[0], 500))


def test_events_wait_while_the_disk_refuses_then_are_dropped_and_counted(clock):
    disk = SimDisk(1)
    log = journal("logs/00", clock, disk, buffer_bytes_max=2000)
    say(log, 0)
    log.flush()
    disk.capacity = 0
    with structlog.testing.capture_logs() as said:
        for number in range(1, 101):
            say(log, number)
            log.flush()
    stats = log.stats()
    assert 0 < stats["buffered_bytes"] <= 2000
    assert stats["dropped"] > 50
    assert stats["errors"]
    assert [one["event"] for one in said] == [
        "events cannot be written and wait",
        "events are dropped",
    ]
    with pytest.raises(OSError):
        log.sync()
    disk.capacity = None
    log.flush()
    kept = 101 - int(stats["dropped"])
    assert numbers(read_all(LogReader("logs/00", disk))[0]) == list(range(kept))
    assert log.stats()["buffered_bytes"] == 0


def test_a_directory_that_cannot_be_made_holds_nobody_up(clock):
    disk = SimDisk(1)
    disk.faults.update(dict.fromkeys(range(100), errno.EIO))
    log = journal("logs/00", clock, disk)
    say(log, 1)
    log.flush()
    disk.faults.clear()
    clock.now += 2
    log.flush()
    assert numbers(read_all(LogReader("logs/00", disk))[0]) == [1]


def test_a_second_writer_waits_until_the_first_has_gone(tmp_path, clock):
    first = journal(tmp_path / "00", clock)
    second = journal(tmp_path / "00", clock)
    say(second, 2)
    second.flush()
    say(first, 1)
    first.close()
    clock.now += 2
    second.flush()
    assert numbers(read_all(LogReader(str(tmp_path / "00")))[0]) == [1, 2]


def test_what_utf8_cannot_say_is_no_reason_to_fail(tmp_path, clock):
    log = journal(tmp_path / "00", clock)
    log.write(
        Rejected, client="::1", phase="mail", code=550, reply="bad \udcff", tags={"\ud800": "x"}
    )
    log.flush()
    [line], _ = LogReader(str(tmp_path / "00")).read(Position(0, 0))
    assert json.loads(line)["reply"] == "bad ?"


def test_sync_outlives_a_power_loss(clock):
    disk = SimDisk(3)
    log = journal("logs/00", clock, disk, sync_s=1e9)
    say(log, 1)
    log.sync()
    say(log, 2)
    log.flush()
    disk.crash(disk.rng)
    found = numbers(read_all(LogReader("logs/00", disk))[0])
    assert found[:1] == [1]


def test_lines_that_a_power_loss_spoilt_are_passed_over_and_counted(tmp_path, clock):
    log = journal(tmp_path / "00", clock, segment_bytes=1 << 20)
    for number in range(30):
        say(log, number)
    log.close()
    path = tmp_path / "00" / "00000001.ndjson"
    data = bytearray(path.read_bytes())
    data[512:1024] = bytes(512)
    path.write_bytes(data)
    reader = LogReader(str(tmp_path / "00"))
    found = numbers(read_all(reader)[0])
    assert found == sorted(found)
    assert len(found) + 8 >= 30 > len(found)
    assert reader.damaged


def test_logs_are_found_by_name(tmp_path, clock):
    assert log_directories(str(tmp_path)) == {}
    for name in ("01", "collector", "00"):
        journal(tmp_path / "events" / name, clock)
    (tmp_path / "events" / "a file").touch()
    assert list(log_directories(str(tmp_path))) == ["00", "01", "collector"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(1, 40)),
        st.tuples(st.just("flush"), st.floats(0, 3)),
        st.tuples(st.just("read"), st.integers(1, 3000)),
        st.tuples(st.just("close"), st.none()),
        st.tuples(st.just("crash"), st.floats(0, 1)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_whatever_happens_every_whole_line_comes_once_and_in_order(tmp_path_factory, steps):
    """A crash leaves the segment cut at any byte behind what a reader has seen."""
    clock, directory = Clock(), tmp_path_factory.mktemp("log")
    log, reader = journal(directory, clock), LogReader(str(directory))
    position, seen, said = Position(0, 0), [], 0
    for what, how in steps:
        if what == "say":
            for _ in range(how):
                say(log, said)
                said += 1
        elif what == "flush":
            clock.now += how
            log.flush()
        elif what == "read":
            lines, position = reader.read(position, how)
            seen += numbers(lines)
        elif what == "close":
            log.close()
            log = journal(directory, clock)
        else:
            log.flush()
            log._store._lock.close()  # as the end of its process would
            [active] = directory.glob(f"{log._store._number:08d}.ndjson")
            data = active.read_bytes()
            read = position.offset if position.segment == log._store._number else 0
            left = data[: read + int(how * (len(data) - read))]
            active.write_bytes(left)
            gone = data.count(b"\n") - left.count(b"\n")
            said -= gone
            log = journal(directory, clock)
    log.flush()
    rest, _ = read_all(reader, position, 700)
    seen += numbers(rest)
    assert seen == list(range(said))
    assert not reader.lost
    assert not reader.damaged
    assert numbers(read_all(LogReader(str(directory)))[0]) == seen
    log.close()


def test_a_reader_beyond_what_a_power_loss_left_misses_nothing(tmp_path, clock):
    log = journal(tmp_path / "00", clock)
    for number in range(5):
        say(log, number)
    log.flush()
    reader = LogReader(str(tmp_path / "00"))
    _, position = read_all(reader)
    log._store._lock.close()
    (tmp_path / "00" / "00000001.ndjson").write_bytes(b"")
    log = journal(tmp_path / "00", clock)
    for number in range(5, 8):
        say(log, number)
    log.flush()
    assert numbers(read_all(reader, position)[0]) == [5, 6, 7]


def test_the_time_of_events_finds_their_place(tmp_path, clock):
    log = journal(tmp_path / "00", clock)
    for number in range(200):
        say(log, number)
        log.flush()
        clock.now += 10
    reader = LogReader(str(tmp_path / "00"))
    for number in (0, 1, 17, 100, 198, 199):
        for shift in (0.0, -5.0):
            position = reader.at(EPOCH + 10 * number + shift)
            assert numbers(read_all(reader, position)[0])[0] == number
    assert reader.at(0.0) == reader.start()
    assert read_all(reader, reader.at(EPOCH + 1e6))[0] == []
    assert reader.read(reader.end())[0] == []


def test_reading_goes_on_while_the_file_is_packed_under_it(tmp_path, clock):
    log = journal(tmp_path / "00", clock, segment_bytes=400)
    reader, position, seen = LogReader(str(tmp_path / "00"), RealDisk()), Position(0, 0), []
    for number in range(60):
        say(log, number)
        log.flush()
        if number % 7 == 0:
            lines, position = reader.read(position, 250)
            seen += numbers(lines)
        clock.now += 1.5
    assert seen + numbers(read_all(reader, position)[0]) == list(range(60))


def test_threads_that_flush_lose_nothing_and_mix_nothing(tmp_path):
    """As in a worker: the loop makes events, committing threads flush, one more rotates."""
    log = Journal(str(tmp_path), config(1 << 24, segment_bytes=50_000, sync_s=0.01), time.time)
    log._keep_after = 0.0
    done = threading.Event()

    def commit():
        while not done.is_set():
            log.flush()

    threads = [threading.Thread(target=commit) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(20_000):
        say(log, number)
        if number % 100 == 0:
            log.flush()
            log._keep_after = 0.0  # at once, not in a second
    log.sync()
    done.set()
    for thread in threads:
        thread.join()
    log.close()
    assert log.stats()["buffered_bytes"] == log.dropped == log.errors == 0
    assert numbers(read_all(LogReader(str(tmp_path)))[0]) == list(range(20_000))
    assert list(tmp_path.glob("*.zst"))
