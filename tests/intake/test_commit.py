"""250 only after the commit; order and bounds while it is awaited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penstock.intake.ports import Refused
from penstock.smtp.reply import Reply

Run = Callable[..., Any]
MESSAGE = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: x\r\n\r\nbody\r\n.\r\n"


async def test_no_reply_before_the_commit(connect: Run, sink: Any, observer: Any) -> None:
    sink.held = True
    line = connect()
    await line.greet()
    line.send(MESSAGE)
    assert len(await line.said(3)) == 3
    assert observer.of("accept") == []
    sink.commit()
    assert await line.said(1) == ["250 2.6.0 Message queued as 1"]
    assert observer.of("accept") == [("accept", "1", 20)]


async def test_replies_stay_in_order_behind_a_commit(connect: Run, sink: Any) -> None:
    sink.held = True
    line = connect()
    await line.greet()
    line.send(MESSAGE + b"NOOP\r\nMAIL FROM:<a@b>\r\nRCPT TO:")
    line.send(b"<x@y>\r\nDATA\r\n")
    assert len(await line.said(3)) == 3
    sink.commit()
    said = await line.said(5)
    assert [row[:9] for row in said] == [
        "250 2.6.0",
        "250 2.0.0",
        "250 2.1.0",
        "250 2.1.5",
        "354 End d",
    ]
    line.send(b"x: y\r\n.\r\n" + MESSAGE + b"QUIT\r\n")
    assert await line.said() == []
    sink.commit()
    assert len(await line.said(4)) == 4
    sink.commit()
    assert [row[:3] for row in await line.said(2)] == ["250", "221"]
    assert line.transport.closed
    assert len(sink.messages) == 3


async def test_what_is_read_ahead_is_bounded(connect: Run, sink: Any) -> None:
    sink.held = True
    line = connect(pipeline_bytes_max=100)
    await line.greet()
    line.send(MESSAGE)
    line.send(b"NOOP\r\n" * 10)
    assert line.transport.reading
    line.send(b"NOOP\r\n" * 10)
    assert not line.transport.reading
    sink.commit()
    assert len(await line.said(24)) == 24
    assert line.transport.reading


@pytest.mark.parametrize("when", ["error", "late_error"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Refused(Reply.of(452, "4.3.1 Disk is full")), "452 4.3.1 Disk is full"),
        (ValueError("bug"), "451 4.3.0 Local error, try again later"),
    ],
)
async def test_a_sink_that_fails(
    connect: Run, sink: Any, observer: Any, when: str, error: BaseException, said: str
) -> None:
    setattr(sink, when, error)
    line = connect()
    await line.greet()
    line.send(MESSAGE + b"NOOP\r\n")
    assert (await line.said(5))[3:] == [said, "250 2.0.0 Ok"]
    assert ("reject", said, "message") in observer.heard
    bugs = [("error", "ValueError", "message")] if isinstance(error, ValueError) else []
    assert observer.of("error") == bugs
    assert observer.of("accept") == []


async def test_a_commit_that_is_given_up(connect: Run, sink: Any) -> None:
    sink.held = True
    line = connect()
    await line.greet()
    line.send(MESSAGE)
    await line.said(3)
    sink.waiting[0].cancel()
    assert (await line.said(1))[0].startswith("451 4.3.0")


async def test_a_client_that_does_not_wait(connect: Run, sink: Any, observer: Any) -> None:
    sink.held = True
    line = connect()
    await line.greet()
    line.send(MESSAGE)
    line.session.connection_lost(None)
    sink.commit()
    await line.said()
    assert len(observer.of("accept")) == 1
    assert observer.of("close") == [("close", "127.0.0.1", "lost")]


async def test_a_client_that_closes_its_half_still_hears(connect: Run, sink: Any) -> None:
    sink.held = True
    line = connect()
    await line.greet()
    line.send(MESSAGE)
    assert line.session.eof_received() is True
    sink.commit()
    assert (await line.said(4))[-1].startswith("250 2.6.0")
    assert line.transport.closed
    assert connect().session.eof_received() is False


async def test_a_sink_that_is_closed(connect: Run, sink: Any) -> None:
    line = connect()
    await line.greet()
    sink.refused = Reply.of(452, "4.3.1 Disk is nearly full")
    assert await line.ask("MAIL FROM:<a@b>") == ["452 4.3.1 Disk is nearly full"]
    assert (await connect().said(1))[0].startswith("220")
    sink.refused = Reply.of(421, "4.3.2 Too much queued")
    assert await line.ask("MAIL FROM:<a@b>") == ["421 4.3.2 Too much queued"]
    assert line.transport.closed
    late = connect()
    assert await late.said(1) == ["421 4.3.2 Too much queued"]
    assert late.transport.closed
