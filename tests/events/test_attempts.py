"""One attempt, one line: whatever the remote host says, and however slow the log's reader is."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.events.attempts import AttemptLog, AttemptLogConfig, parse
from penstock.events.writer import PIPE_BYTES, Writer
from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.mail.verdict import Category, verdict_of
from penstock.smtp.reply import Reply

ANY_TEXT = st.text(st.characters(), max_size=60)  # surrogates and controls among them


class Sink:
    def __init__(self, room: int = 1 << 30) -> None:
        self.data = b""
        self.room = room

    def write(self, data: bytes) -> int:
        taken = data[: self.room]
        self.room -= len(taken)
        self.data += taken
        return len(taken)

    def lines(self) -> list[str]:
        return self.data.decode().splitlines()


def written(format, attempt) -> str:
    sink = Sink()
    log = AttemptLog(sink.write, AttemptLogConfig(format=format))
    log.add(attempt)
    assert log.flush()
    (line,) = sink.lines()
    return line


def test_the_line_for_people(attempt):
    reply = Reply(450, ("4.2.1 The user is receiving", "4.2.1 mail too quickly"))
    assert written("console", attempt(reply)) == (
        "ts=2023-11-14T22:13:20.250Z event=attempt id=0abc recipient=ann@example.net "
        "sender=news@example.com tenant=t1 campaign=spring provider=generic source=s1 "
        "site=mx.example.net host=mx.example.net address=192.0.2.1 tls=TLSv1.3 phase=rcpt "
        'kind=deferred code=450 enhanced=4.2.1 reply="The user is receiving mail too quickly" '
        "attempt=2 age_s=61.500 duration_s=0.125"
    )


def test_the_line_for_machines(attempt):
    line = written("json", attempt(Reply.of(250, "Queued"), sender=""))
    assert json.loads(line) == {
        "ts": "2023-11-14T22:13:20.250Z",
        "event": "attempt",
        "id": "0abc",
        "recipient": "ann@example.net",
        "sender": "",
        "tenant": "t1",
        "campaign": "spring",
        "provider": "generic",
        "source": "s1",
        "site": "mx.example.net",
        "host": "mx.example.net",
        "address": "192.0.2.1",
        "tls": "TLSv1.3",
        "phase": "rcpt",
        "kind": "deferred",
        "code": 250,
        "enhanced": "",
        "reply": "Queued",
        "attempt": 2,
        "age_s": 61.5,
        "duration_s": 0.125,
    }


@pytest.mark.parametrize("format", ["console", "json"])
def test_no_reply_makes_a_second_line_or_moves_a_terminal(format, attempt):
    @given(
        lines=st.lists(ANY_TEXT, min_size=1, max_size=4),
        recipient=ANY_TEXT,
        sender=ANY_TEXT,
        tenant=ANY_TEXT,
        host=ANY_TEXT,
    )
    def check(lines, recipient, sender, tenant, host):
        outcome = Outcome(Kind.BOUNCED, Phase.FINAL, Reply(550, tuple(lines)), host)
        line = written(
            format,
            attempt(outcome=outcome, recipient=recipient, sender=sender, tenant=tenant),
        )
        assert line.isprintable()
        fields = parse(line)
        assert fields is not None
        assert _same(fields["recipient"], recipient)
        assert _same(fields["sender"], sender)
        assert _same(fields["tenant"], tenant)
        assert _same(fields["host"], host)
        assert fields["kind"] == "bounced"
        assert fields["code"] == "550"

    check()


def _same(read: str, meant: str) -> bool:
    """Equal as UTF-16: two lone surrogates side by side are one character when read back."""
    return read.encode("utf-16", "surrogatepass") == meant.encode("utf-16", "surrogatepass")


@pytest.mark.parametrize("format", ["console", "json"])
def test_a_long_reply_is_cut(format, attempt):
    fields = parse(written(format, attempt(Reply.of(550, "5.7.1 " + "x" * 5000))))
    assert fields is not None
    assert fields["reply"] == "x" * 500
    assert fields["enhanced"] == "5.7.1"


@pytest.mark.parametrize(
    ("lines", "enhanced", "text"),
    [
        (("5.7.1 No such user!",), "5.7.1", "No such user!"),
        (("5.7.1",), "5.7.1", ""),
        (("5.7.1  two spaces",), "5.7.1", "two spaces"),
        (("5.7 not a code",), "", "5.7 not a code"),
        (("invalid mailbox.  Local",), "", "invalid mailbox.  Local"),
        (("4.7.0 [TS01] x", "4.7.0 y", "z"), "4.7.0", "[TS01] x y z"),
        (("first", "4.7.0 y"), "", "first y"),
        (("",), "", ""),
    ],
)
def test_the_enhanced_code_is_taken_from_the_text(lines, enhanced, text, attempt):
    fields = parse(written("json", attempt(Reply(550, lines))))
    assert fields is not None
    assert (fields["enhanced"], fields["reply"]) == (enhanced, text)


@pytest.mark.parametrize("line", ["", "{", "[1]", '{"event":"other"}', "ts=1 event=start", 'ts="x'])
def test_other_lines_are_not_attempts(line):
    assert parse(line) is None


def test_full_buffers_drop_and_count_and_recover(attempt):
    sink = Sink(room=0)
    dropped: list[int] = []
    config = AttemptLogConfig(flush_bytes=500, buffer_bytes_max=2000)
    log = AttemptLog(sink.write, config, dropped.append)
    for _ in range(20):
        log.add(attempt())
    assert not log.flush()
    assert 0 < sum(dropped) < 20
    assert log.stats()["dropped"] == sum(dropped)
    assert log.stats()["buffered_bytes"] <= 2000
    sink.room = 700
    assert not log.flush()
    sink.room = 1 << 20
    assert log.flush()
    assert len(sink.lines()) == 20 - sum(dropped)
    assert all(parse(line) for line in sink.lines())
    log.add(attempt())
    assert log.flush()
    assert len(sink.lines()) == 21 - sum(dropped)


def test_much_is_handed_over_without_waiting_for_the_flush(attempt):
    sink = Sink()
    log = AttemptLog(sink.write, AttemptLogConfig(flush_bytes=1000))
    for _ in range(10):
        log.add(attempt())
    assert sink.lines()


def test_what_is_remembered_is_bounded(attempt, monkeypatch):
    monkeypatch.setattr("penstock.events.attempts._REMEMBERED_MAX", 4)
    sink = Sink()
    log = AttemptLog(sink.write, AttemptLogConfig())
    for number in range(20):
        log.add(attempt(Reply.of(450, f"4.1.{number} x"), tenant=f"t{number}"))
    log.flush()
    assert [parse(line)["tenant"] for line in sink.lines()] == [f"t{n}" for n in range(20)]
    assert [parse(line)["enhanced"] for line in sink.lines()] == [f"4.1.{n}" for n in range(20)]
    assert len(log._remembered) <= 4
    assert len(log._codes) <= 4


def test_a_writer_does_not_wait_for_a_pipe_that_nobody_reads():
    reading, writing = os.pipe()
    try:
        writer = Writer(writing)
        line = b"x" * 999 + b"\n"
        data = line * 300
        taken = writer.write(data)
        assert 0 < taken < len(data)
        assert taken % len(line) == 0  # whole lines, none longer than an atomic write
        assert os.read(reading, 1 << 20) == data[:taken]
        assert writer.write(data[taken:]) > 0
    finally:
        os.close(reading)
        os.close(writing)


def test_a_line_longer_than_an_atomic_write_is_written_in_parts():
    reading, writing = os.pipe()
    try:
        data = b"y" * (PIPE_BYTES * 2) + b"\nshort\n"
        assert Writer(writing).write(data) == len(data)
        assert os.read(reading, 1 << 20) == data
    finally:
        os.close(reading)
        os.close(writing)


def test_a_reader_that_is_gone_takes_everything():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert Writer(writing).write(b"gone\n") == 5
    finally:
        os.close(writing)


def test_a_non_blocking_descriptor_keeps_the_rest():
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        writer = Writer(writing)
        writer._is_file = True  # no poll first, as for a file
        data = b"z" * (1 << 20)
        assert 0 < writer.write(data) < len(data)
    finally:
        os.close(reading)
        os.close(writing)


def test_files_take_everything(tmp_path):
    with open(tmp_path / "log", "wb") as file:
        data = (b"q" * 99 + b"\n") * 5000
        assert Writer(file.fileno()).write(data) == len(data)
    assert (tmp_path / "log").read_bytes() == data


def test_what_the_reply_says_stands_behind(attempt) -> None:
    verdict = verdict_of(Category.THROTTLED, "gmail/rate-ip")
    line = written("json", attempt(verdict=verdict))
    fields = json.loads(line)
    assert fields["category"] == "throttled"
    assert (fields["fault"], fields["rule"]) == ("sender", "gmail/rate-ip")
    plain = written("console", attempt(verdict=verdict_of(Category.UNKNOWN)))
    assert plain.endswith('category=unknown fault=none rule=""')
    found = parse(plain)
    assert found is not None
    assert (found["category"], found["rule"]) == ("unknown", "")
