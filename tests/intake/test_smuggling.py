"""One message stays one message, whatever is hidden in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]

END_VARIANTS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r.\r",
    b"\r\r\n.\r\r\n",
    b"\r\n\x00.\r\n",
    b"\r\n.\x00\r\n",
    b"\r\n.\r\x00\n",
    b"\r\x00\n.\r\n",
]
INNER = b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nspoofed\r\n"


@pytest.mark.parametrize("variant", END_VARIANTS)
@pytest.mark.parametrize("bytewise", [False, True])
async def test_a_message_in_a_message_is_refused(
    connect: Run, sink: Any, variant: bytes, bytewise: bool
) -> None:
    line = connect()
    await line.greet()
    await line.ask("MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA")
    line.send(b"Subject: x\r\n\r\nhello" + variant + INNER + b".\r\nNOOP\r\n", bytewise)
    said = await line.said(2)
    assert [row[:4] for row in said] == ["550 ", "250 "]
    assert said[0][4:10] in ("5.6.11", "5.6.0 ")
    assert sink.messages == []


@pytest.mark.parametrize("variant", END_VARIANTS[:7])
@pytest.mark.parametrize("bytewise", [False, True])
async def test_a_message_in_a_message_is_content_where_bare_newlines_are_accepted(
    connect: Run, sink: Any, variant: bytes, bytewise: bool
) -> None:
    line = connect(bare_newlines="accept")
    await line.greet()
    await line.ask("MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA")
    line.send(b"Subject: x\r\n\r\nhello" + variant + INNER + b".\r\nNOOP\r\n", bytewise)
    assert [row[:4] for row in await line.said(2)] == ["250 ", "250 "]
    (envelope, body), *others = sink.messages
    assert others == []
    assert envelope.sender == "a@b"
    assert b"spoofed\r\n" in body
    assert body.count(b"\r") == body.count(b"\n") == body.count(b"\r\n")
    assert b"\r\n.\r\n" not in body.replace(b"\r\n.\r\n\r\n", b"")


async def test_commands_in_a_chunk_are_content(connect: Run, sink: Any) -> None:
    line = connect()
    await line.greet()
    await line.ask("MAIL FROM:<a@b>\nRCPT TO:<c@d>")
    content = b"x: y\r\n\r\n.\r\n" + INNER + b".\r\n"
    line.send(b"BDAT %d LAST\r\n" % len(content) + content + b"NOOP\r\n")
    assert [row[:9] for row in await line.said(2)] == ["250 2.6.0", "250 2.0.0"]
    assert len(sink.messages) == 1
    assert sink.messages[0][1].endswith(content)
