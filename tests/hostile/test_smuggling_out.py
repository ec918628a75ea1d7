"""One message stays one message on its way out, too.

Whatever is stored, by whichever way it came, is given to a peer that takes every published variant
for the end of the content. It must see exactly one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest
from tests.fuzz.wire import Sink, play

from penstock.intake.config import ListenerConfig
from penstock.intake.ports import NoObserver
from penstock.intake.shared import Shared
from penstock.mail.dsn import Action, Fate, report
from penstock.mail.envelope import Envelope, Recipient
from penstock.mail.headers import body_offset
from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.relay.content import SLICE_BYTES, stuffed, stuffed_slices
from penstock.smtp.client_reply import ReplyParser
from penstock.smtp.reply import Reply

ENDS = [
    first + dot + last
    for first in (b"\r\n", b"\n", b"\r", b"\r\r\n", b"\r\0\n", b"\r\n\0")
    for dot in (b".", b".\0", b"\0.", b"..")
    for last in (b"\r\n", b"\n", b"\r", b"\r\0\n")
    if b"\r\n.\r\n" not in first + dot + last  # that is the end, by the standard
]
INNER = b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nspoofed\r\n"
_LENIENT_END = re.compile(rb"(?:\A|[\r\n])\.[\r\n]")


def messages_seen(wire: bytes) -> int:
    """How many ends of content a peer finds that drops NUL and ends a line at any CR or LF."""
    return len(_LENIENT_END.findall(wire.replace(b"\0", b"")))


def sent(chunks: Sequence[bytes]) -> bytes:
    """What goes out behind DATA, large and small content alike."""
    whole = stuffed(chunks)
    assert b"".join(stuffed_slices(chunks)) == whole
    assert b"".join(stuffed_slices(chunks, 7)) == whole
    return whole + b".\r\n"


async def taken(content: bytes, *, bare_newlines: str, chunked: bool) -> list[bytes]:
    """What a session stores of it; in chunks its dots need no stuffing."""
    config: Any = {"bare_newlines": bare_newlines, "line_bytes_max": 60_000}
    sink = Sink(late=False)
    shared = Shared(ListenerConfig(**config), sink, NoObserver(), asyncio.get_running_loop())
    start = b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"
    if chunked:
        half = len(content) // 2
        body = b"BDAT %d\r\n%bBDAT %d LAST\r\n%b" % (
            half,
            content[:half],
            len(content) - half,
            content[half:],
        )
    else:
        body = b"DATA\r\n" + content + b"\r\n.\r\n"
    await play(shared, "127.0.0.1", [start + body])
    return sink.messages


def test_the_peer_is_as_lenient_as_they_come() -> None:
    assert all(messages_seen(b"a" + end + b"b\r\n.\r\n") == 2 for end in ENDS if b".." not in end)
    assert messages_seen(b"a\r\n..\r\nb\r\n.\r\n") == 1


@pytest.mark.parametrize("chunked", [False, True], ids=["data", "bdat"])
@pytest.mark.parametrize("bare_newlines", ["refuse", "accept"])
async def test_no_variant_reaches_a_peer(bare_newlines: str, chunked: bool) -> None:
    places = [
        b"Subject: x\r\n\r\nhello%b" + INNER,
        b"Subject: x\r\nX-Penstock-Campaign: c%b" + INNER,  # where a field is cut out
        b"X-Penstock-Campaign: c\r\n%b" + INNER,
        b"Subject: x%b" + INNER,  # where the header ends by itself
        b"%b" + INNER,
    ]
    stored = []
    for end in ENDS:
        for place in places:
            stored += await taken(place % end, bare_newlines=bare_newlines, chunked=chunked)
    if bare_newlines == "accept":
        assert len(stored) > 100
    else:  # only with CRLF throughout: ".." in DATA, which is "." in the content, and in BDAT ".."
        assert len(stored) == len(places)
    for message in stored:
        assert messages_seen(sent([message])) == 1


@pytest.mark.parametrize("at", range(-8, 9))
async def test_where_large_content_is_cut(at: int) -> None:
    line = b"x" * 1022 + b"\r\n"
    start = line * (SLICE_BYTES // len(line))
    content = b"Subject: x\r\n\r\n" + start[: -300 - 14 + at] + b"\r\n.\r\n" + INNER + line * 80
    (message,) = await taken(content, bare_newlines="refuse", chunked=True)
    assert messages_seen(sent([message])) == 1
    halves = [message[: SLICE_BYTES + at], message[SLICE_BYTES + at :]]
    assert messages_seen(sent(halves)) == 1


@pytest.mark.parametrize("end", ENDS)
async def test_no_report_holds_one(end: bytes) -> None:
    """Neither from the message that it returns, nor from a reply, nor from what a client asked."""
    messages = [
        *await taken(b"Subject: x\r\n\r\na" + end + INNER, bare_newlines="accept", chunked=True),
        *await taken(b"Subject: a" + end + INNER, bare_newlines="accept", chunked=False),
        b"Subject: x\r\n\r\nhello\r\n.\r\n" + INNER,
    ]
    (reply,) = (
        reply
        for reply in ReplyParser().feed(b"550 5.1.1 no" + end.replace(b"\n", b"\r") + b"\r\n")
        if isinstance(reply, Reply)
    )
    outcome = Outcome(Kind.BOUNCED, Phase.RCPT, reply, "mx\r\n.\r\n.example", "192.0.2.1")
    recipient = Recipient("c@d.example", (), "rfc822;a+0D+0A.+0D+0Ab")
    for content in messages:
        for ret in ("FULL", "HDRS", ""):
            envelope = Envelope("a@b.example", [recipient], 0.0, ret=ret, envid="x+0D+0A.+0D+0Ay")
            fate = Fate(recipient, Action.FAILED, outcome, attempted_at=1.0)
            told = report(
                envelope,
                [fate],
                content,
                body_offset(content),
                id="1",
                hostname="mx.example",
                now=0.0,
            )
            wire = sent([told.content])
            assert messages_seen(wire) == 1
            assert wire.count(b"\r") == wire.count(b"\n") == wire.count(b"\r\n")
            assert b"\0" not in wire
