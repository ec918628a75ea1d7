"""A whole SMTP session: any bytes, cut in any way, from any kind of client.

Invariants: nothing raises and nothing hangs; every reply is well-formed and at most a line of 512
bytes each; a client that reads the dialogue by the book finds one reply for each command and
message, in order, and none to spare, so client and server never disagree on what is command and
what is content; what is stored is what that client meant to send; the same bytes cut otherwise,
with a commit that takes its time or a client that is slow to read, give the same dialogue and the
same messages; what stands behind STARTTLS in the clear has no effect; a stranger relays nothing,
and logs in only under TLS; afterwards nothing is held.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from functools import cache
from typing import Any

from tests.fuzz.wire import READY, Doorman, Sink, play, secured

from penstock.intake import connection
from penstock.intake.config import ListenerConfig
from penstock.intake.ports import NoObserver
from penstock.intake.shared import Shared
from penstock.mail.headers import scan, strip

TOKENS = (
    b"EHLO x\r\n", b"HELO x\r\n", b"MAIL FROM:<a@b>\r\n", b"MAIL FROM:<>\r\n", b" SIZE=100\r\n",
    b"MAIL FROM:<a@b> SMTPUTF8 BODY=8BITMIME\r\n", b"RCPT TO:<c@d>\r\n",
    b"RCPT TO:<\xc3\xa9@d>\r\n", b"DATA\r\n", b"BDAT 5\r\n", b"BDAT 5 LAST\r\n",
    b"BDAT 0 LAST\r\n", b"BDAT 900\r\n", b"BDAT", b"RSET\r\n", b"NOOP\r\n", b"VRFY x\r\n",
    b"HELP\r\n", b"AUTH PLAIN\r\n", b"AUTH LOGIN\r\n", b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n",
    b"AGFubgBzZWNyZXQ=\r\n", b"YW5u\r\n", b"c2VjcmV0\r\n", b"*\r\n", b"STARTTLS\r\n", b"QUIT\r\n",
    b"\r\n", b".\r\n", b"\r\n.\r\n", b"\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r",
    b"\r\n..\r\n", b"\0", b"\r\0\n", b"\xff", b"Subject: x\r\n\r\n", b"x" * 600,
    b"X-Penstock-Tenant: y\r\n", b"\xfe\xfe", b"hello\r\n",
    b"PROXY TCP4 192.0.2.9 127.0.0.1 1 2\r\n", b"\r\n\r\n\0\r\nQUIT\n",
    b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n", b"GET / HTTP/1.1\r\n",
)  # fmt: skip
BYTES_MAX = 2048
TURN = b"\xfe\xfe"  # here the client waits for its replies
_LINE = re.compile(rb"[2-5][0-9]{2}[ -][^\x00-\x1f\x7f]*")
_BDAT = re.compile(rb"BDAT +([0-9]{1,18})( +LAST)? *\r?\n", re.IGNORECASE)
_BARE, _TLS, _AUTH, _FAR, _PROXY, _FEW_ERRORS, _SMALL, _LATE = (1 << bit for bit in range(8))


def check(data: bytes) -> None:
    """``data``: what listener and client (1 byte), how it is cut (1 byte), the turns."""
    options, step = (data[0], data[1] % 40 + 1) if len(data) > 1 else (0, 1)
    genuine: Any = connection.secure
    try:
        connection.secure = secured  # type: ignore[assignment]
        asyncio.run(_check(options, step, data[2:].split(TURN)))
    finally:
        connection.secure = genuine


async def _check(options: int, step: int, turns: list[bytes]) -> None:
    observer = _Observer()
    door: Any = Doorman() if options & _AUTH else None
    shared = Shared(
        _config(options),
        Sink(False),
        observer,
        asyncio.get_running_loop(),
        authenticator=door,
        clock=lambda: 0.0,
    )
    address = "192.0.2.7" if options & _FAR else "127.0.0.1"
    ways: list[dict[str, Any]] = [{}, {"step": step}, {"step": step, "slow": True}]
    outcomes = []
    for number, way in enumerate(ways):
        shared.sink = sink = Sink(bool(options & _LATE) or number == 2)
        transport = await play(shared, address, turns, **way)
        assert observer.errors == []
        assert shared.receiving == 0
        assert not shared.sessions
        assert len(shared.clients) == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}
        outcomes.append((transport.out, sink.messages))
    assert outcomes[1] == outcomes[0]
    assert outcomes[2] == outcomes[0]
    out, stored = outcomes[0]
    replies = _replies(out)
    if options & _FAR:
        secret = out.find(READY)
        assert b"\r\n235 " not in out or 0 <= secret < out.find(b"\r\n235 ")
        assert b"\r\n334 " not in out or 0 <= secret < out.find(b"\r\n334 ")
        assert not stored or b"\r\n235 " in out
    if options & _PROXY:
        return  # where its header ends is another reader's business
    meant = _by_the_book(turns, deque(replies), bool(options & _BARE))
    assert len(meant) == len(stored)
    for content, kept in zip(meant, stored, strict=True):
        assert kept.endswith(b"".join(strip(content, scan(content))))
        assert kept.count(b"\r") == kept.count(b"\n") == kept.count(b"\r\n")
        assert b"\0" not in kept


def _config(options: int) -> ListenerConfig:
    small: dict[str, Any] = {"message_bytes_max": 300, "recipients_max": 2, "messages_max": 2}
    return ListenerConfig(
        bare_newlines="accept" if options & _BARE else "refuse",
        tls="starttls" if options & _TLS else "none",
        tls_context=_context() if options & _TLS else None,
        proxy_from=("0.0.0.0/0",) if options & _PROXY else (),
        errors_max=3 if options & _FEW_ERRORS else 1000,
        pipeline_bytes_max=512 if options & _SMALL else 64 << 10,
        **(small if options & _SMALL else {}),
    )


@cache
def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # never shakes hands, see wire.secured


class _Observer(NoObserver):
    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def on_error(self, error: BaseException, phase: str) -> None:
        self.errors.append(error)


def _replies(out: bytes) -> list[bytes]:
    """Each reply's last line."""
    assert not out or out.endswith(b"\r\n")
    found, code = [], b""
    for line in out.split(b"\r\n")[:-1]:
        assert _LINE.fullmatch(line), line
        assert len(line) <= 510
        assert code in (b"", line[:3])
        code = line[:3] if line[3:4] == b"-" else b""
        if not code:
            found.append(line)
    assert not code
    return found


