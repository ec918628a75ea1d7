"""``penstock spool`` on a real queue: every record, every shard, nothing changed."""

from __future__ import annotations

import json

import pytest

from penstock_queue import FormatTooNew, NewEntry, Queue, QueueConfig, RealDisk


def filled(directory, count: int) -> None:
    directory.mkdir(parents=True)
    queue = Queue.open(str(directory), QueueConfig(), disk=RealDisk(), now=1000.0)
    for _ in range(count):
        seq = queue.reserve(1, 1000.0)
        queue.append(seq, b"meta", [b"Subject: secret\r\n"], [NewEntry(b"key", 0.0, 9e9, b"to")])
        batch = queue.begin_commit()
        assert batch is not None
        batch.run()
        queue.end_commit(batch)
    queue.close()


def segment_of(directory):
    (found,) = (path for path in directory.iterdir() if b"Subject" in path.read_bytes())
    return found


@pytest.fixture
def spool(here):
    filled(here / "spool" / "shard-00", 3)
    filled(here / "spool" / "shard-01", 2)
    return here / "spool"


def test_check(penstock, spool):
    result = penstock("spool", "check")
    assert result.exit_code == 0
    assert f"{spool}/shard-00: good" in result.stdout
    assert "live: 3 recipients of 3 messages" in result.stdout
    assert "live: 2 recipients of 2 messages" in result.stdout


def test_check_by_directory(penstock, spool, here):
    for given, count in (("spool", 2), ("spool/shard-01", 1)):
        assert penstock("spool", "check", given).stdout.count(": good") == count


def test_check_finds_damage(penstock, spool):
    segment = segment_of(spool / "shard-00")
    data = bytearray(segment.read_bytes())
    at = data.index(b"Subject")
    data[at] ^= 0xFF
    segment.write_bytes(bytes(data) + b"\0" * 7)
    (spool / "shard-00" / "notes.txt").write_text("what is this?")
    result = penstock("spool", "check")
    assert result.exit_code == 1
    assert f"{spool}/shard-00: DAMAGED" in result.stdout
    assert "damaged, the next start sets it aside" in result.stdout
    assert "not ours: notes.txt" in result.stdout
    assert f"{spool}/shard-01: good" in result.stdout


def test_dump(penstock, spool):
    result = penstock("spool", "dump")
    assert result.exit_code == 0
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert {record["shard"] for record in records} == {"shard-00", "shard-01"}
    assert "secret" not in result.stdout
    assert "secret" in penstock("spool", "dump", "--bodies").stdout


def test_a_spool_in_use(penstock, spool):
    queue = Queue.open(str(spool / "shard-00"), QueueConfig(), disk=RealDisk(), now=2000.0)
    try:
        for verb in ("check", "dump"):
            result = penstock("spool", verb)
            assert result.exit_code == 1
            assert "a daemon has it open" in result.stderr
    finally:
        queue.close()


def test_no_spool(penstock, here):
    assert "no such directory" in penstock("spool", "check").stderr
    (here / "spool").mkdir()
    assert "no shards" in penstock("spool", "check").stderr
    assert penstock("spool", "check", "spool").exit_code in (0, 1)


def test_a_newer_format_is_refused(penstock, spool):
    def newer(*_arguments):
        raise FormatTooNew("segment", 9, 1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("penstock_queue.check", newer)
        result = penstock("spool", "check")
    assert result.exit_code == 1
    assert "9" in result.stderr
    assert result.stderr.count("\n") == 1
