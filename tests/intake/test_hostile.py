"""Whatever is sent, there is an answer or an end: no exception, and nothing kept beyond bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PIECES = [
    b"EHLO x\r\n",
    b"HELO x\r\n",
    b"MAIL FROM:<a@b>\r\n",
    b"MAIL FROM:<a@b> SMTPUTF8 BODY=8BITMIME\r\n",
    b"RCPT TO:<c@d>\r\n",
    b"RCPT TO:<\xc3\xa9@d> NOTIFY=NEVER\r\n",
    b"DATA\r\n",
    b"BDAT 5\r\n",
    b"BDAT 5 LAST\r\n",
    b"BDAT 50000\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"VRFY x\r\n",
    b"AUTH PLAIN\r\n",
    b"STARTTLS\r\n",
    b"QUIT",
    b"\r\n",
    b".\r\n",
    b"\r\n.\r\n",
    b"\n.\n",
    b"\0",
    b"\xff",
    b"subject: x\r\n\r\n",
    b"x" * 600,
    b"x-penstock-tenant: y\r\n",
]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150
)
@given(
    pieces=st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=6)), max_size=25),
    step=st.integers(1, 50),
    bare=st.sampled_from(["refuse", "accept"]),
)
def test_any_session(kit: Callable[..., Any], pieces: list[bytes], step: int, bare: str) -> None:
    data = b"".join(pieces)

    async def play() -> None:
        whole = await outcome(kit(**settings_of(bare)), data, len(data) or 1)
        assert await outcome(kit(**settings_of(bare)), data, step) == whole

    asyncio.run(play())


def settings_of(bare: str) -> dict[str, Any]:
    return {"bare_newlines": bare, "errors_max": 1000, "message_bytes_max": 40_000}


async def outcome(made: Any, data: bytes, step: int) -> tuple[bytes, list[bytes]]:
    """What was said and stored, the same however ``data`` is cut."""
    line, sink, observer = made
    await line.said(1)
    for start in range(0, len(data), step):
        line.send(data[start : start + step])
        assert len(line.session._buffer) <= 70_000
    await line.said()
    assert observer.of("error") == []
    for row in line.transport.out.split(b"\r\n")[:-1]:
        assert row[:3].isdigit()
        assert row[3:4] in (b" ", b"-")
    line.session.connection_lost(None)
    assert line.shared.receiving == 0
    assert len(line.shared.clients) == 0
    return line.transport.out, [body for _, body in sink.messages]
