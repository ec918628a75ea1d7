"""Finding how a message came in, by the number of any of its recipients."""

import pytest
from tests.events.journals import Clock, journal, say

from penstock.events.reading import LogReader
from penstock.mail.envelope import Envelope, Recipient


def envelope(ref, recipients):
    people = [Recipient(f"r{n}@example.com") for n in range(recipients)]
    return Envelope("s@example.com", people, 0.0, ref, "shop", class_="bulk", pool="news")


@pytest.fixture
def log(tmp_path):
    """Messages at 10, 20, ... 20000 of 1 to 3 recipients, over many segments, some with none."""
    clock = Clock()
    log = journal(tmp_path, clock, buffer_bytes_max=1 << 24, segment_bytes=700_000)
    for number in range(1, 2001):
        log.accepted([(envelope(number * 10, number % 3 + 1), 1000)])
        if number % 500 == 0:
            for n in range(9000):
                say(log, n)
            log.flush()
        if number % 50 == 0:
            clock.now += 1.5
            log.flush()
    return log


def test_it_is_found_by_any_recipient_and_by_no_other(tmp_path, log):
    reader = LogReader(str(tmp_path))
    assert len(list(tmp_path.glob("*.zst"))) > 2
    for number in (1, 2, 3, 499, 500, 501, 777, 1500, 1501, 1999, 2000):
        for index in range(number % 3 + 1):
            found = reader.accepted(number * 10 + index)
            assert found is not None
            assert found.message == envelope(number * 10, 1).id
            assert len(found.recipients) == number % 3 + 1
        assert reader.accepted(number * 10 + number % 3 + 1) is None
    assert reader.accepted(5) is None
    assert reader.accepted(30_000) is None
    assert (found.tenant, found.class_, found.pool, found.size) == ("shop", "bulk", "news", 1000)


def test_what_is_accepted_now_is_found_now(tmp_path, log):
    reader = LogReader(str(tmp_path))
    for ref in range(30_000, 30_020):
        assert reader.accepted(ref) is None
        log.accepted([(envelope(ref, 1), 1)])
        log.flush()
        assert reader.accepted(ref).message == envelope(ref, 1).id


def test_the_newest_is_known(tmp_path, log):
    assert LogReader(str(tmp_path)).last_accepted() == 20_000
    for number in range(9000):
        say(log, number)
    log.flush()
    assert log.last_accepted() == 20_000
    log.accepted([(envelope(30_000, 2), 1), (envelope(30_002, 1), 1)])
    log.flush()
    assert log.last_accepted() == 30_002


def test_a_log_with_nothing_in_it_finds_nothing(tmp_path):
    assert LogReader(str(tmp_path / "none")).accepted(1) is None
    assert LogReader(str(tmp_path / "none")).last_accepted() == -1