def _by_the_book(turns: list[bytes], replies: deque[bytes], lenient: bool) -> list[bytes]:
    """Read the dialogue as a client would who knows what it sent; the messages that were taken."""
    data = b"".join(turns)
    ends = [sum(map(len, turns[: i + 1])) for i in range(len(turns))]
    messages: list[bytes] = []
    chunks = b""
    greeting = replies.popleft()
    pos = 0
    while replies and greeting.startswith(b"220 "):
        stop = data.find(b"\n", pos) + 1
        assert stop, f"replies to nothing: {replies}"
        line, pos = data[pos:stop], stop
        bdat = _BDAT.fullmatch(line) if len(line) <= 512 else None
        if bdat and (lenient or line.endswith(b"\r\n")):
            piece = data[pos : pos + int(bdat[1])]
            pos += int(bdat[1])
            reply = replies.popleft()
            assert pos <= len(data) or not replies, "a reply to half a chunk"
            chunks = chunks + piece if reply.startswith(b"250 ") else b""
            if bdat[2] and chunks is not None and reply.startswith(b"250 "):
                whole = chunks if chunks.endswith(b"\r\n") or not chunks else chunks + b"\r\n"
                messages.append(_normal(whole) if lenient else whole)
                chunks = b""
        else:
            reply = replies.popleft()
            while reply.startswith(b"334 ") and replies:
                stop = data.find(b"\n", pos) + 1
                assert stop, "a reply to no answer"
                pos = stop
                reply = replies.popleft()
            if reply.startswith(b"334 "):
                return messages
            if reply.startswith(b"354 "):
                end = (b"\r\n" + data[pos:]).find(b"\r\n.\r\n")
                if end < 0:
                    assert not replies or replies[0][:3] in (b"552", b"421"), "content is not over"
                    return messages
                content, pos = data[pos : pos + end], pos + end + 3
                if not replies:
                    raise AssertionError("no reply to a message")
                reply = replies.popleft()
                if reply.startswith(b"250 "):
                    messages.append(_unstuffed(_normal(content) if lenient else content))
            elif reply.startswith(READY.strip()):
                pos = min(end for end in ends if end >= pos)
            if line[:4].upper() in (b"RSET", b"EHLO", b"HELO", b"STAR") and reply[:1] == b"2":
                chunks = b""
        if replies and replies[0].startswith(b"421 ") and not reply.startswith(b"421 "):
            reply = replies.popleft()
        if reply[:3] in (b"221", b"421"):
            assert not replies, "spoke on after the end"
            return messages
    stop = data.find(b"\n", pos) + 1
    bdat = _BDAT.fullmatch(data[pos:stop])
    awaited = int(bdat[1]) > len(data) - stop if bdat else not stop
    assert awaited or not greeting.startswith(b"220 "), "a command without reply"
    return messages


def _normal(content: bytes) -> bytes:
    return re.sub(rb"\r\n|\r|\n", b"\r\n", content)


def _unstuffed(content: bytes) -> bytes:
    return b"\r\n".join(line.removeprefix(b".") for line in content.split(b"\r\n"))
