"""Every bound, and the code that says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penstock.intake.config import ListenerConfig

Run = Callable[..., Any]
OPEN = "MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA"


async def test_message_size(connect: Run, sink: Any) -> None:
    line = connect(message_bytes_max=1000)
    await line.greet()
    assert (await line.ask("MAIL FROM:<a@b> SIZE=1001"))[0].startswith("552 5.3.4")
    await line.ask(OPEN)
    assert (await line.ask("x: " + "y" * 500 + "\n" + "z" * 500 + "\n."))[0].startswith("552 5.3.4")
    assert line.shared.receiving == 0
    await line.ask(OPEN)
    assert (await line.ask("x: " + "y" * 500 + "\n."))[0].startswith("250 2.6.0")


@pytest.mark.parametrize("command", ["DATA", "BDAT 100000", "BDAT 999999999999999999 LAST"])
async def test_nobody_is_listened_to_for_ever(connect: Run, command: str) -> None:
    line = connect(message_bytes_max=1000)
    await line.greet()
    await line.ask("MAIL FROM:<a@b>\nRCPT TO:<c@d>\n" + command)
    for _ in range(30):
        line.send(b"x" * 1000)
    await line.said()
    assert b"552 5.3.4" in line.transport.out
    assert line.transport.closed


async def test_a_chunk_over_the_limit_is_dropped_and_the_rest_refused(connect: Run) -> None:
    line = connect(message_bytes_max=100)
    await line.greet()
    await line.ask("MAIL FROM:<a@b>\nRCPT TO:<c@d>")
    line.send(b"BDAT 101\r\n" + b"x" * 101 + b"BDAT 5 LAST\r\nNOOP!" + b"NOOP\r\n")
    assert [said[:9] for said in await line.said(3)] == ["552 5.3.4", "503 5.5.1", "250 2.0.0"]


async def test_recipients(connect: Run, sink: Any) -> None:
    line = connect(recipients_max=2)
    await line.greet()
    said = await line.ask("MAIL FROM:<a@b>\n" + "RCPT TO:<c@d>\n" * 3 + "NOOP")
    assert [row[:9] for row in said[1:4]] == ["250 2.1.5", "250 2.1.5", "452 4.5.3"]


@pytest.mark.parametrize(
    ("line_bytes", "reply"),
    [
        (b"NOOP " + b"x" * 505 + b"\r\n", "250 2.0.0"),
        (b"NOOP " + b"x" * 506 + b"\r\n", "500 5.5.2"),
        (b"EHLO " + b"x" * 3000 + b"\r\n", "500 5.5.2"),
        (b"MAIL FROM:<a@b> ENVID=" + b"x" * 2030 + b"\r\n", "500 5.5.2"),
        (b"MAIL FROM:<a@b> ENVID=" + b"x" * 1000 + b"\r\n", "501 5.5.4"),
        (b"x" * 100_000 + b"\r\n", "500 5.5.2"),
    ],
)
async def test_line_length(connect: Run, converse: Run, line_bytes: bytes, reply: str) -> None:
    line = connect()
    await line.greet()
    step = 1 if len(line_bytes) < 4000 else 997
    for start in range(0, len(line_bytes), step):
        line.send(line_bytes[start : start + step])
        assert len(line.session._buffer) <= 2048
    assert [said[:9] for said in await line.said(1)] == [reply]
    assert (await line.ask("NOOP")) == ["250 2.0.0 Ok"]


async def test_errors(connect: Run, observer: Any) -> None:
    line = connect(errors_max=3)
    await line.greet()
    await line.ask("FOO\nFOO")
    await line.ask(OPEN + "\n.")
    assert not line.transport.closed
    said = await line.ask("FOO\nRCPT TO:<a@b>\nFOO\nNOOP")  # the count began again
    assert [row[:9] for row in said] == ["500 5.5.1", "503 5.5.1", "500 5.5.1", "421 4.7.0"]
    assert line.transport.closed
    assert observer.of("close")[-1] == ("close", "127.0.0.1", "errors")


async def test_messages_per_session(connect: Run) -> None:
    line = connect(messages_max=1)
    await line.greet()
    await line.ask(OPEN + "\n.")
    assert (await line.ask("MAIL FROM:<a@b>"))[0].startswith("421 4.7.0")
    assert line.transport.closed


async def test_connections(connect: Run, observer: Any) -> None:
    first = connect(connections_max=2)
    second = connect()
    third = connect()
    assert (await third.said(1))[0].startswith("421 4.7.0 Too many connections")
    assert third.transport.closed
    second.session.connection_lost(None)
    assert (await connect().said(1))[0].startswith("220")
    assert (await first.said(1))[0].startswith("220")
    assert first.shared.refused == 1


async def test_connections_per_client(connect: Run) -> None:
    first = connect("2001:db8::1", connections_per_client_max=1)
    assert (await first.said(1))[0].startswith("220")
    same_network = connect("2001:db8::2")
    assert (await same_network.said(1))[0].startswith("421 4.7.0 Too many connections from you")
    assert (await connect("2001:db8:0:1::1").said(1))[0].startswith("220")
    assert (await connect("192.0.2.1").said(1))[0].startswith("220")
    first.session.connection_lost(None)
    assert (await connect("::ffff:192.0.2.1").said(1))[0].startswith("421")
    assert (await connect("2001:db8::2").said(1))[0].startswith("220")


async def test_unfinished_messages_of_all_sessions(connect: Run, sink: Any) -> None:
    line, other = connect(receiving_bytes_max=50_000), connect()
    for each in (line, other):
        await each.greet()
        await each.ask(OPEN)
    for _ in range(40):
        line.send(b"x" * 998 + b"\r\n")
        other.send(b"x" * 998 + b"\r\n")
    assert 0 < line.shared.receiving <= 50_000
    said = [(await each.ask("."))[0][:9] for each in (line, other)]
    assert sorted(said) == ["250 2.6.0", "452 4.3.1"]
    assert line.shared.receiving == 0
    assert len(sink.messages) == 1


async def test_held_bytes_are_given_back(connect: Run) -> None:
    line = connect()
    await line.greet()
    chunk = b"BDAT 40000\r\n" + b"x" * 40_000
    await line.ask("MAIL FROM:<a@b>\nRCPT TO:<c@d>")
    line.send(chunk)
    assert line.shared.receiving == 40_000
    await line.ask("RSET")
    assert line.shared.receiving == 0
    await line.ask("MAIL FROM:<a@b>\nRCPT TO:<c@d>")
    line.send(chunk)
    await line.ask("EHLO again")
    assert line.shared.receiving == 0
    await line.ask("MAIL FROM:<a@b>\nRCPT TO:<c@d>")
    line.send(chunk)
    line.session.connection_lost(None)
    assert line.shared.receiving == 0


async def test_a_client_that_does_not_read_is_not_read(connect: Run) -> None:
    line = connect(room=5000)
    await line.greet()
    line.send(b"NOOP\r\n" * 20_000)
    assert not line.transport.reading
    assert len(line.transport.out) < 20_000
    for _ in range(200):
        line.session.resume_writing()
    assert line.transport.reading
    assert line.transport.out.count(b"250 2.0.0 Ok\r\n") == 20_000


@pytest.mark.parametrize(
    "bad",
    [
        {"recipients_max": 0},
        {"sweep_s": 0.0},
        {"tls": "implicit"},
        {"relay_from": ("10.0.0.1/8",)},
        {"message_bytes_max": 0},
    ],
)
def test_senseless_settings(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        ListenerConfig(**bad)


async def test_the_last_word_is_said_once(connect: Run, observer: Any) -> None:
    """Where the last error permitted is also one after which nobody knows what is a command."""
    line = connect(errors_max=2)
    await line.greet()
    assert len(await line.ask("BOO")) == 1
    said = await line.ask("BDAT many\nNOOP")
    assert [row[:9] for row in said] == ["501 5.5.4", "421 4.7.0"]
    assert line.transport.closed
    assert observer.of("close") == [("close", "127.0.0.1", "errors")]
