"""Ordinary records: one format for ours and the libraries', no secrets, no content, one line."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from penstock.events import log
from penstock.events.types import Accepted, Expired, Rejected, Steered


@pytest.fixture(autouse=True)
def _restored():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in log._QUIET}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, number in levels.items():
        logging.getLogger(name).setLevel(number)
    structlog.reset_defaults()


def configured(format: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    log.configure(format, level, stream)
    return stream


def test_key_value_for_people():
    stream = configured("console")
    structlog.get_logger().info("intake open", listen="127.0.0.1:2525", workers=2, note="a b")
    line = stream.getvalue()
    assert line.startswith("ts=20")
    assert line.endswith(
        'level=info event="intake open" listen=127.0.0.1:2525 workers=2 note="a b"\n'
    )


def test_json_for_machines():
    stream = configured("json")
    structlog.get_logger().warning("disk short", free_bytes=12, path=io.StringIO)
    record = json.loads(stream.getvalue())
    assert record["event"] == "disk short"
    assert record["level"] == "warning"
    assert record["free_bytes"] == 12
    assert "StringIO" in record["path"]


@pytest.mark.parametrize("format", ["console", "json"])
def test_secrets_and_content_do_not_reach_the_log(format):
    stream = configured(format)
    structlog.get_logger().info(
        "auth",
        password="hunter2",
        api_key="hunter3",
        Authorization="Basic hunter4",
        body="Dear hunter5",
        chunk=b"hunter6",
        content=7,
        user="ann",
    )
    text = stream.getvalue()
    assert "hunter" not in text
    assert "[redacted]" in text
    assert "[12 bytes]" in text
    assert "ann" in text


@pytest.mark.parametrize("format", ["console", "json"])
def test_a_hostile_value_stays_on_its_line(format):
    stream = configured(format)
    structlog.get_logger().info("greeting", name="evil\r\nts=1 level=error event=fake\x1b[2J\u202e")
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text[:-1].isprintable()


def test_levels_filter_and_libraries_use_the_same_pipe():
    stream = configured("console", "warning")
    structlog.get_logger().info("quiet")
    logging.getLogger("some.library").warning("from %s", "below")
    logging.getLogger("some.library").info("not this")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert 'level=warning event="from below"' in lines[0]


def test_chatty_libraries_are_heard_from_warnings_on():
    stream = configured("console", "debug")
    logging.getLogger("mail.log").info("every command of every session")
    logging.getLogger("mail.log").warning("trouble")
    assert "every command" not in stream.getvalue()
    assert "trouble" in stream.getvalue()


@pytest.mark.parametrize("format", ["console", "json"])
def test_a_traceback_is_one_line(format):
    stream = configured(format)
    try:
        raise RuntimeError("broken\nin two")
    except RuntimeError:
        structlog.get_logger().exception("task failed")
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert "RuntimeError" in text


def test_events_are_told_with_their_fields():
    stream = configured("json", "debug")
    log.tell(Accepted(1.0, "0a", "s@e.com", 1, 99, "127.0.0.1", "", ""))
    log.tell(Rejected(2.0, "192.0.2.9", "rcpt", 550, "5.7.1 relaying denied"))
    log.tell(Expired(3.0, "0b", "r@e.net", "s@e.com", "gmail", 4, 9.0, "421 later"))
    log.tell(Steered(4.0, "suspend", (("provider", "gmail"),), 12, "ann", "blocked"))
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [record["event"] for record in records] == [
        "accepted",
        "rejected",
        "expired",
        "steered",
    ]
    assert records[0]["level"] == "debug"
    assert records[1]["code"] == 550
    assert records[3]["selector"] == "provider=gmail"
